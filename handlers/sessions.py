"""How a sign-in goes on: each step under a new token, each with the time it may last."""

import hashlib
import hmac
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from domain.facts import Purpose, Role, Verified
from domain.kernel import Fact, Refused
from domain.totp import PERIOD_SECONDS, WINDOW_STEPS, clean_code, matching_step, time_step
from domain.user_mfa import UserMFA
from handlers.callers import Caller, mfa_of, secrets_ended
from handlers.ports import (
    AccountEntry,
    Ahead,
    Change,
    Conflict,
    Row,
    Session,
    SessionClosed,
    SessionEnded,
    SessionOpened,
    SessionStands,
    Sockets,
    StillAllowed,
    Unreadable,
)

# Source of all: the product's security design, section 1.
ANONYMOUS_FOR = timedelta(hours=1)
"""How long a sign-in form may lie open. Ours: long enough for a forgotten tab, short enough to be forgotten."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""How far the clocks of two web servers may differ: a cookie of the one is sent to the other."""
_PRE_SESSION = "pre."
"""How the cookie of a pre-session begins; a session's token has no dot."""
IDENTIFIED_FOR = timedelta(minutes=5)
CODE_WITHIN = timedelta(minutes=5)
SETUP_WITHIN = timedelta(minutes=10)
SIGNED_IN_FOR = timedelta(hours=12)
IDLE = timedelta(minutes=30)
IDLE_OF_ADMINISTRATORS = timedelta(minutes=15)
STEPPED_UP_FOR = timedelta(minutes=5)
STEPPED_UP_BY_SIGN_IN_FOR = timedelta(minutes=15)
"""Right after a full sign-in nothing asks for the password again. Source: product decision D15."""

_log = logging.getLogger("watchword.codes")
_ADMINISTRATORS = frozenset({Role.OWNER, Role.SUPER_ADMIN, Role.ADMIN})


class State(StrEnum):
    """How far a sign-in has come."""

    ANONYMOUS = "anonymous"
    IDENTIFIED = "identified"
    MFA_CODE_REQUIRED = "mfa_code_required"
    MFA_SETUP_REQUIRED = "mfa_setup_required"
    SIGNED_IN = "signed_in"


class CodeNotAccepted(Refused):
    """The code is wrong or was used already; which of the two is not said."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a sign-in stands now. A new token goes into the cookie; ``None`` leaves the cookie alone."""

    session: Session | None
    account: AccountEntry | None = None
    token: str | None = None
    device: str | None = None
    """A cookie for a device that has just proved itself."""
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A sign-in's next step, to be stored with or without facts."""

    row: SessionOpened
    token: str

    def done(self, account: AccountEntry | None, position: int | None = None, device: str | None = None) -> Progress:
        """Return where the sign-in stands once the step is stored."""
        return Progress(self.row.session, account, self.token, device, position)


def token_hash(token: str, s: Sockets) -> bytes:
    """Return the form in which a session token is kept."""
    return hashlib.sha256(s.keys.digest("session", token).encode()).digest()


def next_step(caller: Caller, s: Sockets, session: Session) -> Step:
    """Return the step under a new token; the token before dies with it."""
    token = s.chance.token()
    return Step(SessionOpened(token_hash(token, s), session, replaces=caller.token_hash), token)


def session_for(
    state: State,
    account: AccountEntry | None,
    caller: Caller,
    s: Sockets,
    *,
    level: int = 1,
    required_level: int = 1,
    choices: tuple[str, ...] = (),
) -> Session:
    """Return a session in the given state. The handle is new at the password and stays for the rest of the sign-in."""
    lasts = {
        State.ANONYMOUS: ANONYMOUS_FOR,
        State.IDENTIFIED: IDENTIFIED_FOR,
        State.MFA_CODE_REQUIRED: CODE_WITHIN,
        State.MFA_SETUP_REQUIRED: SETUP_WITHIN,
        State.SIGNED_IN: SIGNED_IN_FOR,
    }[state]
    signed_in = state is State.SIGNED_IN
    before = caller.session
    return Session(
        handle=before.handle if before and before.state != State.ANONYMOUS else s.chance.new_id(),
        state=state,
        created_at=caller.at,
        seen_at=caller.at,
        expires_at=caller.at + lasts,
        idle=IDLE_OF_ADMINISTRATORS if account and account.role in _ADMINISTRATORS else IDLE,
        account_id=account.account_id if account else None,
        choices=choices,
        level=level,
        required_level=required_level,
        stepped_up_until=caller.at + STEPPED_UP_BY_SIGN_IN_FOR if signed_in else None,
        device=before.device if before else "",
    )


