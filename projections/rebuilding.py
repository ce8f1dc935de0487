"""A view folded anew beside the live one: to compare them, or to put it in the live one's place."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.rows import dict_row

from domain.kernel import Envelope
from projections.runner import LOCK, PAGE, POLL_SECONDS, RETRY_SECONDS, ROWS, TRACKED, Read, pages
from projections.tables import much_at_once
from projections.views import VIEWS, Fold, View, parts, shard_of

Progress = Callable[[int], None]
"""Told each position that was reached."""
Places = Mapping[int | None, int]
"""How far each shard of a view has come."""
Due = Callable[[Sequence[Envelope]], Sequence[Envelope]]
"""Returns what of a page is to be folded yet."""
WORK_MEM = "256MB"
"""Two whole tables are compared in memory where that is enough."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A live view beside the same view folded anew from the log, each shard of both at one position."""

    view: str
    position: int
    """The least of the shards' positions."""
    rows: int
    missing: int
    """Rows that the log gives and the live view lacks."""
    extra: int
    """Rows of the live view that the log does not give."""
    checksum: str = ""
    """Of the live rows in any order: the sum of their 64-bit hashes."""

    @property
    def equal(self) -> bool:
        """Say whether the live view is what the log says."""
        return self.missing == self.extra == 0


def verify(url: str, read: Read, name: str, progress: Progress = lambda _: None) -> Compared:
    """Compare a live view with a shadow of it, folded from the first fact on, while the live one goes on."""
    view = VIEWS[name]
    with session(url) as connection:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            places = _tracked(connection, name)
            for table in view.TABLES:
                live, copy = sql.Identifier("public", table), sql.Identifier(f"live_{table}")
                connection.execute(sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM {}").format(copy, live))
        shadow(connection, view)
        _fold(connection, view, read, dict.fromkeys(places, 0), places, progress)
        return _compare(connection, view, min(places.values()))


def rebuild(url: str, read: Read, name: str, progress: Progress = lambda _: None) -> int:
    """Fold a view anew beside the live one and put it in its place; readers never see an empty view.

    Only rows that differ are written, in one transaction. The view stands still while they are looked for; the others
    go on, and this one catches up.
    """
    view = VIEWS[name]
    with session(url) as connection:
        shadow(connection, view)
        places = _tracked(connection, name)
        built: Places = dict.fromkeys(places, 0)
        while any(places[shard] - built[shard] > PAGE for shard in places):
            _fold(connection, view, read, built, places, progress)
            built, places = places, _tracked(connection, name)
        connection.execute(LOCK, (name,))  # until the session ends
        places = _tracked(connection, name)
        _fold(connection, view, read, built, places, progress)
        with connection.transaction():
            for table, key in view.TABLES.items():
                _put(connection, table, key)
        return min(places.values())


@contextmanager
def session(url: str) -> Iterator[Connection[dict[str, Any]]]:
    """Lend a connection of its own, outside every pool, on which tables are compared in memory."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(
            "SELECT set_config('work_mem', %s, false), set_config('timezone', 'UTC', false)", (WORK_MEM,)
        )
        yield connection


def _tracked(connection: Connection[dict[str, Any]], name: str) -> Places:
    rows = connection.execute(TRACKED, ([each.name for each in parts(name)],)).fetchall()
    found = {row["application_name"]: row["notification_id"] for row in rows}
    return {each.shard: found.get(each.name, 0) for each in parts(name)}


def shadow(connection: Connection[Any], view: View) -> None:
    """Make temporary tables of the same names, which stand before the live ones in this session alone."""
    for table in view.TABLES:
        live, shadow = sql.Identifier("public", table), sql.Identifier(table)
        connection.execute(sql.SQL("CREATE TEMP TABLE {} (LIKE {} INCLUDING ALL)").format(shadow, live))


def _fold(
    connection: Connection[Any], view: View, read: Read, built: Places, places: Places, progress: Progress
) -> None:
    """Fold what the live view has folded already: all of it is there, even if this process cannot read it yet."""
    until = max(places.values())
    after = min((built[shard] for shard in places if built[shard] < places[shard]), default=until)
    gives_up = time.monotonic() + RETRY_SECONDS
    while after < until:
        before, fold = after, view.Fold(connection)
        with much_at_once():
            after = _add_some(fold, partial(_due, built, places), read, after, until, progress)
            with connection.transaction():
                fold.write()
        if after > before:
            gives_up = time.monotonic() + RETRY_SECONDS
        elif time.monotonic() > gives_up:
            raise TimeoutError(f"{view.NAME} stands at position {until}, and the log ends at {after}")
        else:
            time.sleep(POLL_SECONDS)


def _due(built: Places, places: Places, page: Sequence[Envelope]) -> Sequence[Envelope]:
    """Return what each shard has folded since: as a rule, all of the page."""
    if page and max(built.values()) < page[0].position and page[-1].position <= min(places.values()):
        return page
    shards = [None if None in places else shard_of(each.tenant) for each in page]
    return [each for each, shard in zip(page, shards, strict=True) if built[shard] < each.position <= places[shard]]


def _add_some(fold: Fold, due: Due, read: Read, after: int, until: int, progress: Progress) -> int:
    """Take in as much as is written at once, and return up to where that was."""
    for page in pages(read, read(after, PAGE)):
        fold.add(due(page))
        after = min(page[-1].position, until)
        progress(after)
        if after == until or len(fold) >= ROWS:
            break
    return after


def _put(connection: Connection[Any], table: str, key: tuple[str, ...]) -> None:
    """Make the live rows equal to those of the shadow."""
    names = {"live": sql.Identifier("public", table), "shadow": sql.Identifier("pg_temp", table)}
    same = sql.SQL(" AND ").join(sql.SQL("l.{0} = e.{0}").format(sql.Identifier(name)) for name in key)
    for statement in (
        "DELETE FROM {live} l USING (SELECT * FROM {live} EXCEPT ALL SELECT * FROM {shadow}) e WHERE {same}",
        "INSERT INTO {live} SELECT * FROM {shadow} EXCEPT ALL SELECT * FROM {live}",
    ):
        connection.execute(sql.SQL(statement).format(**names, same=same))


def _compare(connection: Connection[Any], view: View, position: int) -> Compared:
    counts, checksum = [0, 0, 0], 0
    for table in view.TABLES:
        live, shadow = sql.Identifier(f"live_{table}"), sql.Identifier("pg_temp", table)
        query = sql.SQL(
            "SELECT (SELECT count(*) FROM {shadow}) AS rows,"
            " (SELECT count(*) FROM (SELECT * FROM {shadow} EXCEPT ALL SELECT * FROM {live}) m) AS missing,"
            " (SELECT count(*) FROM (SELECT * FROM {live} EXCEPT ALL SELECT * FROM {shadow}) e) AS extra,"
            " (SELECT coalesce(sum(hashtextextended(l::text, 0)::numeric), 0) FROM {live} l) AS checksum"
        ).format(live=live, shadow=shadow)
        row: dict[str, int] = connection.execute(query).fetchone() or {}
        for number, key in enumerate(("rows", "missing", "extra")):
            counts[number] += row[key]
        checksum += int(row["checksum"])
    rows, missing, extra = counts
    return Compared(view.NAME, position, rows, missing, extra, f"{checksum % 2**64:016x}")
