"""UserMFA: one account's authenticator, from the wish to the reset. Decisions return facts and change nothing."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from domain.facts import (
    Disabled,
    Enabled,
    Factor,
    FailureReason,
    Initiator,
    Locked,
    Purpose,
    ResetConfirmed,
    ResetMailRepeated,
    ResetRequested,
    SetupStarted,
    Unlocked,
    VerificationFailed,
    Verified,
)
from domain.guessing import AuthenticatorDead, Guesses
from domain.kernel import Fact, Refused
from domain.totp import PERIOD_SECONDS

SETUP_LIFETIME = timedelta(minutes=10)
"""How long a shown shared secret may be confirmed. Source: NIST SP 800-63B-4 section 4.1.2.2, ten minutes for a binding code."""
OWN_RESET_LIFETIME = timedelta(minutes=60)
"""How long the link of one's own reset works. Source: product decision D11."""
ADMINISTRATOR_RESET_LIFETIME = timedelta(hours=24)
"""How long the mailed link to the set-up works. Source: product decision D11."""


class EnforcedByPartner(Refused):
    """MFA is demanded of this account, so it cannot be switched off."""


class AdministratorResetOpen(Refused):
    """An administrator reset this account: the set-up is owed."""


class NothingToReset(Refused):
    """There is no active authenticator to reset."""


class NoOpenReset(Refused):
    """No reset is waiting for its mail."""


class NotActive(Refused):
    """There is no active authenticator whose code could be asked."""


class NoSetup(Refused):
    """No set-up is open in this sign-in: begin one."""


class SetupExpired(Refused):
    """The shown key is older than ten minutes: begin the set-up again."""


class LinkNoLongerValid(Refused):
    """The link was used, replaced by a newer one, or is too old."""


class MailedTokenNeeded(Refused):
    """After an administrator's reset the set-up opens with the link that was mailed."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A shown shared secret that no code has proved yet."""

    setup_id: str
    secret_ref: str
    session: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class OpenReset:
    """A reset that waits for its mailed link."""

    by: Initiator
    reset_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UserMFA:
    """One account's authenticator as its facts left it."""

    factor: Factor = Factor.NONE
    secret_ref: str | None = None
    last_time_step: int = -1
    setup: Setup | None = None
    reset: OpenReset | None = None
    guesses: Guesses = field(default_factory=Guesses)

    # ── Decisions ──

    def enable(self) -> list[Fact]:
        """Switch MFA on; asked twice it stays on."""
        return [Enabled()] if self.factor is Factor.NONE else []

    def disable(self, *, required: bool) -> list[Fact]:
        """Switch MFA off, or take the wish for it back, where nobody demands it."""
        if required:
            raise EnforcedByPartner
        if self.owed_to_administrator():
            raise AdministratorResetOpen
        return [] if self.factor is Factor.NONE else [Disabled(was=self.factor)]

    def start_setup(
        self, *, setup_id: str, secret_ref: str, session: str, mailed: str | None, needs_mail: bool, at: datetime
    ) -> list[Fact]:
        """Show a new shared secret. After an administrator's reset the mailed link has to be open (``mailed``: its id)."""
        self.guesses.admit(session, at)
        if needs_mail and self.reset is not None and self.owed_to_administrator():
            if mailed is None:
                raise MailedTokenNeeded
            self._check_link(mailed, at)
        expires = at + SETUP_LIFETIME
        return [SetupStarted(setup_id=setup_id, secret_ref=secret_ref, session=session, expires_at=expires)]

    def open_setup(self, *, session: str, at: datetime) -> Setup:
        """Return the set-up that this sign-in may confirm."""
        if self.setup is None or self.setup.session != session:
            raise NoSetup
        if at > self.setup.expires_at:
            raise SetupExpired
        return self.setup

    def confirm_setup(self, *, session: str, step: int | None, at: datetime) -> list[Fact]:
        """Finish the set-up with a code of the new secret (``step``: the time step it belongs to, None: it is wrong)."""
        self.guesses.admit(session, at)
        self.open_setup(session=session, at=at)
        return self._tried(Purpose.SETUP, session, step, FailureReason.WRONG, at)

    def verify(self, *, purpose: Purpose, challenge: str, step: int | None, at: datetime) -> list[Fact]:
        """Judge a code (``step``: the time step it belongs to, None: it is wrong). One time step is accepted once."""
        if self.factor is not Factor.ACTIVE:
            raise NotActive
        self.guesses.admit(challenge, at)
        if step is not None and step <= self.last_time_step:
            return self._tried(purpose, challenge, None, FailureReason.REPLAYED, at)
        return self._tried(purpose, challenge, step, FailureReason.WRONG, at)

    def request_reset(self, *, reset_id: str, at: datetime) -> list[Fact]:
        """Ask to reset the own MFA; nothing ends before the mailed link is confirmed."""
        if self.factor is not Factor.ACTIVE:
            raise NothingToReset
        return [ResetRequested(reset_id=reset_id, expires_at=at + OWN_RESET_LIFETIME)]

    def confirm_reset(self, *, reset_id: str, at: datetime) -> list[Fact]:
        """End the old authenticator by the mailed link of one's own reset."""
        if self.reset is None or self.reset.by is not Initiator.PERSON:
            raise LinkNoLongerValid
        self._check_link(reset_id, at)
        return [ResetConfirmed(by=Initiator.PERSON, reset_id=reset_id)]

    def reset_by_administrator(self, *, reset_id: str, reason: str | None, at: datetime) -> list[Fact]:
        """End the old authenticator at once; the next login is a set-up, whatever the factor was before."""
        expires = at + ADMINISTRATOR_RESET_LIFETIME
        return [ResetConfirmed(by=Initiator.ADMINISTRATOR, reset_id=reset_id, expires_at=expires, reason=reason)]

    def repeat_reset_mail(self, *, reset_id: str, at: datetime) -> list[Fact]:
        """Send the mail of the open reset again, with a new link that ends the older one."""
        if self.reset is None or (self.reset.by is Initiator.PERSON and at > self.reset.expires_at):
            raise NoOpenReset
        by_person = self.reset.by is Initiator.PERSON
        expires = at + (OWN_RESET_LIFETIME if by_person else ADMINISTRATOR_RESET_LIFETIME)
        return [ResetMailRepeated(by=self.reset.by, reset_id=reset_id, expires_at=expires)]

    def unlock(self, at: datetime) -> list[Fact]:
        """End a lock before its time."""
        if self.guesses.dead:
            raise AuthenticatorDead
        return [Unlocked()] if self.guesses.locked_until and at < self.guesses.locked_until else []

    # ── Questions ──

    def owed_to_administrator(self) -> bool:
        """Say whether an administrator's reset still waits for its set-up."""
        return self.factor is Factor.PENDING and self.reset is not None and self.reset.by is Initiator.ADMINISTRATOR

    def asks_for_setup(self, *, required: bool) -> bool:
        """Say whether a login of this account leads through the set-up: it is wanted, owed or demanded, and not proved."""
        return self.factor is Factor.PENDING or (required and self.factor is Factor.NONE)

    def _tried(
        self, purpose: Purpose, challenge: str, step: int | None, reason: FailureReason, at: datetime
    ) -> list[Fact]:
        if step is not None:
            shown_at = datetime.fromtimestamp(step * PERIOD_SECONDS, UTC)
            return [Verified(purpose=purpose, time_step=step, gives_back=self.guesses.forgives(shown_at))]
        failed = VerificationFailed(purpose=purpose, reason=reason, challenge=challenge)
        return [failed, *self.guesses.locks_after_failure(at, may_die=purpose is not Purpose.SETUP)]

    def _check_link(self, reset_id: str, at: datetime) -> None:
        if self.reset is None or self.reset.reset_id != reset_id or at > self.reset.expires_at:
            raise LinkNoLongerValid


