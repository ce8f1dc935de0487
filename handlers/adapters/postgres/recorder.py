"""The write path of the log: facts, command, access state and rows, all in one transaction or none of them.

It keeps the library's tables and reading, and replaces its lock, its NOTIFY and its retry: the lock and the NOTIFY would
let one transaction commit after the other, and the retry may take the own committed facts for somebody else's. What the
lock was for, that nobody reads past a position which is still to be committed, the horizon does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from eventsourcing.persistence import InterfaceError, Notification, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment
from psycopg import Connection
from psycopg.rows import DictRow, tuple_row

from domain.kernel import Envelope
from handlers.adapters.postgres.access import changes_access, fold_access
from handlers.adapters.postgres.database import new_pool
from handlers.adapters.postgres.group_commit import GroupCommit
from handlers.adapters.postgres.horizon import Horizon
from handlers.adapters.postgres.rows import check_row, write_rows
from handlers.adapters.postgres.sign_ins import ALL_OPENED, SWAP, swap_of
from handlers.ports import Conflict, Keys, Origin, Row, SessionEnded
from handlers.ports.log import WATCHED, check_watched

SILENCE = (InterfaceError, OperationalError)
"""How the library says that the database did not answer, or that the answer was lost."""
_STAND_ON = "SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 7235034))"
_CHANGE = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7235034))"
_VERSION = "SELECT coalesce(max(originator_version), 0) AS version FROM stored_events WHERE originator_id = %s"
_FACTS = """
    WITH r AS MATERIALIZED (SELECT * FROM json_to_recordset(%s::json) AS r (n integer, command_id text, fingerprint text,
            stream text, version bigint, topic text, state text)),
    c AS (INSERT INTO command (command_id, fingerprint, stream, version)
        SELECT command_id, fingerprint, stream, version FROM r WHERE command_id IS NOT NULL),
    f AS (INSERT INTO stored_events (originator_id, originator_version, topic, state)
        SELECT stream, version, topic, convert_to(state, 'UTF8') FROM r ORDER BY n RETURNING notification_id)"""
_STORE = f"{_FACTS} SELECT notification_id FROM f"  # noqa: S608 our own words
_STORE_AND_SWAP = f"{_FACTS}, {SWAP} SELECT notification_id FROM f WHERE {ALL_OPENED}"  # noqa: S608 our own words
_SESSION_ENDED = "WW001"
"""The SQLSTATE of ``refuse_ended_session``."""


@dataclass(frozen=True, slots=True)
class Append:
    """What one command stores."""

    stored: Sequence[StoredEvent]
    envelopes: Sequence[Envelope]
    origin: Origin | None
    rows: Sequence[Row]
    unchanged: Sequence[tuple[str, int]]

    def is_plain(self) -> bool:
        """Say whether others may share its statement: facts of one stream that touch nobody's access, and no rows but a
        sign-in's next step.
        """
        stream = self.stored[0].originator_id
        return (
            not self.unchanged
            and (not self.rows or swap_of(self.rows) is not None)
            and not str(stream).startswith(WATCHED)
            and all(each.originator_id == stream for each in self.stored)
            and not any(changes_access(each) for each in self.envelopes)
        )

    def records(self) -> list[dict[str, Any]]:
        """Return the rows of the log; the last one carries the command."""
        records: list[dict[str, Any]] = [
            {
                "stream": each.originator_id,
                "version": each.originator_version,
                "topic": each.topic,
                "state": each.state.decode(),
            }
            for each in self.stored
        ]
        if self.origin is not None:
            records[-1] |= {"command_id": self.origin.command_id, "fingerprint": self.origin.fingerprint}
        return records


class Recorder(PostgresApplicationRecorder):
    """Stores what belongs together at once; whoever comes at the same time shares the commit."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        self._horizon = Horizon()
        self.keys: Keys | None = None
        """By which the rows of sessions get their MAC."""
        self._together: GroupCommit[Append, Sequence[int]] = GroupCommit(self._store_together, SILENCE)

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
        append = Append(stored_events, envelopes, origin, rows, unchanged)
        return self._together(append) if append.is_plain() else self._store_alone(append)

    def _store_together(self, appends: Sequence[Append]) -> Sequence[Sequence[int]]:
        """Store them by one statement, which is its own transaction; the streams in one order, so that none waits in a ring."""
        order = sorted(range(len(appends)), key=lambda number: appends[number].stored[0].originator_id)
        swaps = [swap.record(self.keys) for each in appends if (swap := swap_of(each.rows))]
        values = [_records([appends[number] for number in order])]
        if swaps:
            values.append(orjson.dumps(swaps).decode())
        with self.datastore.get_connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            try:
                rows = cursor.execute(_STORE_AND_SWAP if swaps else _STORE, values, prepare=True).fetchall()
            except psycopg.Error as error:
                if error.sqlstate == _SESSION_ENDED:
                    raise SessionEnded from None
                raise
        positions = iter(rows)
        found = {number: [next(positions)[0] for _ in appends[number].stored] for number in order}
        return [found[number] for number in range(len(appends))]

    def _store_alone(self, append: Append) -> Sequence[int]:
        """Store in a transaction of its own. Its facts come first: whoever adds to the same stream waits there for it."""
        with self.datastore.get_connection() as connection:
            with _sent_at_once(connection):
                _watch(connection, append)
                stored = connection.execute(_STORE, [_records([append])], prepare=True)
                _check_unchanged(connection, append)
                for row in append.rows:
                    check_row(connection, row)
                fold_access(connection, append.envelopes)
                write_rows(connection, append.rows, self.keys)
            return [row["notification_id"] for row in stored.fetchall()]

    def settled(self, after: int) -> int:
        """Return the position up to which the log can be read, with a little patience for what comes after this one."""
        with self.datastore.cursor() as cursor:
            return self._horizon.reached(cursor, after)

    def select_notifications(  # noqa: D102 the library's name and contract
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        settled = self.settled((start or 0) - inclusive_of_start)
        stop = settled if stop is None else min(stop, settled)
        found: Sequence[Notification] = super().select_notifications(
            start, limit, stop, topics, inclusive_of_start=inclusive_of_start
        )
        return found


@contextmanager
def _sent_at_once(connection: Connection[DictRow]) -> Iterator[None]:
    """Begin and commit a transaction whose statements wait for no answer but those that are fetched meanwhile.

    Each has a cursor of its own: one that is used again may give an earlier statement's answer for a later one's. What
    goes wrong may be heard of only when the end is on its way; it is skipped then, like all that follows an error.
    """
    try:
        with connection.pipeline():
            connection.execute("BEGIN")
            yield
            connection.execute("COMMIT")
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise


def _records(appends: Sequence[Append]) -> str:
    records = [record for each in appends for record in each.records()]
    return orjson.dumps([{"n": number, **record} for number, record in enumerate(records)]).decode()


def _watch(connection: Connection[DictRow], append: Append) -> None:
    """Let nobody change what this decision stands on until it is committed, and wait for those who stand on what it changes."""
    check_watched(append.unchanged)
    for stream in sorted({each.stream for each in append.envelopes if each.stream.startswith(WATCHED)}):
        connection.execute(_CHANGE, (stream,))
    for stream, _ in sorted(append.unchanged):
        connection.execute(_STAND_ON, (stream,))


def _check_unchanged(connection: Connection[DictRow], append: Append) -> None:
    for stream, version in append.unchanged:
        found = connection.execute(_VERSION, (stream,)).fetchone()
        if found is None or found["version"] != version:
            raise Conflict(stream)


class Factory(PostgresFactory):
    """The library's factory with our recorder in it, and a pool of ours: one way to connect, from the first connection on."""

    application_recorder_class = Recorder

    def __init__(self, env: Environment) -> None:
        """Take the whole address from where the library expects the name of the database; its own pool is never opened."""
        super().__init__(env)
        size = int(env[self.POSTGRES_POOL_SIZE]) + int(env[self.POSTGRES_MAX_OVERFLOW])
        pool: Any = new_pool(env[self.POSTGRES_DBNAME], size, by_key=True)
        self.datastore.pool = pool
