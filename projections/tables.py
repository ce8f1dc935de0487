"""Rows of the views' tables: looked up once, changed in memory, and written at once, however many facts led to them."""

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

Row = dict[str, Any]
FEW = 20
"""So many rows are written one by one in one round trip; more of them by COPY."""


@contextmanager
def much_at_once() -> Iterator[None]:
    """Look for no garbage meanwhile: thousands of facts come and go in here, and none of them refers to itself."""
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looked:
            gc.enable()


class Rows:
    """Rows of one table by their key, which is the first column. The last one is the position that they stand at.

    A view of one table is such rows, and says which facts change them.
    """

    def __init__(self, connection: Connection[Any], table: str, columns: Sequence[str]) -> None:
        self._connection, self._table, self._columns = connection, table, columns
        self._key = columns[0]
        self._known: dict[str, Row] = {}
        self._new: dict[str, Row] = {}
        self._changed: dict[str, Row] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._changed)

    def know(self, keys: Iterable[str]) -> None:
        """Look up those of these rows that are not known yet."""
        for row in looked_up(self._connection, self._table, self._columns, set(keys) - self._known.keys()):
            self._known[row[self._key]] = row

    def get(self, key: str) -> Row | None:
        """Return a row as it stands now."""
        return self._known.get(key)

    def put(self, row: Row) -> None:
        """Add a row that was not there; it is written as it stands at the end."""
        key = row[self._key]
        if key in self._new:
            raise ValueError(f"{self._table} has a row {key} already")
        self._known[key] = self._new[key] = row

    def change(self, key: str, changed: Mapping[str, object]) -> None:
        """Set some columns of a row, if it is there."""
        row = self._known.get(key)
        if row is not None:
            row.update(changed)
            if key not in self._new:
                self._changed[key] = row

    def write(self) -> None:
        """Bring the table to where the facts have led: write what is new and what has changed."""
        for rows, write in ((self._new, insert), (self._changed, update)):
            if rows:
                values = [[row[name] for name in self._columns] for row in rows.values()]
                write(self._connection, self._table, self._columns, values)


def looked_up(
    connection: Connection[Any], table: str, columns: Sequence[str], keys: Collection[str], condition: str = "true"
) -> list[Row]:
    """Return the rows whose first column is one of these keys."""
    if not keys:
        return []
    query = f"SELECT {', '.join(columns)} FROM {table} WHERE {columns[0]} = ANY(%s) AND {condition}"  # noqa: S608 our own names
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, (list(keys),)).fetchall()


def insert(connection: Connection[Any], table: str, columns: Sequence[str], rows: Collection[Sequence[object]]) -> None:
    """Add rows; one that is there already is an error."""
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        if len(rows) <= FEW:
            places = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608 our own names
            return
        with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def update(
    connection: Connection[Any],
    table: str,
    columns: Sequence[str],
    rows: Collection[Sequence[object]],
    keys: int = 1,
) -> None:
    """Set the columns of rows, which are told by the first ones: so many of them are ``keys``."""
    told, names = columns[:keys], columns[keys:]
    with connection.cursor() as cursor:
        if len(rows) <= FEW:
            values, where = (", ".join(f"{n} = %s" for n in names), " AND ".join(f"{n} = %s" for n in told))
            query = f"UPDATE {table} SET {values} WHERE {where}"  # noqa: S608 our own names
            cursor.executemany(query, [[*row[keys:], *row[:keys]] for row in rows])
            return
        copied, every = f"changed_{table}", ", ".join(columns)
        cursor.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {copied} ON COMMIT DELETE ROWS AS SELECT {every} FROM {table} WHERE false"  # noqa: S608 our own names
        )
        with cursor.copy(f"COPY {copied} ({every}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        values = ", ".join(f"{name} = n.{name}" for name in names)
        where = " AND ".join(f"t.{name} = n.{name}" for name in told)
        cursor.execute(f"UPDATE {table} t SET {values} FROM {copied} n WHERE {where}")  # noqa: S608 our own names
