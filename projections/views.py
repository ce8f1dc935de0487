"""Every view by its lasting name, the shards that it is divided into, and how far it has come."""

import time
import zlib
from collections.abc import Callable, Collection, Iterable, Sequence, Sized
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from psycopg import Connection, Cursor

from domain.kernel import Envelope
from projections import audit_trail, log_minute, mail_state, partner_policy, status_history, user_status

SHARDS = 8
"""So many parts, by tenant, can be folded by as many projectors. Positions are kept for each: to change it, migrate them."""
POSITION = """
    SELECT coalesce(min(coalesce(t.notification_id, 0)), 0) AS position
    FROM unnest(%s::text[]) AS p (name) LEFT JOIN notification_tracking t ON t.application_name = p.name"""
"""How far these parts have come, all of them: what a reader may count on."""
_IN_ONE_LOOK = f"""
    SELECT position, coalesce((SELECT max(notification_id) FROM stored_events), 0) AS newest FROM ({POSITION}) p"""  # noqa: S608 our own words
One = Callable[[str, tuple[object, ...]], Any]
"""Returns one row of a query, by the names of its columns."""


class Fold(Sized, Protocol):
    """What some facts make of a view's rows: taken in page by page, and written at once. Its length: rows to write."""

    def add(self, envelopes: Iterable[Envelope]) -> None:
        """Take in what happened next. Nothing is written."""

    def write(self) -> None:
        """Bring the tables to where the facts have led."""


class View(Protocol):
    """A module of a view: its lasting name, the keys of its tables, its fold."""

    NAME: str
    TABLES: dict[str, tuple[str, ...]]

    @staticmethod
    def Fold(connection: Connection[Any]) -> Fold:  # noqa: N802 a class of each view
        """Begin to fold on the tables that this connection sees."""


VIEWS: dict[str, Any] = {
    view.NAME: view for view in (user_status, partner_policy, mail_state, status_history, log_minute, audit_trail)
}
"""Every view by its lasting name."""
UNDIVIDED = frozenset({log_minute.NAME})
"""Views with rows that facts of several tenants change. Of all others, a tenant's facts change that tenant's rows alone."""


class Part(NamedTuple):
    """What has one position: one shard of a view, or all of a view that is not divided."""

    view: str
    shard: int | None

    @property
    def name(self) -> str:
        """Under which its position is kept."""
        return self.view if self.shard is None else f"{self.view}/{self.shard}"


@lru_cache(100_000)
def shard_of(tenant: str) -> int:
    """Return the shard of a tenant: the same one everywhere, for ever."""
    return zlib.crc32(tenant.encode()) % SHARDS


def parts(*views: str) -> list[Part]:
    """Return all parts of these views."""
    return [Part(view, shard) for view in views for shard in ([None] if view in UNDIVIDED else range(SHARDS))]


def of_shards(envelopes: Sequence[Envelope], shards: Collection[int | None]) -> Sequence[Envelope]:
    """Return what happened in these shards; None stands for all of them."""
    if None in shards or len(shards) == SHARDS:
        return envelopes
    return [each for each in envelopes if shard_of(each.tenant) in shards]


def position(connection_one: One, *views: str) -> int:
    """Return how far these views have come: each of their parts has come at least there."""
    found: int = connection_one(POSITION, ([each.name for each in parts(*views)],))["position"]
    return found


def ask_how_far(connection: Connection[Any], *views: str) -> Cursor[Any]:
    """Ask for ``position``, how far these views have come, and ``newest``, where the log ends as this database has it."""
    return connection.execute(_IN_ONE_LOOK, (_array(views),))


@lru_cache
def _array(views: tuple[str, ...]) -> str:
    """Return the names of all parts of these views as PostgreSQL writes an array."""
    return f"{{{','.join(each.name for each in parts(*views))}}}"


def wait_for(connection_one: One, views: Sequence[str], at: int, seconds: float) -> bool:
    """Wait until all of these views have come to a position; False when the time is over."""
    return come_to(connection_one, views, at, seconds) >= at


def come_to(connection_one: One, views: Sequence[str], at: int, seconds: float) -> int:
    """Wait, without a lock, for these views to come to a position until the time is over; return how far they have come."""
    deadline, pause = time.monotonic() + seconds, 0.002
    while (come := position(connection_one, *views)) < at and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return come
