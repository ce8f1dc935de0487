"""One of several programs at work: the others stand by, and one takes over when the first one's session ends.

A projector's shards are leased in the same way, in ``projections.shares``.
"""

import threading
from contextlib import suppress

import psycopg

from handlers.adapters.postgres.database import conninfo

_ASK_SECONDS = 0.5
"""How often a program that stands by asks, and one at work looks whether its session still stands."""
NOTICED_SOON = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
"""Options of a session whose end frees a lock: the server notices within about 11 s that a machine fell silent."""


class Lease:
    """An advisory lock that a session holds.

    The server frees it in the moment in which the session ends, however its holder ended: no clocks are compared, and
    nothing has to be renewed, as a row with an end would need. It is not what keeps the work exact: two at work at once
    hinder each other, and disturb nothing.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._session: psycopg.Connection | None = None

    def wait(self, stop: threading.Event) -> bool:
        """Stand by until it is ours; False when it is over before that."""
        self._session = session = psycopg.connect(conninfo(self._url, NOTICED_SOON), autocommit=True)
        while not stop.is_set():
            row = session.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (self._name,)).fetchone()
            if row and row[0]:
                return True
            stop.wait(_ASK_SECONDS)
        return False

    def watch(self, stop: threading.Event) -> None:
        """Set the event when the session is lost, and with it the lease; return when it is set by others."""
        try:
            while self._session is not None and not stop.wait(_ASK_SECONDS):
                self._session.execute("SELECT")
        except psycopg.Error:
            stop.set()

    def close(self) -> None:
        """Let another take over."""
        if self._session is not None:
            with suppress(psycopg.Error):
                self._session.close()
