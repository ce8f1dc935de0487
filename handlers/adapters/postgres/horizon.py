"""How far followers may read: up to the position below which nothing can still commit, so that nothing is passed over."""

import threading
import time
from typing import Any

from psycopg import Cursor
from psycopg.rows import tuple_row

PATIENCE_SECONDS = 0.02
"""How long a reader who has seen everything waits for facts that are just being committed."""
_PAUSE_SECONDS = 0.001
_ASK = "SELECT newest, adding FROM log_horizon(%s)"


class Horizon:
    """The position up to which the log is settled, as this process knows it; it only rises.

    A position is drawn while its transaction runs, so a later one may be committed first. Whoever notes the newest
    position, then the transactions that are adding facts, and then sees each of those end, has everything up to there:
    committed, or never to be.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled = 0
        self._waiting: tuple[int, frozenset[str]] | None = None
        """The newest position when it was noted, and who was adding facts just after."""

    def reached(self, cursor: Cursor[Any], after: int, patience: float = PATIENCE_SECONDS) -> int:
        """Return the settled position; when nothing after the given one is settled, wait a little for what is on its way."""
        deadline = time.monotonic() + patience
        while True:
            settled, on_its_way = self._asked(cursor)
            if settled > after or not on_its_way or time.monotonic() >= deadline:
                return settled
            time.sleep(_PAUSE_SECONDS)

    def _asked(self, cursor: Cursor[Any]) -> tuple[int, bool]:
        """Return the settled position, and whether more is on its way. Only what was noted before this look counts."""
        with self._lock:
            known, waiting = self._settled, self._waiting
        raw = cursor.connection.cursor(row_factory=tuple_row)
        newest, found = raw.execute(_ASK, (known,), prepare=True).fetchone() or (0, None)
        if found is None:
            return known, False
        adding = frozenset(found)
        settled = newest if not adding else waiting[0] if waiting and not waiting[1] & adding else known
        with self._lock:
            self._settled = max(self._settled, settled)
            if self._waiting is waiting and (waiting is None or settled >= waiting[0]):
                self._waiting = (newest, adding) if settled < newest else None
            return self._settled, self._settled < newest
