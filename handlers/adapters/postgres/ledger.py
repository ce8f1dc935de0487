"""The ledger's tree in PostgreSQL, beside the log it is made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from psycopg import Connection, Cursor
from psycopg.rows import tuple_row

from domain.merkle import HASH_BYTES, Frontier, Node, frontier
from handlers.adapters.postgres.database import Database
from handlers.adapters.postgres.horizon import Horizon
from handlers.ports import Leaf, LedgerBroken, Note, StoredFact

Made = TypeVar("Made", bound=tuple[Any, ...])

_LOCK = 7_235_033
"""One follower at a time adds leaves; another one waits for its turn and goes on from there."""
_NOTES = 500
"""Notes that are read at once."""
_TIP = "SELECT number + 1, position FROM ledger_leaf ORDER BY number DESC LIMIT 1"
_EVERY_FACT = """
    SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events
    WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id"""
_EVERY_LEAF = "SELECT number, position, hashes FROM ledger_leaf WHERE number >= %s AND number < %s ORDER BY number"
_NO_HURRY = (
    "SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)"
)
"""Whoever reads everything may take long over it, also over what is already on its way."""
_COPY = "COPY ledger_leaf (number, position, hashes) FROM STDIN (FORMAT BINARY)"
_KEEP = "INSERT INTO ledger_checkpoint (size, note) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_KEPT = "SELECT size, note FROM ledger_checkpoint WHERE size > %s AND size <= %s ORDER BY size LIMIT %s"
_HOLE = """
    WITH broken AS (SELECT originator_id FROM stored_events GROUP BY originator_id
        HAVING (min(originator_version), max(originator_version), count(*))
            <> (1, count(DISTINCT originator_version), count(DISTINCT originator_version)))
    SELECT notification_id, originator_id FROM (
        SELECT notification_id, originator_id, originator_version, row_number() OVER (
            PARTITION BY originator_id ORDER BY originator_version) AS counted FROM stored_events
        WHERE originator_id IN (SELECT originator_id FROM broken)) AS numbered
    WHERE originator_version <> counted ORDER BY notification_id LIMIT 1"""
"""Counting within each stream reads the index alone; numbering is for the streams that lack a version."""


class PostgresTree:
    """The Tree socket's plug."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._horizon = Horizon()

    def extend(self, limit: int, grow: Callable[[Frontier, Sequence[StoredFact]], Sequence[Leaf]]) -> int:
        """Add the leaves of the next facts in one transaction that no other follower shares; return how many."""
        with self._database.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            cursor = _raw(connection)
            size, position = _tip(cursor)
            facts = _facts(cursor, position, self._horizon.reached(cursor, position), limit)
            if facts:
                leaves = grow(frontier(size, lambda nodes: _fetch(cursor, nodes)), facts)
                with cursor.copy(_COPY) as copy:
                    copy.set_types(["int8", "int8", "bytea"])
                    for leaf in leaves:
                        copy.write_row((leaf.number, leaf.position, leaf.hashes))
        return len(facts)

    def tip(self) -> tuple[int, int]:
        """Return how many leaves the tree has, and the position of its last one."""
        with self._database.connection() as connection:
            return _tip(_raw(connection))

    def facts(self, after: int, until: int, limit: int) -> Sequence[StoredFact]:
        """Return the next rows of the log after a position, up to and with another."""
        with self._database.connection() as connection:
            return _facts(_raw(connection), after, until, limit)

    def waiting(self, after: int) -> int:
        """Return how many facts stand after a position."""
        row = self._database.one("SELECT count(*) AS facts FROM stored_events WHERE notification_id > %s", (after,))
        return row["facts"] if row else 0

    def count(self, until: int) -> int:
        """Return how many facts the log has from position 1 up to and with another."""
        with self._database.connection() as connection, connection.transaction():
            connection.execute(_NO_HURRY)
            query = "SELECT count(*) FROM stored_events WHERE notification_id BETWEEN 1 AND %s"
            row: tuple[int] | None = _raw(connection).execute(query, (until,)).fetchone()
        return row[0] if row else 0

    def leaves(self, start: int, limit: int) -> Sequence[Leaf]:
        """Return the next leaves, from one number on."""
        query = "SELECT number, position, hashes FROM ledger_leaf WHERE number >= %s ORDER BY number LIMIT %s"
        with self._database.connection() as connection:
            return [*map(Leaf._make, _raw(connection).execute(query, (start, limit)).fetchall())]

    def every_leaf(self, start: int, end: int, page: int) -> Iterator[Sequence[Leaf]]:
        """Return all leaves from one number on to before another, so many at once, as one moment saw them."""
        return self._streamed(_EVERY_LEAF, (start, end), page, Leaf)

    def every_fact(self, after: int, until: int, page: int) -> Iterator[Sequence[StoredFact]]:
        """Return all rows of the log after a position, up to and with another, so many at once, as one moment saw them."""
        return self._streamed(_EVERY_FACT, (after, until), page, StoredFact)

    def _streamed(self, query: str, values: Sequence[object], page: int, kind: type[Made]) -> Iterator[list[Made]]:
        """Return what one statement finds: the database looks for the next rows while these are used."""
        with self._database.transaction() as connection:
            connection.execute(_NO_HURRY)
            made: Callable[[Any], Made] = partial(tuple.__new__, kind)  # ``_make`` takes twice as long
            rows: Any = _raw(connection).stream(query, values, binary=True, size=page)
            with closing(rows):
                while found := [*map(made, islice(rows, page))]:
                    yield found

    def leaf_at(self, position: int) -> Leaf | None:
        """Return the leaf of the fact at a position."""
        query = "SELECT number, position, hashes FROM ledger_leaf WHERE position = %s"
        with self._database.connection() as connection:
            row = _raw(connection).execute(query, (position,)).fetchone()
        return Leaf(*row) if row else None

    def fetch(self, nodes: Sequence[Node]) -> Mapping[Node, bytes]:
        """Look up the hashes of full subtrees."""
        with self._database.connection() as connection:
            return _fetch(_raw(connection), nodes)

    def before_the_first(self) -> int | None:
        """Return a position of a fact that stands where no fact can: before position 1."""
        row = self._database.one("SELECT min(notification_id) AS position FROM stored_events WHERE notification_id < 1")
        return row["position"] if row else None

    def after_a_hole(self) -> tuple[int, str] | None:
        """Return the first position at which a stream goes on after a version that it lacks, and the stream."""
        with self._database.connection() as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            return _raw(connection).execute(_HOLE).fetchone()

    def keep(self, note: Note) -> None:
        """Keep a copy of a note that was written down."""
        self._database.run(_KEEP, (note.checkpoint.size, note.text))

    def kept(self) -> Iterator[tuple[int, str]]:
        """Return size and text of the notes that were kept when the first one was asked for."""
        newest = self._database.one("SELECT max(size) AS size FROM ledger_checkpoint")
        after, until = -1, (newest or {})["size"]
        while until is not None and after < until:
            for row in self._database.all(_KEPT, (after, until, _NOTES)):
                after = row["size"]
                yield after, row["note"]


