"""From nobody to the dashboard: password, account, and what the account's MFA asks for."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from domain.facts import (
    IdentityProved,
    PasswordChanged,
    ProvedFor,
    Purpose,
    SignInLocked,
    SignInUnlocked,
)
from domain.kernel import Fact, Refused
from domain.requirement import LoginStep, login_step
from handlers.callers import Caller, decided_again, mfa_of, needed_of, reserved
from handlers.devices import device_cookie, known_device, password_tries, password_was_right, tell_of_lock
from handlers.limits import LINK_BY_NETWORK, PASSWORD_ELSEWHERE, PASSWORD_IN_A_ROW
from handlers.ports import (
    AccountEntry,
    Ahead,
    Change,
    Conflict,
    Link,
    LinkUsed,
    ProviderSession,
    Row,
    Sockets,
    StillAllowed,
)
from handlers.sessions import (
    Progress,
    State,
    judged,
    next_step,
    session_for,
    store_code_try,
)
from handlers.shapes import Code, Command, Id, LinkSecret, MailAddress, Password, mail_key


class WrongCredentials(Refused):
    """Address or password is not right, or the account may not sign in; which of them is not said."""


class NoSuchChoice(Refused):
    """That account is none of those behind the proved password."""


class SignIn(Command):
    """Prove the password."""

    email: MailAddress
    password: Password


def sign_in(command: SignIn, caller: Caller, s: Sockets) -> Progress:
    """Compare the password, once each try is counted, and lead to the account, or to the choice of one."""
    key = mail_key(command.email)
    own, network = password_tries(caller, key, s)
    untrusted = not known_device(caller, key, s)
    in_a_row = [(PASSWORD_IN_A_ROW, s.keys.digest("mail", key))] if untrusted else []
    reservation = reserved(*own, *in_a_row, *network, caller=caller, s=s)
    accounts, of_all = _accounts_behind(key, command.password, s)
    if not accounts:
        digest = s.keys.digest("mail", key)
        s.sign_in_log.note(caller.at, digest, caller.ip_prefix, known_device=not untrusted, outcome="wrong_password")
        account = s.people.account_with(key)
        if account and {PASSWORD_ELSEWHERE.name, PASSWORD_IN_A_ROW.name} & set(reservation.last):
            tell_of_lock(account, reservation, caller, s)
        raise WrongCredentials
    own.append((PASSWORD_IN_A_ROW, s.keys.digest("mail", key)))
    password_was_right(own, network, s, of_all=of_all)
    caller = replace(caller, session=None)
    return enter_one_of(accounts, caller, s)


def enter_one_of(
    accounts: Sequence[AccountEntry], caller: Caller, s: Sockets, said: ProviderSession | None = None
) -> Progress:
    """Go on as the only account, or ask which one; ``said`` is the word of an identity provider in a password's place."""
    if len(accounts) == 1:
        return _enter(accounts[0], caller, s, said)
    choices = tuple(_choice(account) for account in accounts)
    session = session_for(State.IDENTIFIED, None, caller, s, choices=choices)
    step = next_step(caller, s, session)
    s.sessions.save(step.row)
    if said is not None:
        s.identities.save(replace(said, handle=session.handle))
    return step.done(None)


def _choice(account: AccountEntry) -> str:
    """Return a choice that stands only as long as the account's sessions would."""
    return "|".join((account.account_id, *map(str, account.generations)))


def _accounts_behind(key: str, password: str, s: Sockets) -> tuple[list[AccountEntry], bool]:
    """Return the accounts that this password opens, and whether it is the address's only one.

    An unknown address takes as long as a known one.
    """
    credentials = s.people.credentials(key)
    right = [each.credential_id for each in credentials if s.passwords.matches(password, each.password_hash)]
    if not credentials:
        s.passwords.matches(password, None)
    return list(s.people.accounts_behind(key, right)) if right else [], len(right) == len(credentials)


class SelectAccount(Command):
    """Choose one of the accounts behind the proved password."""

    account_id: Id


def select_account(command: SelectAccount, caller: Caller, s: Sockets) -> Progress:
    """Go on as the chosen account; the code that may follow belongs to it alone."""
    _, session = caller.sign_in()
    account = s.people.account(command.account_id)
    if account is None or account.disabled or _choice(account) not in session.choices:
        raise NoSuchChoice
    return _enter(account, caller, s, s.identities.session(session.handle, caller.at))


