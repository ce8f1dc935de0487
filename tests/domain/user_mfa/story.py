"""The facts of which the tests of UserMFA are made."""

from datetime import UTC, datetime, timedelta

from domain.facts import (
    Enabled,
    FailureReason,
    Initiator,
    Locked,
    Purpose,
    ResetConfirmed,
    ResetRequested,
    SetupStarted,
    VerificationFailed,
    Verified,
)
from domain.user_mfa import UserMFA, evolve
from tests.domain.bench import history_of

given = history_of(evolve, UserMFA())

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

ENABLED = Enabled()
STARTED = SetupStarted(setup_id="set-1", secret_ref="sec-1", session="ses-1", expires_at=NOON + 10 * MINUTE)
SET_UP_AT_99 = Verified(purpose=Purpose.SETUP, time_step=99, gives_back=0)
VERIFIED_AT_100 = Verified(purpose=Purpose.SIGN_IN, time_step=100, gives_back=0)
ACTIVE = (STARTED, SET_UP_AT_99)
"""The shortest history that ends with an active authenticator."""

RESET_ASKED = ResetRequested(reset_id="res-1", expires_at=NOON + HOUR)
RESET_BY_PERSON = ResetConfirmed(by=Initiator.PERSON, reset_id="res-1")
RESET_BY_ADMINISTRATOR = ResetConfirmed(by=Initiator.ADMINISTRATOR, reset_id="adm-1", expires_at=NOON + 24 * HOUR)

LOCKED = Locked(until=NOON + 30 * MINUTE)
DEAD = Locked(until=None)


def wrong(
    challenge: str = "ses-1",
    *,
    purpose: Purpose = Purpose.SIGN_IN,
    reason: FailureReason = FailureReason.WRONG,
) -> VerificationFailed:
    """Return the fact of one code that was not accepted."""
    return VerificationFailed(purpose=purpose, reason=reason, challenge=challenge)


def right(time_step: int, *, gives_back: int = 0) -> Verified:
    """Return the fact of one right code at sign-in."""
    return Verified(purpose=Purpose.SIGN_IN, time_step=time_step, gives_back=gives_back)
