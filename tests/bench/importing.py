"""Taking over a large directory, beside COPY of the same rows into the same tables."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql

from api.cli.importing import Result, take_file
from tests.bench.directory import lines
from tests.bench.figures import Figure
from tests.bench.ground import installed

Answer = TypeVar("Answer")

TABLES = ("account_access", "person", "stored_events")
"""What an import cannot do without: who belongs where, who it is, and one fact each."""


def measure(folder: Path, sizes: list[int]) -> list[Figure]:
    """Return the figures for directories of so many accounts, each in a database of its own."""
    return [each for accounts in sizes for each in _imported(folder / str(accounts), accounts)]


def _imported(folder: Path, accounts: int) -> list[Figure]:
    """Import a directory twice; the second time has to change nothing, and its floor is fetching the same rows."""
    folder.mkdir()
    file = folder / "directory.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines(accounts)))
    with installed(folder) as watchword:
        first, first_seconds = _timed(lambda: take_file(file, watchword))
        again, again_seconds = _timed(lambda: take_file(file, watchword))
        _check(first, again)
        written, fetched = _floor(watchword.settings.need("admin_database_url"))
    return [
        Figure("P13", "import beside COPY", accounts / first_seconds, accounts / written, "accounts/s", 0.3, accounts),
        Figure(
            "P13",
            "the same again beside a read",
            accounts / again_seconds,
            accounts / fetched,
            "accounts/s",
            None,
            accounts,
        ),
    ]


def _timed(work: Callable[[], Answer]) -> tuple[Answer, float]:
    start = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - start


def _check(first: Result, again: Result) -> None:
    if first.errors or again.errors:
        raise SystemExit(f"the import was refused: {(first.errors + again.errors)[0]}")
    if first.changed != first.lines or again.changed:
        raise SystemExit(f"of {first.lines} lines {first.changed} changed something, and {again.changed} once more")


def _floor(url: str) -> tuple[float, float]:
    """Return the seconds for COPY of the rows into empty tables with the same indexes, and for fetching them."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA floor")
        for table in TABLES:
            words = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)")
            connection.execute(words.format(sql.Identifier("floor", table), sql.Identifier("public", table)))
        connection.commit()
        rows, fetched = _timed(lambda: {table: _rows(connection, table) for table in TABLES})

        def copy() -> None:
            for table in TABLES:
                _copy(connection, table, rows[table])
            connection.commit()

        return _timed(copy)[1], fetched


def _rows(connection: psycopg.Connection, table: str) -> list[tuple[object, ...]]:
    return connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier("public", table))).fetchall()


def _copy(connection: psycopg.Connection, table: str, rows: list[tuple[object, ...]]) -> None:
    words = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier("floor", table))
    with connection.cursor() as cursor, cursor.copy(words) as copy:
        for row in rows:
            copy.write_row(row)