def _raw(connection: Connection[Any]) -> Cursor[Any]:
    """Return a cursor that brings every column as it is stored."""
    return connection.cursor(binary=True, row_factory=tuple_row)


def _tip(cursor: Cursor[Any]) -> tuple[int, int]:
    return cursor.execute(_TIP).fetchone() or (0, 0)


def _facts(cursor: Cursor[Any], after: int, until: int, limit: int) -> list[StoredFact]:
    return [*map(StoredFact._make, cursor.execute(f"{_EVERY_FACT} LIMIT %s", (after, until, limit)).fetchall())]


def _fetch(cursor: Cursor[Any], nodes: Sequence[Node]) -> Mapping[Node, bytes]:
    """A full subtree stands in the row of its last leaf."""
    rows = {(level, number): ((number + 1) << level) - 1 for level, number in nodes}
    query = "SELECT number, hashes FROM ledger_leaf WHERE number = ANY(%s)"
    found = dict(cursor.execute(query, (list(rows.values()),)).fetchall())
    hashes = {
        node: found.get(row, b"")[node[0] * HASH_BYTES : (node[0] + 1) * HASH_BYTES] for node, row in rows.items()
    }
    if any(len(each) != HASH_BYTES for each in hashes.values()):
        raise LedgerBroken("the tree lacks a node: `watchword audit verify --full` names the place")
    return hashes
