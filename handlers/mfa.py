"""The own MFA: switch it on, set it up, switch it off."""

from dataclasses import dataclass, replace

from domain.facts import Factor
from domain.partner_policy import PartnerPolicy
from domain.requirement import Requirement, population_of, requirement
from domain.totp import SECRET_BYTES, clean_code, matching_step, otpauth_uri, shared_secret
from domain.user_mfa import EnforcedByPartner, NoSetup, SetupExpired, UserMFA
from handlers.callers import (
    Caller,
    decided_again,
    mfa_of,
    needed_of,
    policy_of,
    record_refusal,
    reserved,
    secrets_ended,
)
from handlers.devices import device_cookie
from handlers.limits import SETUPS
from handlers.ports import AccountEntry, Change, Conflict, Session, SessionStands, Sockets
from handlers.sessions import (
    Progress,
    State,
    Step,
    next_step,
    opened,
    session_for,
    store_code_try,
)
from handlers.shapes import Code, Command, LinkSecret
from handlers.sign_in import open_link


@dataclass(frozen=True, slots=True)
class Status:
    """How it stands with one account's MFA, and why."""

    mfa: UserMFA
    needed: Requirement
    policy: PartnerPolicy
    """What the partner demands of everybody."""
    partner_id: str

    @property
    def can_switch_off(self) -> bool:
        """Say whether switching off would be allowed now."""
        return not self.needed.required and self.mfa.factor is not Factor.NONE and not self.mfa.owed_to_administrator()


def status(caller: Caller, s: Sockets) -> Status:
    """Return how it stands with the own MFA, from the facts themselves."""
    account = caller.person()
    policy = policy_of(account.partner_id, s)[0]
    needed = requirement(policy, population_of(account.organization_id))
    return Status(mfa_of(account.account_id, s)[0], needed, policy, account.partner_id)


def enable(caller: Caller, s: Sockets) -> int:
    """Switch the own MFA on. The running session goes on; the next login leads through the set-up."""
    account = caller.person()

    def decide() -> int:
        mfa, version = mfa_of(account.account_id, s)
        facts = mfa.enable()
        if not facts:
            return s.store.last_position()
        change = Change(f"user_mfa:{account.account_id}", version, facts, account.partner_id)
        return s.store.append(change, origin=caller.origin(), rows=caller.guards())

    return decided_again(decide)


def disable(caller: Caller, s: Sockets) -> Progress:
    """Switch the own MFA off where nobody demands it, or leave a set-up that nobody demands ("not now")."""
    account, (_, session) = caller.person(), caller.sign_in()

    def decide() -> Progress:
        mfa, version = mfa_of(account.account_id, s)
        needed, policy = needed_of(account, s)
        try:
            facts = mfa.disable(required=needed.required)
        except EnforcedByPartner as refused:
            place = {"partner_id": account.partner_id, "account_id": account.account_id}
            record_refusal(caller, s, refused, action="switch_off", **place)
            raise
        if mfa.factor is Factor.ACTIVE:
            caller.require_step_up()
        if not facts:
            return Progress(session, account, position=s.store.last_position())
        step = next_step(caller, s, _after_switching_off(caller, s))
        change = Change(f"user_mfa:{account.account_id}", version, facts, account.partner_id)
        rows = [*caller.guards(), *secrets_ended(mfa, facts, account.account_id), step.row]
        position = s.store.append(change, origin=caller.origin(), rows=rows, unchanged=[policy])
        return step.done(account, position)

    return decided_again(decide)


def _after_switching_off(caller: Caller, s: Sockets) -> Session:
    _, session = caller.sign_in()
    if session.state == State.SIGNED_IN:
        return replace(session, level=1, required_level=1, seen_at=caller.at)
    return session_for(State.SIGNED_IN, caller.person(), caller, s)


class StartSetup(Command):
    """Begin to set up the authenticator; after an administrator's reset with the token from the mail."""

    mailed_token: LinkSecret | None = None


