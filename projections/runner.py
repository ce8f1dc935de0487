"""Follows the log into the views: rows and position in one transaction, and a loud stop at a fact it cannot fold."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from typing import Any, Protocol

import psycopg
from psycopg import Connection
from psycopg.rows import tuple_row

from domain.kernel import Envelope
from projections import audit_trail, mail_state, partner_policy, status_history, user_status
from projections.tables import FEW, much_at_once

Read = Callable[[int, int], Sequence[Envelope]]
"""Returns the next envelopes after a position, at most so many."""
PAGE = 5_000
"""Facts in one reading of the log."""
MOST = 1_000_000
"""Facts in one transaction at most, when a view is far behind; a single fact is visible at once."""
ROWS = 50_000
"""A view that has so many rows to write writes them, however far behind it is."""
BATCH_SECONDS = 1.0
"""For so long facts are taken in before what they led to is written."""
POLL_SECONDS = 0.25
"""How long a follower sleeps when no commit wakes it."""
RETRY_SECONDS = 10.0
"""How long a view that cannot fold a fact waits before it tries again, and says so again."""
AWAY = (psycopg.OperationalError, psycopg.InterfaceError)
"""The database does not answer: no fault of a fact."""
LOCK = "SELECT pg_advisory_lock(hashtext('view'), hashtext(%s))"
"""Whoever writes a view holds this lock, taken before anything else."""
_TRY = "SELECT name, pg_try_advisory_lock(hashtext('view'), hashtext(name)) FROM unnest(%s::text[]) AS name"
TRACKED = "SELECT notification_id FROM notification_tracking WHERE application_name = %s"
_TRACKED_OF = "SELECT application_name, notification_id FROM notification_tracking WHERE application_name = ANY(%s)"
_TRACK = """
    INSERT INTO notification_tracking (application_name, notification_id) VALUES (%s, %s)
    ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id"""
_log = logging.getLogger("watchword.projector")


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
    view.NAME: view for view in (user_status, partner_policy, mail_state, status_history, audit_trail)
}
"""Every view by its lasting name."""


def pages(read: Read, page: Sequence[Envelope], most: int = MOST) -> Generator[Sequence[Envelope], None, None]:
    """Return this page and those that follow, so many facts at most; each is read while the one before is taken in."""
    taken = len(page)
    with ThreadPoolExecutor(1, "reader") as reader:
        while page:
            more = len(page) == PAGE and taken < most
            coming = reader.submit(read, page[-1].position, min(PAGE, most - taken)) if more else None
            yield page
            page = coming.result() if coming else []
            taken += len(page)


def _few(folds: dict[str, Fold]) -> bool:
    return sum(map(len, folds.values())) <= FEW


class Projector:
    """Keeps the live views in step with the log."""

    def __init__(self, url: str, read: Read) -> None:
        self._url, self._read = url, read
        self._opened: Connection[Any] | None = None
        self._positions: dict[str, int] = {}
        self._pace: dict[str, tuple[int, float]] = {}
        """For each view how many facts it takes next, and when it is tried again."""

    @property
    def _connection(self) -> Connection[Any]:
        if self._opened is None or self._opened.closed:
            self._opened = psycopg.connect(self._url, autocommit=True, row_factory=tuple_row)
            # Rows and position are lost together or not at all, and then folded again: nobody waits for the disk here.
            self._opened.execute("SET synchronous_commit = off")
        return self._opened

    def close(self) -> None:
        """Let the connection go."""
        if self._opened is not None:
            self._opened.close()

    def position(self, name: str) -> int:
        """Return how far a view has come."""
        found = self._connection.execute(TRACKED, (name,)).fetchone()
        return found[0] if found else 0

    def step(self) -> int:
        """Fold what comes next into each view that is behind, and return how many facts that were.

        Views that stand at the same position share one reading of the log. A view that cannot fold a fact stands still
        before it and says so, again and again; it never skips one. The others go on.
        """
        together: dict[tuple[int, int], list[str]] = defaultdict(list)
        for name in VIEWS:
            limit, not_before = self._pace.get(name, (MOST, 0.0))
            if name not in self._positions:
                self._positions[name] = self.position(name)
            if time.monotonic() >= not_before:
                together[self._positions[name], limit].append(name)
        return sum(self._fold(names, after, limit) for (after, limit), names in together.items())

    def _fold(self, names: Sequence[str], after: int, limit: int) -> int:
        with much_at_once():
            return self._folded(names, after, limit)

    def _folded(self, names: Sequence[str], after: int, limit: int) -> int:
        page = self._read(after, min(PAGE, limit))
        if not page:
            return 0
        with self._alone(names, after) as free:
            folds = {name: VIEWS[name].Fold(self._connection) for name in free}
            taken, ends = 0, time.monotonic() + BATCH_SECONDS
            with closing(pages(self._read, page, limit)) as coming:
                for each in coming:
                    after, taken = each[-1].position, taken + len(each)
                    work = {name: partial(fold.add, each) for name, fold in folds.items()}
                    folds = {name: folds[name] for name in work if self._tried(name, taken, work[name])}
                    most = max(map(len, folds.values()), default=ROWS)
                    if most >= ROWS or time.monotonic() > ends:
                        break
            self._write_each(folds, after, taken)
        return taken * len(free)

    @contextmanager
    def _alone(self, names: Sequence[str], after: int) -> Iterator[list[str]]:
        """Hold the locks of those views that nobody else holds, as long as they stand where they were left."""
        connection = self._connection
        try:
            with connection.pipeline():  # the second one sees what was written before the locks were had
                locks = connection.execute(_TRY, (list(names),))
                places = connection.execute(_TRACKED_OF, (list(names),))
                locked = [name for name, had in locks.fetchall() if had]
                self._positions |= dict.fromkeys(names, 0) | dict(places.fetchall())
            yield [name for name in names if name in locked and self._positions[name] == after]
        finally:
            if not connection.closed:
                connection.execute("SELECT pg_advisory_unlock_all()")

    def _write_each(self, folds: dict[str, Fold], position: int, taken: int) -> None:
        """Write little of all views at once; much of a view, or what cannot be written so, by itself."""
        if len(folds) > 1 and _few(folds):
            try:
                self._write(folds, position)
            except AWAY:
                raise
            except Exception as error:  # noqa: BLE001 whichever view it is: it is found below, and named
                _log.info("written one by one after position %s: %s", position, type(error).__name__)
            else:
                return
        for name, fold in folds.items():
            self._tried(name, taken, partial(self._write, {name: fold}, position))

    def _write(self, folds: dict[str, Fold], position: int) -> None:
        pipeline = self._connection.pipeline() if _few(folds) else nullcontext()
        with pipeline, self._connection.transaction(), self._connection.cursor() as cursor:
            for fold in folds.values():
                fold.write()
            cursor.executemany(_TRACK, [(name, position) for name in folds])
        for name in folds:
            self._positions[name] = position
            self._pace[name] = (min(MOST, 2 * self._pace.get(name, (MOST, 0.0))[0]), 0.0)

    def _tried(self, name: str, taken: int, work: Callable[[], None]) -> bool:
        """Let a view that fails take fewer facts next time, and stand still where even a single one is too much."""
        try:
            work()
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, this view stops here and the next one goes on
            self._pace[name] = (max(1, taken // 8), 0.0)
            if taken == 1:
                at = self._positions[name]
                _log.critical("%s stands still after position %s: %s", name, at, type(error).__name__)
                self._pace[name] = (1, time.monotonic() + RETRY_SECONDS)
            return False
        return True

    def follow(self, url: str, stop: threading.Event) -> None:
        """Fold for ever, woken by each commit to the log, and by the clock in case a wake-up was lost."""
        with psycopg.connect(url, autocommit=True) as listener:
            listener.execute("LISTEN stored_events")
            while not stop.is_set():
                if self.step() == 0:
                    for _ in listener.notifies(timeout=POLL_SECONDS, stop_after=1):
                        pass


def wait_for(
    connection_one: Callable[[str, tuple[object, ...]], Any], name: str, position: int, seconds: float
) -> bool:
    """Wait, without a lock, until a view has come to a position; False when the time is over."""
    deadline, pause = time.monotonic() + seconds, 0.002
    while True:
        row = connection_one(TRACKED, (name,))
        if row is not None and row["notification_id"] >= position:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
