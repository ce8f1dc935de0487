"""Sign-ins and how far each has come."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from domain.kernel import Refused
from handlers.ports.log import Ahead, Row
from handlers.ports.people import AccountEntry, StillAllowed


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's sign-in and how far it has come."""

    handle: str
    """Its public name, in facts and logs; it opens nothing."""
    state: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    """The latest end, whatever happens."""
    idle: timedelta
    """How long it lives between two requests."""
    account_id: str | None = None
    generations: tuple[int, int] = (0, 0)
    choices: tuple[str, ...] = ()
    """The accounts behind the proved password, before one is chosen, each with the generations at that moment."""
    level: int = 0
    """1 after the password, 2 after the code (NIST AAL)."""
    required_level: int = 1
    """What the login that made the session demanded."""
    stepped_up_until: datetime | None = None
    device: str = ""
    """The known device from which the password came; empty for an unknown one."""


class SessionEnded(Refused):
    """The sign-in is over, or went on under a newer token: sign in again."""


@dataclass(frozen=True, slots=True)
class SessionStands(Row):
    """The sign-in still stands under this token, seen before anything is stored; else SessionEnded."""

    token_hash: bytes


@dataclass(frozen=True, slots=True)
class SessionOpened(Row):
    """A sign-in takes its next step under a new token; the token before is dead."""

    token_hash: bytes
    session: Session
    replaces: bytes | None


@dataclass(frozen=True, slots=True)
class SessionClosed(Row):
    """A sign-in is over."""

    token_hash: bytes


class Found(NamedTuple):
    """A session and who it belongs to, read as one row."""

    session: Session
    account: AccountEntry | None
    ahead: Ahead | None
    """What its code will be judged by, where it waits for one."""


class Sessions(Protocol):
    """The sessions that are alive."""

    def find(self, token_hash: bytes, now: datetime) -> Found | None:
        """Return the session; None when it ended, idled out or was overtaken."""

    def save(self, *rows: SessionOpened | SessionClosed | StillAllowed | SessionStands) -> None:
        """Write without a fact. Raises SessionEnded when what a row stands on stands no longer."""
