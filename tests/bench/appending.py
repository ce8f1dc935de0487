"""Facts from many writers at once, beside bare commits; and one demand on a partner of any size, beside one append."""

import json
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg

from api.bootstrap import Watchword
from domain.facts import Population, Purpose, Verified
from domain.partner_policy import PartnerPolicy
from handlers.adapters.postgres.event_store import PostgresEventStore
from tests.bench import floor_app
from tests.bench.figures import Figure
from tests.bench.ground import append, append_to, ground

WRITERS = (16, 32)
PROCESSES = (1, 2)
"""In so many the writers are: threads of one share its interpreter lock, on both sides."""
SECONDS = 5.0
"""How long each number of writers writes, ours and the floor in turn."""
TURNS = 3
SLOWER = 2
"""Milliseconds that a volume over a network adds to each flush."""
DEMANDS = 60
"""How often a partner demands MFA and signs everybody out."""
_PARTNER = "dist"
_FACT = Verified(purpose=Purpose.SIGN_IN, time_step=1, gives_back=0)
_FLOOR = """
    WITH e AS (INSERT INTO floor.event (stream, version, topic, state) VALUES (%s, 1, %s, %s)),
        h AS (INSERT INTO floor.factor VALUES (%s, 1, ''))
    INSERT INTO floor.used_step VALUES (%s, %s)"""
_USERS = "INSERT INTO account_access SELECT 'acc-' || n, %s, NULL, 'support' FROM generate_series(%s::int, %s::int) n"


def measure(folder: Path, users: list[int]) -> list[Figure]:
    """Return the figures for appends and demands."""
    with ground(folder) as watchword:
        demands = list(_demands(watchword, users))  # before the writers, whose rows are still being vacuumed afterwards
        with psycopg.connect(watchword.settings.admin_database_url or "", autocommit=True) as owner:
            owner.execute(floor_app.TABLES)
            figures = [_writers(watchword, writers, processes) for processes in PROCESSES for writers in WRITERS]
            with _slower_disk(owner):
                where = f", the disk {SLOWER} ms slower"
                figures += [_writers(watchword, writers, PROCESSES[-1], where) for writers in WRITERS]
    return figures + demands


@contextmanager
def _slower_disk(owner: psycopg.Connection[Any]) -> Iterator[None]:
    """Let each flush of the write-ahead log take longer, as on a volume over a network."""
    settings = {"commit_delay": SLOWER * 1000, "commit_siblings": 0}
    try:
        for name, value in settings.items():
            owner.execute(f"ALTER SYSTEM SET {name} = {value}")
        owner.execute("SELECT pg_reload_conf()")
        time.sleep(1)
        yield
    finally:
        for name in settings:
            owner.execute(f"ALTER SYSTEM RESET {name}")
        owner.execute("SELECT pg_reload_conf()")


def _writers(watchword: Watchword, writers: int, processes: int, where: str = "") -> Figure:
    """Return facts a second, one fact and one command each, with so many threads in all, each on a connection of its own."""
    url = watchword.settings.need("database_url")
    ours: list[float] = []
    floor: list[float] = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:

        def rate(kind: str) -> float:
            """Let all begin at the same moment, when each process is there."""
            begin = time.time() + (0.5 if floor else 5)
            share = [pool.submit(_write, url, writers // processes, kind, begin) for _ in range(processes)]
            return sum(each.result() for each in share) / SECONDS

        for _ in range(TURNS):
            ours.append(rate("ours"))
            floor.append(rate("floor"))
    what = f"appends of one fact, nothing passed over, processes: {processes}{where}; writers"
    return Figure("P2", what, statistics.median(ours), statistics.median(floor), "/s", 1.5, writers)


def _write(url: str, writers: int, kind: str, begin: float) -> int:
    """Write with so many threads of this process, and return how many facts were stored in time."""
    store = PostgresEventStore(url, pool_size=writers)
    state = json.dumps({"fact": {"purpose": "sign_in", "time_step": 1}, "pad": "x" * 220}).encode()
    prefix, numbers = f"{os.getpid()}-{begin}", count()

    def facts() -> int:
        done = 0
        while time.time() < begin + SECONDS:
            append_to(store, [(f"user_mfa:{prefix}-{next(numbers)}", [_FACT])])
            done += 1
        return done

    def commits() -> int:
        done = 0
        with psycopg.connect(url, autocommit=True) as connection:
            while time.time() < begin + SECONDS:
                stream = f"floor:{prefix}-{next(numbers)}"
                connection.execute(_FLOOR, (stream, "verified", state, stream, stream, 1), prepare=True)
                done += 1
        return done

    try:
        with ThreadPoolExecutor(writers) as threads:
            time.sleep(max(0.0, begin - time.time()))
            return sum(
                each.result() for each in [threads.submit(facts if kind == "ours" else commits) for _ in range(writers)]
            )
    finally:
        store.close()


def _demands(watchword: Watchword, users: list[int]) -> Iterator[Figure]:
    """Demand MFA of everybody of a partner and sign everybody out: one commit, whatever its size."""
    number, facts = count(), PartnerPolicy().set_demands(frozenset(Population), seen_version=None, sign_out=True)
    for there, wanted in zip([0, *users], users, strict=False):
        watchword.database.run(_USERS, (_PARTNER, there + 1, wanted))
        demanding, appending = [], []
        for _ in range(DEMANDS):
            start = time.perf_counter()
            append(watchword, [(f"user_mfa:p5-{next(number)}", [_FACT])])
            between = time.perf_counter()
            version = watchword.store.load(f"partner_policy:{_PARTNER}", lambda found, _: found + 1, 0)[1]
            append(watchword, [(f"partner_policy:{_PARTNER}", facts)], after=version)
            appending.append(between - start)
            demanding.append(time.perf_counter() - between)
        ours, one = (statistics.median(each) * 1000 for each in (demanding, appending))
        yield Figure("P5", "everybody has to use MFA and is signed out; users", ours, one, "ms", 2, wanted)
