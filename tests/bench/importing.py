"""Taking over a large directory, beside COPY of the same rows into the same tables."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql

from api import bootstrap
from api.cli.importing import Result, take_file
from api.embedded.postgres import EmbeddedPostgres
from api.settings import read
from tests.bench.directory import lines

Answer = TypeVar("Answer")

TABLES = ("account_access", "person", "stored_events")
"""What an import cannot do without: who belongs where, who it is, and one fact each."""


@dataclass(frozen=True)
class Measured:
    """One thing that was timed, beside the least that it can cost."""

    what: str
    ours: float
    """Seconds."""
    floor: float
    """Seconds."""
    rows: int

    @property
    def ratio(self) -> float:
        return self.ours / self.floor


def measure(folder: Path, accounts: int) -> list[Measured]:
    """Import a directory twice into a database of its own; the second time has to change nothing.

    Of the second time COPY has no part: its floor is fetching the same rows.
    """
    file = folder / "directory.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines(accounts)))
    postgres = EmbeddedPostgres(folder / "data", durable=True)
    postgres.start()
    try:
        watchword = _prepared(folder, postgres)
        try:
            first, first_seconds = _timed(lambda: take_file(file, watchword))
            again, again_seconds = _timed(lambda: take_file(file, watchword))
        finally:
            watchword.close()
        _check(first, again)
        written, fetched = _floor(postgres.owner_url)
    finally:
        postgres.stop()
    return [
        Measured(f"import of {accounts:,} accounts", first_seconds, written, accounts),
        Measured("the same file again", again_seconds, fetched, accounts),
    ]


def _prepared(folder: Path, postgres: EmbeddedPostgres) -> bootstrap.Watchword:
    settings = read({"DATA_DIR": str(folder), "DATABASE_URL": postgres.app_url}, ask_running=False)
    settings = replace(settings, admin_database_url=postgres.owner_url)
    bootstrap.ensure_kek(settings.kek_file)
    bootstrap.refuse_unsafe(settings)
    bootstrap.migrate(settings)
    return bootstrap.build(settings)


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
