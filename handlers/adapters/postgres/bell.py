"""Wakes the followers after a commit, and never within it: NOTIFY inside would let one transaction commit after the other."""

import threading
from contextlib import suppress
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

QUIET_SECONDS = 0.02
"""The shortest time between two rings: in a stream of commits, one ring is for many."""
_RING = "NOTIFY stored_events"


class Bell:
    """Rings at once when nothing was added lately, and soon when much is. A ring that is lost delays, and loses nothing."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool
        self._added = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """Say that facts were added."""
        if not self._added.is_set():
            self._added.set()
        if self._thread is None:
            with self._lock:
                self._begin()

    def _begin(self) -> None:
        if self._thread is None and not self._ended.is_set():
            self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ring for what was added last, and end."""
        self._ended.set()
        self._added.set()
        if self._thread is not None:
            self._thread.join(2 * QUIET_SECONDS + 1)

    def _run(self) -> None:
        while True:
            self._added.wait()
            self._added.clear()
            with suppress(psycopg.Error), self._pool.connection() as connection:  # followers look by themselves too
                connection.execute(_RING)
            if self._ended.wait(QUIET_SECONDS):
                return
