"""Which shards are ours: as many projectors as are at work take a fair share each."""

import time
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import tuple_row

from projections.views import SHARDS

ASK_SECONDS = 0.5
"""How often a projector looks how many are at work, and which shards nobody holds."""
_JOIN = "SELECT pg_advisory_lock_shared(hashtext('projector'), 0)"
_AT_WORK = """
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted AND objsubid = 2
        AND classid = hashtext('projector')::oid AND objid = 0
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_TAKE = "SELECT pg_try_advisory_lock(hashtext('shard'), %s)"
_GIVE = "SELECT pg_advisory_unlock(hashtext('shard'), %s)"


class Shares:
    """The leases of one projector: a session's advisory lock for each shard that it folds.

    The session is the very one that writes the rows. So the server frees a shard in the moment in which nothing more of
    its holder can be written, however the holder ended: no clocks are compared, and nothing has to be renewed.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: Connection[Any] | None = None
        self._ask_at = 0.0
        self.ours: frozenset[int] = frozenset()

    @property
    def session(self) -> Connection[Any]:
        """The session that holds the leases and writes the rows."""
        if self._opened is None:
            self._opened = psycopg.connect(self._url, autocommit=True, row_factory=tuple_row)
            # Rows and position are lost together or not at all, and then folded again: nobody waits for the disk here.
            self._opened.execute("SET synchronous_commit = off")
            self._opened.execute("SET timezone = 'UTC'")  # days are those of UTC, whatever zone the database has
        return self._opened

    def settle(self) -> None:
        """Take shards that nobody holds, or give some up, until we hold no more than a fair share of them.

        Whoever holds more than that gives up what is over, so each of the others finds enough: no two have to agree.
        """
        if self._opened is not None and self._opened.closed:  # and with it went all that was ours
            self._opened, self._ask_at, self.ours = None, 0.0, frozenset()
        if time.monotonic() < self._ask_at:
            return
        session = self.session
        if not self._ask_at:
            session.execute(_JOIN)
        self._ask_at = time.monotonic() + ASK_SECONDS
        at_work = session.execute(_AT_WORK).fetchone()
        fair = -(-SHARDS // max(1, at_work[0] if at_work else 1))
        for shard in sorted(self.ours)[fair:]:
            session.execute(_GIVE, (shard,))
            self.ours -= {shard}
        for shard in range(SHARDS):
            if len(self.ours) < fair and shard not in self.ours:
                had = session.execute(_TAKE, (shard,)).fetchone()
                self.ours |= {shard} if had and had[0] else set()

    def close(self) -> None:
        """Let the session go, and with it all that is ours."""
        if self._opened is not None:
            self._opened.close()