def start_anonymous(caller: Caller, s: Sockets) -> Progress:
    """Give a browser that has no sign-in a pre-session, to which its first form is bound. Its cookie holds all of it.

    One that is there already lasts anew under the same handle, so that forms of other windows stay good.
    """
    session = caller.session or session_for(State.ANONYMOUS, None, caller, s)
    issued = f"{session.handle}.{int(caller.at.timestamp())}"
    return Progress(session, token=f"{_PRE_SESSION}{issued}.{s.keys.digest('pre-session', issued)}")


def anonymous_session(token: str, now: datetime, s: Sockets) -> Session | None:
    """Return the pre-session that a cookie of ours holds, None when it is another's or too old. Nothing of it is stored."""
    issued, _, mac = token.removeprefix(_PRE_SESSION).rpartition(".")
    right = s.keys.digest("pre-session", issued)
    if not token.startswith(_PRE_SESSION) or not hmac.compare_digest(mac.encode(), right.encode()):
        return None
    handle, _, seconds = issued.rpartition(".")
    at = datetime.fromtimestamp(int(seconds), UTC)
    if not -CLOCKS_DIFFER <= now - at < ANONYMOUS_FOR:
        return None
    return Session(handle, State.ANONYMOUS, at, now, at + ANONYMOUS_FOR, ANONYMOUS_FOR, level=1)


def sign_out(caller: Caller, s: Sockets) -> None:
    """End the sign-in."""
    if caller.token_hash is not None:
        s.sessions.save(SessionClosed(caller.token_hash))


# ── A code ──


def judged(
    code: str, purpose: Purpose, mfa: UserMFA, caller: Caller, s: Sockets, ahead: Ahead | None = None
) -> list[Fact]:
    """Return the facts to which a code of the active authenticator leads."""
    account, handle = caller.person(), caller.sign_in()[1].handle
    digits = clean_code(code)
    mfa.guesses.admit(handle, caller.at)
    step = None
    if mfa.secret_ref is not None:
        secret = opened(mfa.secret_ref, account, s, ahead)
        step = matching_step(secret, digits, caller.at)
    _tell_of_clock(mfa, step, caller)
    return mfa.verify(purpose=purpose, challenge=handle, step=step, at=caller.at)


def opened(secret_ref: str, account: AccountEntry, s: Sockets, ahead: Ahead | None = None) -> str:
    """Return a shared secret. Raises Conflict when a reset, a set-up or a last wrong code has just ended it: decide again."""
    try:
        return s.vault.open(
            tenant=account.partner_id, account_id=account.account_id, secret_ref=secret_ref, ahead=ahead
        )
    except Unreadable:
        person = s.people.account(account.account_id)
        if person is None or person.disabled:  # it was just erased
            raise SessionEnded from None
        now = mfa_of(account.account_id, s)[0]
        if now.guesses.dead or secret_ref not in {now.secret_ref, now.setup.secret_ref if now.setup else None}:
            raise Conflict(account.account_id) from None
        raise


def _tell_of_clock(mfa: UserMFA, step: int | None, caller: Caller) -> None:
    """Tell the operator when a right code has to wait, since the account's last one was of a time that has not come yet."""
    ahead = mfa.last_time_step - time_step(caller.at) - WINDOW_STEPS
    if step is not None and ahead > 0:
        words = (
            "the clock was set back: the codes of account %s wait for about %d s; a reset of its MFA ends that at once"
        )
        _log.warning(words, caller.person().account_id, (ahead + WINDOW_STEPS) * PERIOD_SECONDS)


def store_code_try(
    facts: list[Fact], mfa: UserMFA, version: int, caller: Caller, s: Sockets, if_verified: list[Row]
) -> int:
    """Store what a code led to before anybody hears of it; the sign-in ends with its fifth wrong code."""
    account, (token, session) = caller.person(), caller.sign_in()
    verified = isinstance(facts[0], Verified)
    last_one = mfa.guesses.is_last(session.handle)
    rows = secrets_ended(mfa, facts, account.account_id)
    rows += if_verified if verified else [SessionClosed(token)] if last_one else []
    change = Change(f"user_mfa:{account.account_id}", version, facts, account.partner_id)
    position = s.store.append(change, origin=caller.origin(), rows=[*guarded(caller), *rows])
    if not verified:
        raise CodeNotAccepted(challenge_ended=last_one)
    return position


def guarded(caller: Caller) -> list[SessionStands | StillAllowed]:
    """Return what has to stand still while a code is judged: the sign-in, and the account behind it."""
    account = caller.person()
    return [SessionStands(caller.sign_in()[0]), StillAllowed(account.account_id, account.generations)]
