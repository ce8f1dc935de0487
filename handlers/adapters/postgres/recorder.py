"""The write path of the log: facts, command, access state and rows, all in one transaction or none of them.

It keeps the library's tables, statements and lock, and replaces its retry, which may take the own committed facts for
somebody else's. A faster recorder replaces this file alone.
"""

from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresAggregateRecorder, PostgresApplicationRecorder, PostgresFactory
from psycopg import Cursor
from psycopg.rows import DictRow

from domain.kernel import Envelope
from handlers.adapters.postgres.access import fold_access
from handlers.adapters.postgres.rows import check_row, write_row
from handlers.ports import Conflict, Origin, Row

_UNCHANGED = "SELECT coalesce(max(originator_version), 0) AS version FROM stored_events WHERE originator_id = %s"
_COMMAND = "INSERT INTO command (command_id, fingerprint, stream, version) VALUES (%s, %s, %s, %s)"


class Recorder(PostgresApplicationRecorder):
    """Stores what belongs together at once, in commit order."""

    def insert_events(  # noqa: D102 the library's name and contract
        self,
        stored_events: Sequence[StoredEvent],
        *,
        envelopes: Sequence[Envelope] = (),
        origin: Origin | None = None,
        rows: Sequence[Row] = (),
        unchanged: Sequence[tuple[str, int]] = (),
        **_: Any,
    ) -> Sequence[int]:
        with self.datastore.get_connection() as connection, connection.transaction(), connection.cursor() as cursor:
            self._lock_table(cursor)
            if origin is not None:
                last = stored_events[-1]
                values = (origin.command_id, origin.fingerprint, last.originator_id, last.originator_version)
                cursor.execute(_COMMAND, values)
            self._check_unchanged(cursor, unchanged)
            for row in rows:
                check_row(cursor, row)
            PostgresAggregateRecorder._insert_stored_events(self, cursor, stored_events)  # noqa: SLF001 the library's insert, without its lock
            positions = self._fetch_ids_after_insert_events(cursor, stored_events) or ()
            with connection.pipeline():
                fold_access(cursor, envelopes)
                for row in rows:
                    write_row(cursor, row)
                self._notify_channel(cursor)
        return positions

    @staticmethod
    def _check_unchanged(cursor: Cursor[DictRow], unchanged: Sequence[tuple[str, int]]) -> None:
        for stream, version in unchanged:
            found = cursor.execute(_UNCHANGED, (stream,)).fetchone()
            if found is None or found["version"] != version:
                raise Conflict(stream)


class Factory(PostgresFactory):
    """The library's factory with our recorder in it."""

    application_recorder_class = Recorder
