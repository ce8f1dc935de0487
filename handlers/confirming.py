"""Who is signed in proves it again: by the password, or at the identity provider; and by a code where MFA is active."""

from dataclasses import replace

from domain.facts import Purpose
from domain.kernel import Refused
from handlers.callers import Caller, decided_again, mfa_of, reserved
from handlers.devices import known_device, password_tries, password_was_right, tell_of_lock
from handlers.limits import PASSWORD_IN_A_ROW
from handlers.ports import AccountEntry, Row, Sockets, Unconfirmed
from handlers.sessions import STEPPED_UP_FOR, Progress, guarded, judged, next_step, sign_out, store_code_try
from handlers.shapes import Code, Command, Password, mail_key


class WrongPassword(Refused):
    """The password is not right; nothing has changed."""


class ProviderNeeded(Refused):
    """The account has no password: its person signs in again at the identity provider instead."""


class CodeNeeded(Refused):
    """The account has an authenticator: its code is asked beside the password."""


def prove_password(account: AccountEntry, password: str, caller: Caller, s: Sockets) -> None:
    """Compare the password of an account, under the same counts as a sign-in. Too many end the session, and are told."""
    key = mail_key(account.mail_address)
    own, network = password_tries(caller, key, s)
    untrusted = not known_device(caller, key, s)
    digest = s.keys.digest("mail", key)
    in_a_row = [(PASSWORD_IN_A_ROW, digest)] if untrusted else []
    reservation = reserved(*own, *in_a_row, *network, caller=caller, s=s)
    known = {each.credential_id: each.password_hash for each in s.people.credentials(key)}
    if s.passwords.matches(password, known.get(account.credential_id or "")):
        password_was_right([*own, (PASSWORD_IN_A_ROW, digest)], network, s, of_all=len(known) == 1)
        return
    s.sign_in_log.note(caller.at, digest, caller.ip_prefix, known_device=not untrusted, outcome="wrong_password")
    if {own[0][0].name, PASSWORD_IN_A_ROW.name} & set(reservation.last):
        tell_of_lock(account, reservation, caller, s)
        sign_out(caller, s)
    raise WrongPassword


def prove_again(account: AccountEntry, password: str | None, caller: Caller, s: Sockets) -> list[Row]:
    """Take the password, or where none is given the identity provider's fresh word; return the row that uses it up."""
    if password is not None:
        prove_password(account, password, caller, s)
        return []
    if not confirmed(caller, s):
        raise ProviderNeeded
    return [Unconfirmed(caller.sign_in()[1].handle)]


def confirmed(caller: Caller, s: Sockets) -> bool:
    """Say whether the person has just signed in again at the identity provider, for this sign-in."""
    said = s.identities.session(caller.sign_in()[1].handle, caller.at)
    return said is not None and said.confirmed_until is not None and said.confirmed_until >= caller.at


class StepUp(Command):
    """Give the password once more, and the code where the authenticator is active.

    Without a password the identity provider has to have been asked a moment ago.
    """

    password: Password | None = None
    code: Code | None = None


def step_up(command: StepUp, caller: Caller, s: Sockets) -> Progress:
    """Open what asks for a fresh password, for five minutes, in this session only."""
    account = caller.person()
    used = prove_again(account, command.password, caller, s)

    def decide() -> Progress:
        session = replace(caller.sign_in()[1], stepped_up_until=caller.at + STEPPED_UP_FOR, seen_at=caller.at)
        step = next_step(caller, s, session)
        mfa, version = mfa_of(account.account_id, s)
        if mfa.secret_ref is None:
            s.sessions.save(*guarded(caller), step.row)
            s.identities.save(*used)
            return step.done(account)
        if command.code is None:
            raise CodeNeeded
        facts = judged(command.code, Purpose.STEP_UP, mfa, caller, s)
        position = store_code_try(facts, mfa, version, caller, s, [step.row, *used])
        return step.done(account, position)

    return decided_again(decide)
