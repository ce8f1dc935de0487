"""Connections for everything that is read or written outside the facts' transaction."""

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import DeadlockDetected, ReadOnlySqlTransaction, SerializationFailure
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from handlers.ports import Unavailable

ANSWER_SECONDS = 2.0
"""How long a request waits for a connection before the caller is told to come back."""
RECONNECT_SECONDS = 0.5
"""How long a lost connection is tried for by itself: once, since the pool waits a second before the second try, and whoever
asks meanwhile would wait with it. After that the next request tries, so that recovery is not late."""
TRUSTED_SECONDS = 1.0
"""How long a connection that answered and is silent since is lent again without asking whether it still does."""
_TRIES = 3
"""How often a statement is tried that a deadlock rolled back, or that only reads and lost its connection."""
_FORGOTTEN_AT_ONCE = 1_000
"""Rows that are deleted in one transaction: some milliseconds, so that nobody waits for it."""
_FORGETTING = 7_235_036
"""The advisory lock of the one program that deletes what is kept no longer."""
UTC_ALWAYS = "-c timezone=UTC"
"""Whatever zone the database, the role or the machine has: every time is read and computed in UTC."""
_OPTIONS = "-c idle_in_transaction_session_timeout=10000 -c lock_timeout=5000 -c statement_timeout=30000"
_BY_KEY = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"


def conninfo(url: str, *options: str) -> str:
    """Return the whole address with session options added to its own; it may give all else, as a connect_timeout."""
    given = conninfo_to_dict(url)
    given.setdefault("connect_timeout", 5)
    together = [str(given.get("options") or ""), *options, UTC_ALWAYS]
    return make_conninfo("", **{**given, "options": " ".join(together).strip()})


class _Connection(psycopg.Connection[DictRow]):
    """A connection that remembers when it last answered."""

    answered_at = 0.0


class _Pool(ConnectionPool[_Connection]):
    """Lends connections without ending a transaction afterwards: whoever begins one ends it, each other statement is one."""

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[_Connection]:
        """Lend a connection that answers; one that comes back broken, or within a transaction, is replaced or rolled back.

        The pool's own check waits longer after each dead connection, so that after a restart of the database as many
        requests were refused as there were connections. Here all dead ones are passed over at once.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = self.getconn(deadline - time.monotonic())
            try:
                _check(connection)
                break
            except psycopg.Error:
                connection.close()
                self.putconn(connection)
        try:
            yield connection
        finally:
            self.putconn(connection)


def _check(connection: _Connection) -> None:
    now = time.monotonic()
    if now - connection.answered_at > TRUSTED_SECONDS or _speaks_unasked(connection):
        ConnectionPool.check_connection(connection)
        connection.answered_at = now


def _speaks_unasked(connection: _Connection) -> bool:
    """Say whether something came while nothing was asked: as a rule the server's last word."""
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def new_pool(url: str, pool_size: int, *, by_key: bool = False) -> _Pool:
    """Return a pool of connections that commit each statement by itself.

    ``by_key``: everything is found by its key. PostgreSQL takes the rows of a JSON text for a hundred, for which it would
    rather read a whole table.
    """
    return _Pool(
        conninfo(url, _OPTIONS, _BY_KEY if by_key else ""),
        min_size=1,
        max_size=pool_size,
        timeout=ANSWER_SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
        open=False,
        connection_class=_Connection,
        kwargs={"row_factory": dict_row, "autocommit": True},
    )


class Database:
    """A pool of connections. Every failure to answer is Unavailable, and nothing is let in."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self._pool = new_pool(url, pool_size)
        self._pool.open()

    def close(self) -> None:
        """Let the connections go."""
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        """Lend a connection."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable("the database does not answer") from error
        except ReadOnlySqlTransaction as error:
            raise Unavailable("the database is read-only") from error

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[DictRow]]:
        """Lend a connection in a transaction of its own."""
        with self.connection() as connection, connection.transaction():
            yield connection

    def _asked(self, query: str, values: Sequence[object]) -> psycopg.Cursor[DictRow]:
        """Run a statement by itself; again when a deadlock rolled it back, or when a connection was lost that only read."""
        again: tuple[type[Exception], ...] = (DeadlockDetected, SerializationFailure)
        if query.lstrip().startswith("SELECT"):
            again += (psycopg.OperationalError, psycopg.InterfaceError)
        tries = 0
        while True:
            tries += 1
            try:
                with self.connection() as connection:
                    return connection.execute(query, values)
            except Unavailable as error:
                cause = error.__cause__
                if tries == _TRIES or isinstance(cause, PoolTimeout) or not isinstance(cause, again):
                    raise

    def all(self, query: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return all rows of a query."""
        return self._asked(query, values).fetchall()

    def one(self, query: str, values: Sequence[object] = ()) -> dict[str, Any] | None:
        """Return the first row of a query."""
        return self._asked(query, values).fetchone()

    def run(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run a statement by itself and return how many rows it touched."""
        return self._asked(statement, values).rowcount

    def forget(self, table: str, condition: str, values: Sequence[object]) -> int:
        """Delete the rows of a table that fulfil a condition, few at once, and return how many.

        One program at a time deletes, whatever the table; the others leave it at once. A row that somebody holds is left
        for the next time.
        """
        delete = f"""
            DELETE FROM {table} WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM {table} WHERE {condition} LIMIT {_FORGOTTEN_AT_ONCE} FOR UPDATE SKIP LOCKED))"""  # noqa: S608 our own words
        total, last = 0, _FORGOTTEN_AT_ONCE
        while last == _FORGOTTEN_AT_ONCE:
            with self.transaction() as connection:
                row = connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS ours", (_FORGETTING,)).fetchone()
                last = connection.execute(delete, values).rowcount if row and row["ours"] else 0
            total += last
        return total
