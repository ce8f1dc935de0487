"""Resets: the own, by password and mailed link; another's, by an administrator."""

from dataclasses import replace

from domain.kernel import Refused
from domain.permissions import AnotherTenant, check_reset
from domain.user_mfa import LinkNoLongerValid, NoOpenReset
from handlers.callers import (
    Caller,
    actor_at,
    decided_again,
    member,
    mfa_of,
    record_refusal,
    reserved,
    secrets_ended,
)
from handlers.confirming import prove_again, prove_password
from handlers.limits import RESET_ASKED, RESET_ASKED_BY_NETWORK, RESET_ASKED_DAILY, RESET_BY_ACTOR, RESET_OF_TARGET
from handlers.ports import AccountEntry, Change, Limit, SessionClosed, Sockets, StillAllowed
from handlers.shapes import Command, LinkSecret, Password, Reason
from handlers.sign_in import LinkRefused, open_link


class AccountDisabled(Refused):
    """The account is disabled or erased: there is nothing to reset."""


class PasswordNeeded(Refused):
    """A link alone resets nothing: sign in, or give the password with it."""


class RequestReset(Command):
    """Ask to reset the own MFA, with the login password; without one the identity provider was asked a moment ago."""

    password: Password | None = None


def request_reset(command: RequestReset, caller: Caller, s: Sockets) -> int:
    """Owe the person a link by mail; the old MFA stays in force. Asked too often, the answer is the same without a mail."""
    account = caller.person()
    used = prove_again(account, command.password, caller, s)
    mfa_of(account.account_id, s)[0].request_reset(reset_id="", at=caller.at)
    if not s.throttle.reserve(*_asked(account, caller), now=caller.at).admitted:
        return s.store.last_position()
    reset_id = s.chance.new_id()

    def decide() -> int:
        mfa, version = mfa_of(account.account_id, s)
        facts = mfa.request_reset(reset_id=reset_id, at=caller.at)
        change = Change(f"user_mfa:{account.account_id}", version, facts, account.partner_id)
        return s.store.append(change, origin=caller.origin(), rows=[*caller.guards(), *used])

    return decided_again(decide)


def _asked(account: AccountEntry, caller: Caller) -> list[tuple[Limit, str]]:
    own = [(RESET_ASKED, account.account_id), (RESET_ASKED_DAILY, account.account_id)]
    return [*own, (RESET_ASKED_BY_NETWORK, caller.network)]


class ConfirmReset(Command):
    """Confirm the own reset: the secret half of the mailed link, and the password where nobody is signed in."""

    secret: LinkSecret
    password: Password | None = None


def confirm_reset(reset_id: str, command: ConfirmReset, caller: Caller, s: Sockets) -> int:
    """End the old authenticator and every session of the account. Nobody is signed in by it."""
    link = open_link(reset_id, command.secret, caller, s)
    account = s.people.account(link.account_id)
    if account is None or account.disabled:
        raise LinkRefused
    own = caller.account is not None and caller.account.account_id == account.account_id
    if not own:
        if command.password is None:
            raise PasswordNeeded
        prove_password(account, command.password, caller, s)
    origin = replace(caller, account=account, session=caller.session if own else None).origin()

    def decide() -> int:
        mfa, version = mfa_of(account.account_id, s)
        try:
            facts = mfa.confirm_reset(reset_id=reset_id, at=caller.at)
        except LinkNoLongerValid:
            raise LinkRefused from None
        still = StillAllowed(account.account_id, account.generations)
        rows = [still, *secrets_ended(mfa, facts, account.account_id)]
        if caller.token_hash is not None:
            rows.append(SessionClosed(caller.token_hash))
        change = Change(f"user_mfa:{account.account_id}", version, facts, account.partner_id)
        return s.store.append(change, origin=origin, rows=rows)

    return decided_again(decide)


class ResetOther(Command):
    """End another's MFA at once."""

    reason: Reason | None = None


def reset_other(account_id: str, command: ResetOther, caller: Caller, s: Sockets) -> int:
    """Reset a person of the own partner: old codes are refused at once, and a mail leads to the new set-up."""
    partner_id = _target(account_id, "reset_user", caller, s).partner_id
    caller.require_step_up()
    actor = f"{caller.actor}|{partner_id}" if caller.service else caller.actor
    tries = [(RESET_BY_ACTOR, actor), (RESET_OF_TARGET, account_id)]
    reserved(*tries, caller=caller, s=s)
    reset_id = s.chance.new_id()

    def decide() -> int:
        target = _target(account_id, "reset_user", caller, s)
        mfa, version = mfa_of(account_id, s)
        facts = mfa.reset_by_administrator(reset_id=reset_id, reason=command.reason or None, at=caller.at)
        still = StillAllowed(account_id, target.generations, read_again=True)
        rows = [*caller.guards(), still, *secrets_ended(mfa, facts, account_id)]
        change = Change(f"user_mfa:{account_id}", version, facts, target.partner_id)
        return s.store.append(change, origin=caller.origin(), rows=rows)

    return decided_again(decide)


def repeat_reset_mail(account_id: str, caller: Caller, s: Sockets) -> int:
    """Send the mail of another's open reset again."""
    return _repeat(_target(account_id, "repeat_reset_mail", caller, s), caller, s)


def repeat_own_setup_mail(caller: Caller, s: Sockets) -> int:
    """Send the mail that opens the own set-up again; the password was just proved."""
    account = caller.person()
    if not mfa_of(account.account_id, s)[0].owed_to_administrator():
        raise NoOpenReset
    return _repeat(account, caller, s)


def _repeat(target: AccountEntry, caller: Caller, s: Sockets) -> int:
    reset_id = s.chance.new_id()
    mfa_of(target.account_id, s)[0].repeat_reset_mail(reset_id=reset_id, at=caller.at)
    reserved(*_asked(target, caller), caller=caller, s=s)

    def decide() -> int:
        mfa, version = mfa_of(target.account_id, s)
        facts = mfa.repeat_reset_mail(reset_id=reset_id, at=caller.at)
        change = Change(f"user_mfa:{target.account_id}", version, facts, target.partner_id)
        return s.store.append(change, origin=caller.origin(), rows=caller.guards())

    return decided_again(decide)


def _target(account_id: str, action: str, caller: Caller, s: Sockets) -> AccountEntry:
    """Return the account that the caller may reset, and keep what was asked in vain."""
    target = s.people.account(account_id)
    partner_id = target.partner_id if target else None
    try:
        if target is None:
            raise AnotherTenant
        check_reset(actor_at(caller, target.partner_id, s), member(target))
        if target.disabled:
            raise AccountDisabled
    except Refused as refused:
        # Of what nobody has registered nothing is kept: it may be anything, a mail address too.
        place = {"partner_id": partner_id, "account_id": account_id if target else None}
        record_refusal(caller, s, refused, action=action, **place)
        raise
    return target