def _enter(account: AccountEntry, caller: Caller, s: Sockets, said: ProviderSession | None) -> Progress:
    """Open the session that the account's MFA and its partner's policy lead to. How one came here changes neither."""
    mfa, _ = mfa_of(account.account_id, s)
    needed, _ = needed_of(account, s)
    credited = said is not None and said.credited
    state = {
        LoginStep.CODE: State.MFA_CODE_REQUIRED,
        LoginStep.SETUP: State.MFA_SETUP_REQUIRED,
        LoginStep.DASHBOARD: State.SIGNED_IN,
    }[login_step(mfa, needed, credited=credited)]
    done = state is State.SIGNED_IN
    level = 2 if done and credited else 1
    session = session_for(state, account, caller, s, level=level, required_level=level if done else 2)
    step = next_step(caller, s, session)
    allowed = StillAllowed(account.account_id, account.generations)
    if said is not None:
        return step.done(
            account, _keep_word(replace(said, handle=session.handle), [allowed, step.row], account, caller, s)
        )
    s.sessions.save(allowed, step.row)
    return step.done(account, device=device_cookie(caller, account, s) if done else None)


def _keep_word(said: ProviderSession, rows: list[Row], account: AccountEntry, caller: Caller, s: Sockets) -> int:
    """Store the session together with the fact that says by whose word it was opened."""
    fact = proved(said, ProvedFor.SIGN_IN)
    stream = f"account:{account.account_id}"
    origin = replace(caller, account=account).origin()

    def append() -> int:
        version = s.store.load(stream, lambda count, _: count + 1, 0)[1]
        change = Change(stream, version, [fact], account.partner_id)
        return s.store.append(change, origin=replace(origin, session=said.handle), rows=[*rows, said])

    return decided_again(append)


def proved(said: ProviderSession, purpose: ProvedFor) -> IdentityProved:
    """Return the fact of a provider's word."""
    return IdentityProved(
        provider_id=said.provider_id,
        subject_digest=said.subject_digest,
        purpose=purpose,
        amr=said.amr,
        acr=said.acr,
        credits_mfa=said.credited,
    )


class EnterCode(Command):
    """Give the code of the authenticator app."""

    code: Code


def enter_code(command: EnterCode, caller: Caller, s: Sockets) -> Progress:
    """Judge the code and open the dashboard: fact and session in one transaction, before anybody hears of it."""
    account = caller.person()

    def decide(ahead: Ahead | None = None) -> Progress:
        mfa, version = mfa_of(account.account_id, s, ahead)
        facts = judged(command.code, Purpose.SIGN_IN, mfa, caller, s, ahead)
        step = next_step(caller, s, session_for(State.SIGNED_IN, account, caller, s, level=2, required_level=2))
        position = store_code_try(facts, mfa, version, caller, s, [step.row])
        return step.done(account, position, device_cookie(caller, account, s))

    with suppress(Conflict):  # what was read with the sign-in counts once
        return decide(caller.ahead)
    return decided_again(decide)


class LinkRefused(Refused):
    """The link was used, replaced, has run out, or never was."""


def open_link(link_id: str, secret: str, caller: Caller, s: Sockets) -> Link:
    """Return a mailed link whose secret is right. Each try is counted before it is compared."""
    reserved((LINK_BY_NETWORK, caller.network), caller=caller, s=s)
    link = s.links.find(link_id)
    offered = s.keys.digest("link hash", secret)
    if link is None or not s.links.reserve(link_id) or offered != link.secret_hash:
        raise LinkRefused
    s.throttle.refund((LINK_BY_NETWORK, caller.network))
    s.links.spare(link_id)
    return link


def _open_lock(link_id: str | None, fact: Fact) -> str | None:
    """Return the link that may open sign-in after one more fact: the newest, once, and none after a new password."""
    match fact:
        case SignInLocked():
            return fact.unlock_id
        case SignInUnlocked() | PasswordChanged():
            return None
        case _:
            return link_id


class UnlockSignIn(Command):
    """Open sign-in from unknown devices by the mailed link."""

    secret: LinkSecret


def unlock_sign_in(link_id: str, command: UnlockSignIn, caller: Caller, s: Sockets) -> int:
    """Clear the password locks of an address whose owner reads its mail."""
    link = open_link(link_id, command.secret, caller, s)
    account = s.people.account(link.account_id)
    if account is None:
        raise LinkRefused
    stream = f"account:{account.account_id}"

    def append() -> int:
        open_lock, version = s.store.load(stream, _open_lock, None)
        if open_lock != link_id:
            raise LinkRefused
        change = Change(stream, version, [SignInUnlocked()], account.partner_id)
        return s.store.append(change, origin=caller.on(account).origin(), rows=[LinkUsed(link_id)])

    position = decided_again(append)
    address = s.keys.digest("mail", mail_key(account.mail_address))
    s.throttle.clear((PASSWORD_ELSEWHERE, address), (PASSWORD_IN_A_ROW, address))
    return position