def evolve(mfa: UserMFA, fact: Fact) -> UserMFA:
    """Apply one fact. No rule, no refusal."""
    match fact:
        case Enabled():
            return replace(mfa, factor=Factor.PENDING)
        case SetupStarted():
            return replace(mfa, setup=Setup(fact.setup_id, fact.secret_ref, fact.session, fact.expires_at))
        case Verified():
            return _verified(mfa, fact)
        case VerificationFailed():
            against_secret = fact.purpose is not Purpose.SETUP
            return replace(mfa, guesses=mfa.guesses.failed(fact.challenge, against_secret=against_secret))
        case Locked():
            kept = mfa.reset if fact.until else None
            return replace(mfa, guesses=mfa.guesses.locked(fact.until), setup=None, reset=kept)
        case Unlocked():
            return replace(mfa, guesses=mfa.guesses.unlocked())
        case Disabled():
            return UserMFA(last_time_step=mfa.last_time_step, guesses=mfa.guesses.without_secret())
        case ResetRequested():
            return replace(mfa, reset=OpenReset(Initiator.PERSON, fact.reset_id, fact.expires_at))
        case ResetConfirmed():
            return _reset(mfa, fact)
        case ResetMailRepeated():
            return replace(mfa, reset=OpenReset(fact.by, fact.reset_id, fact.expires_at))
        case _:
            return mfa


def _verified(mfa: UserMFA, fact: Verified) -> UserMFA:
    day = datetime.fromtimestamp(fact.time_step * PERIOD_SECONDS, UTC).date()
    if fact.purpose is Purpose.SETUP and mfa.setup is not None:
        proved = UserMFA(factor=Factor.ACTIVE, secret_ref=mfa.setup.secret_ref, last_time_step=fact.time_step)
        return replace(proved, guesses=mfa.guesses.with_new_secret())
    return replace(mfa, last_time_step=fact.time_step, guesses=mfa.guesses.succeeded(fact, day))


def _reset(mfa: UserMFA, fact: ResetConfirmed) -> UserMFA:
    ended = UserMFA(last_time_step=mfa.last_time_step, guesses=mfa.guesses.unlocked().without_secret())
    if fact.expires_at is None:
        return ended
    return replace(ended, factor=Factor.PENDING, reset=OpenReset(fact.by, fact.reset_id, fact.expires_at))
