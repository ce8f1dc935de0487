"""How far followers may read: up to the position below which nothing can still commit, so that nothing is passed over."""

import threading
import time
from collections.abc import Iterable
from typing import Any

from psycopg import Connection, Cursor
from psycopg.rows import tuple_row

from handlers.adapters.postgres.reading import COLUMNS, Stored

PATIENCE_SECONDS = 0.02
"""How long a reader who has seen everything waits for facts that are just being committed."""
_PAUSE_SECONDS = 0.001
_ASK = "SELECT newest, adding FROM log_horizon(%s)"
_ASK_AND_READ = f"SELECT {COLUMNS} FROM log_next(%s, %s, %s)"  # noqa: S608 our own words
_READ = f"SELECT {COLUMNS} FROM stored_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s"  # noqa: S608 our own words
_Waiting = tuple[int, frozenset[str]] | None
_Noted = tuple[int, _Waiting]


class Horizon:
    """The position up to which the log is settled, as this process knows it; it only rises.

    A position is drawn while its transaction runs, so a later one may be committed first. Whoever notes the newest
    position, then the transactions that are adding facts, and then sees each of those end, has everything up to there:
    committed, or never to be.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled = 0
        self._waiting: _Waiting = None
        """The newest position when it was noted, and who was adding facts just after."""

    def reached(self, cursor: Cursor[Any], after: int, patience: float = PATIENCE_SECONDS) -> int:
        """Return the settled position; when nothing after the given one is settled, wait a little for what is on its way."""
        deadline = time.monotonic() + patience
        while True:
            settled, on_its_way = self._asked(cursor)
            if settled > after or not on_its_way or time.monotonic() >= deadline:
                return settled
            time.sleep(_PAUSE_SECONDS)

    def known(self) -> int:
        """Return the position up to which the log was settled at the last look."""
        return self._noted()[0]

    def read(self, connection: Connection[Any], after: int, limit: int) -> list[Stored]:
        """Return the next facts as far as the log is settled; when none is, wait a little for what is on its way.

        Whoever is far behind needs no new horizon. At the end of the log, horizon and facts are one question.
        """
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        noted = known, _ = self._noted()
        rows = _up_to(known, cursor.execute(_READ, (after, limit), prepare=True).fetchall()) if after < known else []
        if len(rows) == limit:
            return rows
        last, lacking = rows[-1][0] if rows else after, limit - len(rows)
        (newest, adding, *_), *more = cursor.execute(_ASK_AND_READ, (known, last, lacking), prepare=True).fetchall()
        settled, on_its_way = self._note(noted, newest, None if adding is None else adding.split(",") if adding else ())
        if on_its_way and settled <= after:
            settled = self.reached(cursor, after)
            more = cursor.execute(_READ, (last, lacking), prepare=True).fetchall()
        return rows + _up_to(settled, more)

    def _asked(self, cursor: Cursor[Any]) -> tuple[int, bool]:
        """Return the settled position, and whether more is on its way."""
        noted = self._noted()
        raw = cursor.connection.cursor(row_factory=tuple_row)
        newest, adding = raw.execute(_ASK, (noted[0],), prepare=True).fetchone() or (0, None)
        return self._note(noted, newest, adding)

    def _noted(self) -> _Noted:
        with self._lock:
            return self._settled, self._waiting

    def _note(self, noted: _Noted, newest: int, found: Iterable[str] | None) -> tuple[int, bool]:
        """Return the position that was settled at this look, and whether more is on its way.

        Only what was noted before the look counts: others may have seen more since, and the facts of this look lack it.
        """
        known, waiting = noted
        if found is None:
            return known, False
        adding = frozenset(found)
        settled = newest if not adding else waiting[0] if waiting and not waiting[1] & adding else known
        with self._lock:
            self._settled = max(self._settled, settled)
            if self._waiting is waiting and (waiting is None or settled >= waiting[0]):
                self._waiting = (newest, adding) if settled < newest else None
        return settled, settled < newest


def _up_to(position: int, rows: list[Stored]) -> list[Stored]:
    return rows if rows and rows[-1][0] <= position else [row for row in rows if row[0] <= position]
