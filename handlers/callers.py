"""Who asks: a browser's sign-in or a service of the portal, and how a wish of theirs reaches the log."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from domain.facts import AttemptRefused, AuditRead, Role
from domain.kernel import Fact, Refused, replay
from domain.partner_policy import PartnerPolicy
from domain.partner_policy import evolve as evolve_policy
from domain.permissions import AnotherTenant, Member
from domain.requirement import Requirement, population_of, requirement
from domain.user_mfa import UserMFA
from domain.user_mfa import evolve as evolve_mfa
from handlers.limits import READS_RECORDED, REFUSALS_RECORDED
from handlers.ports import (
    AccountEntry,
    Ahead,
    Change,
    Conflict,
    Limit,
    Origin,
    Reservation,
    Row,
    SecretsEnded,
    Service,
    Session,
    SessionEnded,
    Sockets,
    StillAllowed,
    Unavailable,
)

Answer = TypeVar("Answer")

_DECISIONS = 24
"""How often a wish is decided anew when others keep writing to the same stream, before the caller is asked to come back."""


class TooManyTries(Refused):
    """This was tried too often: wait."""


def reserved(*tries: tuple[Limit, str], caller: "Caller", s: Sockets) -> Reservation:
    """Count one try under each limit and key. Raises TooManyTries, which says until when and by which limit."""
    reservation = s.throttle.reserve(*tries, now=caller.at)
    if not reservation.admitted:
        limit, until = reservation.refused_by, reservation.retry_at
        window = int(limit.window.total_seconds()) if limit and limit.window else None
        raise TooManyTries(
            until=until.isoformat() if until else None,
            limit=limit.name if limit else None,
            quota=limit.tries if limit else None,
            window_seconds=window,
        )
    return reservation


class StepUpRequired(Refused):
    """The password was given too long ago for this: give it again."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, from where, and when."""

    at: datetime
    command_id: str
    network: str
    """The IPv4 address or IPv6 /64 under which tries are counted."""
    ip_prefix: str = ""
    correlation_id: str = ""
    fingerprint: str = ""
    device: str = ""
    """The cookie of a device that has signed in before, as it was sent."""
    token_hash: bytes | None = None
    session: Session | None = None
    account: AccountEntry | None = None
    service: Service | None = None
    ahead: Ahead | None = None
    """What a code will be judged by, where the sign-in waits for one."""

    @property
    def actor(self) -> str:
        """Return the name of who asks, for envelopes."""
        if self.service is not None:
            return f"service:{self.service.token_id}"
        return f"account:{self.account.account_id}" if self.account else "anonymous"

    def on(self, account: AccountEntry) -> "Caller":
        """Return who touches an account from outside of it: whoever is signed in as somebody else is nobody to it."""
        own = self.account is not None and self.account.account_id == account.account_id
        return self if own else replace(self, account=None, session=None)

    def origin(self) -> Origin:
        """Return what goes into each envelope."""
        handle = self.session.handle if self.session else ""
        return Origin(
            actor=self.actor,
            command_id=self.command_id,
            at=self.at,
            correlation_id=self.correlation_id,
            ip_prefix=self.ip_prefix,
            session=handle,
            fingerprint=self.fingerprint,
        )

    def person(self) -> AccountEntry:
        """Return the account that is signed in, or on its way."""
        if self.account is None:
            raise SessionEnded
        return self.account

    def sign_in(self) -> tuple[bytes, Session]:
        """Return the sign-in and the hash of its token."""
        if self.session is None or self.token_hash is None:
            raise SessionEnded
        return self.token_hash, self.session

    def browser(self) -> Session:
        """Return how far this browser has come, be it no further than a form."""
        if self.session is None:
            raise SessionEnded
        return self.session

    def guards(self) -> list[Row]:
        """Return what has to stand still while a wish of a person is stored: role, place and sessions."""
        return [StillAllowed(self.account.account_id, self.account.generations)] if self.account else []

    def require_step_up(self) -> None:
        """Refuse when the password was given too long ago. Services have no password to give again."""
        if self.service is None:
            until = self.sign_in()[1].stepped_up_until
            if until is None or until < self.at:
                raise StepUpRequired


