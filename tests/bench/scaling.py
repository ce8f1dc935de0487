"""What two and four processes of a kind do beside one: codes over HTTP, facts folded into all views, mails settled.

They share one machine with PostgreSQL and whoever asks, so the ratio says what more processes win there; where all
processors are at work with one already, they can win nothing.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from projections.runner import LOCK
from projections.views import SHARDS, VIEWS, position
from tests.bench.asking import ask
from tests.bench.delivering import _owe, _wait_until
from tests.bench.figures import Figure
from tests.bench.ground import ground, program, serving, sink_process
from tests.bench.projecting import _empty
from tests.bench.verifying import Ground, Person

PROCESSES = (1, 2, 4)
CLIENTS = 16
WARM = 20
"""Codes for each process before they count."""
_ROOT = Path(__file__).parents[2]
_HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = hashtext('shard')::oid GROUP BY pid"
_MANY = """
    INSERT INTO stored_events (originator_id, originator_version, topic, state)
    SELECT s.originator_id, s.originator_version + 1000 + n, s.topic, s.state
    FROM stored_events s, generate_series(1, %s) n
    WHERE s.originator_id LIKE 'user_mfa:%%' AND s.originator_version = 2 ORDER BY n, s.originator_id"""
"""Each person's newest fact again and again, in turn: facts of many tenants."""


def measure(folder: Path, people: int, facts: int, mails: int) -> list[Figure]:
    """Return a figure for each kind and number; ``ours`` is so many processes, ``floor`` is one."""
    found = Ground(folder / "codes", people)
    try:
        found.next_step()
        codes = {
            number: _codes(found, found.people[turn :: len(PROCESSES)], number) for turn, number in enumerate(PROCESSES)
        }
        with psycopg.connect(found.postgres.owner_url, autocommit=True) as owner:
            owner.execute(_MANY, (facts // people,))
            owner.execute("VACUUM ANALYZE")
        folded = {number: _folding(found, number) for number in PROCESSES}
    finally:
        found.close()
    settled = _settling(folder / "mails", mails)
    return [
        *_figures("codes over HTTP, web processes:", codes, "/s"),
        *_figures("facts into all views, projectors:", folded, "facts/s"),
        *_figures("facts to settled mails, workers:", settled, "mails/s"),
    ]


def _figures(what: str, rates: dict[int, float], unit: str) -> list[Figure]:
    return [Figure("-", f"{what} {number}", rate, rates[1], unit) for number, rate in rates.items()]


def _codes(found: Ground, people: Sequence[Person], number: int) -> float:
    """Let each give one code, the first few before it counts. Others do so with other processes: no code waits for a step."""
    with serving(found.settings, processes=number):
        warm, rest = people[: WARM * number], people[WARM * number :]
        ask(found.settings.port, found.sign_ins(warm), CLIENTS)
        return ask(found.settings.port, found.sign_ins(rest), CLIENTS).per_second


def _folding(found: Ground, number: int) -> float:
    """Let projectors divide the shards among them while a lock keeps the views; then let them go, and wait for the end."""
    url = found.settings.need("database_url")
    _empty(found.postgres.owner_url)
    with psycopg.connect(found.postgres.owner_url, autocommit=True) as owner:
        for name in VIEWS:
            owner.execute(LOCK, (name,))
        with _projectors(url, number):
            _wait_until(lambda: sorted(owner.execute(_HELD).fetchall()) == [(SHARDS // number,)] * number)
            owner.execute("SELECT pg_advisory_unlock_all()")
            started, end = time.perf_counter(), found.watchword.store.last_position()
            _wait_until(lambda: position(found.watchword.database.one, *VIEWS) == end)
            return end / (time.perf_counter() - started)


@contextmanager
def _projectors(url: str, number: int) -> Iterator[None]:
    words = [sys.executable, "-m", "tests.bench.projecting", "ours", url]
    running = [subprocess.Popen(words, cwd=_ROOT, stdout=subprocess.DEVNULL) for _ in range(number)]
    try:
        yield
    finally:
        for each in running:
            each.terminate()
        for each in running:
            each.wait(20)


def _settling(folder: Path, mails: int) -> dict[int, float]:
    """Let mails be owed before workers come, and count from when the first one is settled."""
    rates = {}
    with ground(folder) as watchword, sink_process() as url:

        def left() -> int:
            row = watchword.database.one("SELECT count(*) AS mails FROM mail_queue WHERE state = 'pending'")
            return row["mails"] if row else 0

        for number in PROCESSES:
            _owe(watchword, mails)
            with program(watchword, *["worker"] * number, smtp_url=url):
                _wait_until(lambda: left() < mails)
                started, first = time.perf_counter(), left()
                _wait_until(lambda: left() == 0)
                rates[number] = first / (time.perf_counter() - started)
    return rates
