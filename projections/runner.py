"""Follows the log into the views: rows and position in one transaction, and a loud stop at a fact it cannot fold."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError, Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from psycopg import Connection, Cursor, sql
from psycopg.rows import dict_row

from domain.kernel import Envelope
from projections import audit_trail, mail_state, partner_policy, status_history, user_status

Read = Callable[[int, int], Sequence[Envelope]]
"""Returns the next envelopes after a position, at most so many."""
PAGE = 500
"""Facts in one transaction when a view is behind; a single fact is visible at once."""
POLL_SECONDS = 0.25
"""How long a follower sleeps when no commit wakes it."""
RETRY_SECONDS = 10.0
"""How long a view that cannot fold a fact waits before it tries again, and says so again."""
AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
"""The database does not answer: no fault of a fact."""
_log = logging.getLogger("watchword.projector")
_TRACKED = "SELECT notification_id FROM notification_tracking WHERE application_name = %s"


class View(Protocol):
    """A module of a view: its lasting name, its tables, its fold."""

    NAME: str
    TABLES: tuple[str, ...]

    @staticmethod
    def fold(cursor: Cursor[Any], envelopes: Iterable[Envelope]) -> None:
        """Bring the rows to where the facts have led."""


VIEWS: dict[str, Any] = {
    view.NAME: view for view in (user_status, partner_policy, mail_state, status_history, audit_trail)
}
"""Every view by its lasting name."""


class Projector:
    """Keeps the live views in step with the log."""

    def __init__(self, datastore: PostgresDatastore, read: Read) -> None:
        self._recorder = PostgresTrackingRecorder(datastore)
        self._datastore = datastore
        self._read = read
        self._pace: dict[str, tuple[int, float]] = {}
        """For each view the size of its next page, and when it is tried again."""

    def close(self) -> None:
        """Let the connections go."""
        self._datastore.close()

    def position(self, name: str) -> int:
        """Return how far a view has come."""
        return self._recorder.max_tracking_id(name) or 0

    def step(self) -> int:
        """Fold the next page into each view that is behind, and return how many facts that were.

        A view that cannot fold a fact stands still before it and says so, again and again; it never skips one. The
        others go on.
        """
        return sum(self._tried(view) for view in VIEWS.values())

    def _tried(self, view: View) -> int:
        limit, not_before = self._pace.get(view.NAME, (PAGE, 0.0))
        if time.monotonic() < not_before:
            return 0
        try:
            done = self._step(view, limit)
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, this view stops here and the next one goes on
            if limit > 1:
                self._pace[view.NAME] = (max(1, limit // 8), 0.0)
                return 1
            stuck = self.position(view.NAME)
            _log.critical("%s stands still after position %s: %s", view.NAME, stuck, type(error).__name__)
            self._pace[view.NAME] = (1, time.monotonic() + RETRY_SECONDS)
            return 0
        self._pace[view.NAME] = (min(PAGE, limit * 2), 0.0)
        return done

    def _step(self, view: View, limit: int) -> int:
        page = self._read(self.position(view.NAME), limit)
        if page:
            with self._datastore.transaction(commit=True) as cursor, cursor.connection.pipeline():
                view.fold(cursor, page)
                self._recorder._insert_tracking(cursor, Tracking(view.NAME, page[-1].position))  # noqa: SLF001 its place for rows and tracking together
        return len(page)

    def follow(self, url: str, stop: threading.Event) -> None:
        """Fold for ever, woken by each commit to the log, and by the clock in case a wake-up was lost."""
        with psycopg.connect(url, autocommit=True) as listener:
            listener.execute("LISTEN stored_events")
            while not stop.is_set():
                if self.step() == 0:
                    for _ in listener.notifies(timeout=POLL_SECONDS, stop_after=1):
                        pass


@dataclass(frozen=True, slots=True)
class Compared:
    """A live view beside the same view folded anew from the log, both at one position."""

    view: str
    position: int
    rows: int
    missing: int
    """Rows that the log gives and the live view lacks."""
    extra: int
    """Rows of the live view that the log does not give."""
    checksum: str = ""
    """Of the live rows in any order: the sum of their 64-bit hashes."""

    @property
    def equal(self) -> bool:
        """Say whether the live view is what the log says."""
        return self.missing == self.extra == 0


def verify(url: str, read: Read, name: str, progress: Callable[[int], None] = lambda _: None) -> Compared:
    """Compare a live view with a shadow of it, folded from the first fact on, while the live one goes on."""
    view = VIEWS[name]
    with _session(url) as connection:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            position = _tracked(connection, name)
            for table in view.TABLES:
                live, copy = sql.Identifier("public", table), sql.Identifier(f"live_{table}")
                connection.execute(sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM {}").format(copy, live))
        _shadow(connection, view, read, position, progress)
        return _compare(connection, view, position)


def rebuild(url: str, read: Read, name: str, progress: Callable[[int], None] = lambda _: None) -> int:
    """Fold a view anew beside the live one and put it in its place; readers never see an empty view."""
    view = VIEWS[name]
    with _session(url) as connection:
        with connection.transaction():
            built = _tracked(connection, name)
        _shadow(connection, view, read, built, progress)
        with connection.transaction():
            position = _tracked(connection, name, " FOR UPDATE")
            _fold_range(connection, view, read, built, position, progress)
            for table in view.TABLES:
                live, shadow = sql.Identifier("public", table), sql.Identifier("pg_temp", table)
                connection.execute(sql.SQL("DELETE FROM {}").format(live))
                connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(live, shadow))
        return position


@contextmanager
def _session(url: str) -> Iterator[Connection[dict[str, Any]]]:
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def _tracked(connection: Connection[dict[str, Any]], name: str, lock: str = "") -> int:
    row = connection.execute(_TRACKED + lock, (name,)).fetchone()
    return row["notification_id"] if row else 0


def _shadow(connection: Connection[Any], view: View, read: Read, until: int, progress: Callable[[int], None]) -> None:
    """Fold into temporary tables of the same names, which stand before the live ones in this session alone."""
    for table in view.TABLES:
        live, shadow = sql.Identifier("public", table), sql.Identifier(table)
        connection.execute(sql.SQL("CREATE TEMP TABLE {} (LIKE {} INCLUDING ALL)").format(shadow, live))
    _fold_range(connection, view, read, 0, until, progress)


def _fold_range(
    connection: Connection[Any], view: View, read: Read, after: int, until: int, progress: Callable[[int], None]
) -> None:
    while after < until:
        page = [envelope for envelope in read(after, 10 * PAGE) if envelope.position <= until]
        if not page:
            return
        with connection.transaction(), connection.cursor() as cursor, connection.pipeline():
            view.fold(cursor, page)
        after = page[-1].position
        progress(after)


def _compare(connection: Connection[Any], view: View, position: int) -> Compared:
    counts, checksum = [0, 0, 0], 0
    for table in view.TABLES:
        live, shadow = sql.Identifier(f"live_{table}"), sql.Identifier("pg_temp", table)
        query = sql.SQL(
            "SELECT (SELECT count(*) FROM {shadow}) AS rows,"
            " (SELECT count(*) FROM (SELECT * FROM {shadow} EXCEPT ALL SELECT * FROM {live}) m) AS missing,"
            " (SELECT count(*) FROM (SELECT * FROM {live} EXCEPT ALL SELECT * FROM {shadow}) e) AS extra,"
            " (SELECT coalesce(sum(hashtextextended(l::text, 0)::numeric), 0) FROM {live} l) AS checksum"
        ).format(live=live, shadow=shadow)
        row: dict[str, int] = connection.execute(query).fetchone() or {}
        for number, key in enumerate(("rows", "missing", "extra")):
            counts[number] += row[key]
        checksum += int(row["checksum"])
    rows, missing, extra = counts
    return Compared(view.NAME, position, rows, missing, extra, f"{checksum % 2**64:016x}")


def wait_for(
    connection_one: Callable[[str, tuple[object, ...]], Any], name: str, position: int, seconds: float
) -> bool:
    """Wait, without a lock, until a view has come to a position; False when the time is over."""
    deadline, pause = time.monotonic() + seconds, 0.002
    while True:
        row = connection_one(_TRACKED, (name,))
        if row is not None and row["notification_id"] >= position:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