@dataclass(frozen=True, slots=True)
class ShownSecret:
    """A new shared secret, shown to the sign-in that began the set-up, until a code proves it."""

    setup_key: str
    otpauth_uri: str
    position: int


def start_setup(command: StartSetup, caller: Caller, s: Sockets) -> ShownSecret:
    """Make a new shared secret, seal it, and show it to this sign-in alone."""
    account, (token, session) = caller.person(), caller.sign_in()
    if session.state == State.SIGNED_IN:
        caller.require_step_up()
    reserved((SETUPS, account.account_id), caller=caller, s=s)
    mailed = _mailed_link(command.mailed_token, caller, s)
    secret, ref, setup_id = shared_secret(s.chance.bytes(SECRET_BYTES)), s.chance.new_id(), s.chance.new_id()

    def decide() -> int:
        mfa, version = mfa_of(account.account_id, s)
        needs_mail = s.rules.reset_setup_needs_mail
        facts = mfa.start_setup(
            setup_id=setup_id,
            secret_ref=ref,
            session=session.handle,
            mailed=mailed,
            needs_mail=needs_mail,
            at=caller.at,
        )
        place = {"tenant": account.partner_id, "account_id": account.account_id}
        rows = [*caller.guards(), SessionStands(token), s.vault.seal(**place, secret_ref=ref, secret=secret)]
        change = Change(f"user_mfa:{account.account_id}", version, facts, account.partner_id)
        rows += secrets_ended(mfa, facts, account.account_id)
        return s.store.append(change, origin=caller.origin(), rows=rows)

    return _shown(secret, account, decided_again(decide), s)


def shown_again(caller: Caller, s: Sockets) -> ShownSecret | None:
    """Return the secret of the set-up that is open in this sign-in: neither a wrong code nor a reload asks for a new scan."""
    account, (_, session) = caller.person(), caller.sign_in()
    try:
        setup = mfa_of(account.account_id, s)[0].open_setup(session=session.handle, at=caller.at)
    except (NoSetup, SetupExpired):
        return None
    try:
        secret = opened(setup.secret_ref, account, s)
    except Conflict:  # it was just ended by a reset, or by another set-up
        return None
    return _shown(secret, account, s.store.last_position(), s)


def _shown(secret: str, account: AccountEntry, position: int, s: Sockets) -> ShownSecret:
    uri = otpauth_uri(secret, issuer=s.rules.issuer, partner=account.partner_name, mail_address=account.mail_address)
    return ShownSecret(secret, uri, position)


def _mailed_link(mailed_token: str | None, caller: Caller, s: Sockets) -> str | None:
    """Return the id of the open link to the set-up when the token is its secret."""
    mfa, _ = mfa_of(caller.person().account_id, s)
    if mailed_token is None or mfa.reset is None or not mfa.owed_to_administrator():
        return None
    return open_link(mfa.reset.reset_id, mailed_token, caller, s).link_id


class ConfirmSetup(Command):
    """Prove the new authenticator with a code of it."""

    code: Code


def confirm_setup(command: ConfirmSetup, caller: Caller, s: Sockets) -> Progress:
    """Activate the authenticator: the old secret and every other session end in the same transaction."""
    account, (_, session) = caller.person(), caller.sign_in()
    digits = clean_code(command.code)

    def decide() -> Progress:
        mfa, version = mfa_of(account.account_id, s)
        mfa.guesses.admit(session.handle, caller.at)
        setup = mfa.open_setup(session=session.handle, at=caller.at)
        secret = opened(setup.secret_ref, account, s)
        right = matching_step(secret, digits, caller.at)
        facts = mfa.confirm_setup(session=session.handle, step=right, at=caller.at)
        step = _active(caller, s)
        position = store_code_try(facts, mfa, version, caller, s, [step.row])
        return step.done(account, position, device_cookie(caller, account, s))

    return decided_again(decide)


def _active(caller: Caller, s: Sockets) -> Step:
    session = session_for(State.SIGNED_IN, caller.person(), caller, s, level=2, required_level=2)
    return next_step(caller, s, session)