def member(account: AccountEntry) -> Member:
    """Return the account as the permissions see it."""
    return Member(
        account_id=account.account_id,
        partner_id=account.partner_id,
        partner_type=account.partner_type,
        role=account.role,
        organization_id=account.organization_id,
    )


def actor_at(caller: Caller, partner_id: str, s: Sockets) -> Member:
    """Return who acts at a partner: the signed-in account, or a service with an owner's rights where it is bound."""
    if caller.service is None:
        return member(caller.person())
    kind = s.people.partner_type(partner_id)
    if kind is None or caller.service.partner_id not in {partner_id, "*"}:
        raise AnotherTenant
    return Member(account_id="", partner_id=partner_id, partner_type=kind, role=Role.OWNER)


def decided_again(decide: Callable[[], Answer]) -> Answer:
    """Decide, and decide again on the longer history whenever somebody else was faster."""
    for _ in range(_DECISIONS):
        with suppress(Conflict):  # somebody else was faster: the next round sees what they did
            return decide()
    raise Unavailable("too many changes of the same account at once")


def mfa_of(account_id: str, s: Sockets, ahead: Ahead | None = None) -> tuple[UserMFA, int]:
    """Return an account's authenticator and the version of its stream."""
    return s.store.load(f"user_mfa:{account_id}", evolve_mfa, UserMFA(), ahead)


def policy_of(partner_id: str, s: Sockets) -> tuple[PartnerPolicy, int]:
    """Return a partner's demands and the version of their stream."""
    return s.store.load(f"partner_policy:{partner_id}", evolve_policy, PartnerPolicy())


def needed_of(account: AccountEntry, s: Sockets) -> tuple[Requirement, tuple[str, int]]:
    """Return whether MFA is required of an account, and the stream and version on which that rests."""
    policy, version = policy_of(account.partner_id, s)
    needed = requirement(policy, population_of(account.organization_id))
    return needed, (f"partner_policy:{account.partner_id}", version)


def secrets_ended(before: UserMFA, facts: list[Fact], account_id: str) -> list[Row]:
    """Return the row that destroys every shared secret which the facts have left without use."""
    after = replay(evolve_mfa, before, facts)
    if after.guesses.dead:
        return [SecretsEnded(account_id, ())]
    kept = tuple(ref for ref in (after.secret_ref, after.setup and after.setup.secret_ref) if ref)
    had = tuple(ref for ref in (before.secret_ref, before.setup and before.setup.secret_ref) if ref)
    return [] if set(had) <= set(kept) else [SecretsEnded(account_id, kept)]


def record_refusal(
    caller: Caller, s: Sockets, refused: Refused, *, action: str, partner_id: str | None, account_id: str | None
) -> None:
    """Keep what was asked in vain, in the stream of who asked; a loop of the same is kept for its first hour's share.

    Of another tenant's things nothing is named, else one's own history would tell which ids there are.
    """
    tenant = caller.account.partner_id if caller.account else (caller.service.partner_id if caller.service else "")
    stream = f"attempts:{caller.actor}"
    if tenant not in {partner_id, "*"}:
        partner_id = account_id = None
    if not s.throttle.reserve((REFUSALS_RECORDED, caller.actor), now=caller.at).admitted:
        return
    origin = replace(caller.origin(), command_id=s.chance.new_id(), fingerprint="")
    fact = AttemptRefused(action=action, reason=refused.reason(), partner_id=partner_id, account_id=account_id)

    def append() -> int:
        version = s.store.load(stream, lambda count, _: count + 1, 0)[1]
        return s.store.append(Change(stream, version, [fact], tenant), origin=origin)

    decided_again(append)


def record_read(origin: Origin, s: Sockets, *, what: str, partner_id: str) -> None:
    """Keep that somebody looked at a partner's records."""
    if not s.throttle.reserve((READS_RECORDED, f"{origin.actor}|{what}|{partner_id}"), now=origin.at).admitted:
        return
    asked = replace(origin, command_id=s.chance.new_id(), fingerprint="")
    stream = f"audit:{partner_id}"

    def append() -> int:
        version = s.store.load(stream, lambda count, _: count + 1, 0)[1]
        return s.store.append(Change(stream, version, [AuditRead(what=what)], partner_id), origin=asked)

    decided_again(append)
