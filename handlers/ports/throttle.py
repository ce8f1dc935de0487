"""How often something may be tried: counts, and the mailed links that are counted too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from handlers.ports.log import Row


@dataclass(frozen=True, slots=True)
class Limit:
    """How often something may be tried."""

    name: str
    tries: int
    window: timedelta | None
    """In which the tries count; None: until a success clears them."""
    wait: timedelta | None = None
    """How long the first block lasts; None: until the window ends, or for ever where there is no window."""
    longest_wait: timedelta | None = None
    """Blocks double up to this."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Whether a try may be looked at."""

    admitted: bool
    retry_at: datetime | None = None
    """When the next one may be, None: not before somebody clears it."""
    last: tuple[str, ...] = ()
    """The limits of which this was the last try."""
    refused_by: Limit | None = None
    """The limit that was used up."""
    blocked_until: datetime | None = None
    """When the longest block ends that this last try has brought; None: not before somebody clears it."""


class SignInLog(Protocol):
    """Failed passwords: not facts, since anyone can make them, and forgotten after a while."""

    def note(self, at: datetime, mail_digest: str, ip_prefix: str, *, known_device: bool, outcome: str) -> None:
        """Keep one failed try."""


class Throttle(Protocol):
    """Counts of tries, each reserved in its own transaction before anything is compared."""

    def reserve(self, *tries: tuple[Limit, str], now: datetime) -> Reservation:
        """Count one try under each limit and key, or none of them when one is used up."""

    def refund(self, *keys: tuple[Limit, str]) -> None:
        """Give one try back, for one that was right."""

    def clear(self, *keys: tuple[Limit, str]) -> None:
        """Forget the tries, after a success."""


@dataclass(frozen=True, slots=True)
class Link:
    """The stored half of a mailed link."""

    link_id: str
    account_id: str
    secret_hash: str
    wrong: int


class Links(Protocol):
    """Mailed links, of which only hashes are kept."""

    def keep(self, links: Sequence[Link]) -> None:
        """Remember links that are about to be mailed."""

    def find(self, link_id: str) -> Link | None:
        """Return a link."""

    def spare(self, link_id: str) -> None:
        """Give one try back, for one that was right."""

    def reserve(self, link_id: str) -> bool:
        """Count one try; False when the link has seen five wrong ones."""


@dataclass(frozen=True, slots=True)
class LinkUsed(Row):
    """The link has done its work; it never works again."""

    link_id: str
