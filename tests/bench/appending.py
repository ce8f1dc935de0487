"""Facts from many writers at once, beside bare commits; and one demand on a partner of any size, beside one append."""

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from api.bootstrap import Watchword
from domain.facts import Population, Purpose, Verified
from domain.partner_policy import PartnerPolicy
from handlers.adapters.postgres.event_store import PostgresEventStore
from tests.bench import floor_app
from tests.bench.figures import Figure
from tests.bench.ground import append, ground

WRITERS = (16, 32)
SECONDS = 5.0
"""How long each number of writers writes, ours and the floor in turn."""
TURNS = 3
SLOWER = 2
"""Milliseconds that a volume over a network adds to each flush."""
DEMANDS = 60
"""How often a partner demands MFA and signs everybody out."""
_PARTNER = "dist"
_number = count()
_FACT = Verified(purpose=Purpose.SIGN_IN, time_step=1, gives_back=0)
_FLOOR = """
    WITH e AS (INSERT INTO floor.event (stream, version, topic, state) VALUES (%s, 1, %s, %s)),
        h AS (INSERT INTO floor.factor VALUES (%s, 1, ''))
    INSERT INTO floor.used_step VALUES (%s, %s)"""
_USERS = "INSERT INTO account_access SELECT 'acc-' || n, %s, NULL, 'support' FROM generate_series(%s::int, %s::int) n"


def measure(folder: Path, users: list[int]) -> list[Figure]:
    """Return the figures for appends and demands."""
    with ground(folder) as watchword:
        with psycopg.connect(watchword.settings.admin_database_url or "", autocommit=True) as owner:
            owner.execute(floor_app.TABLES)
            figures = [_writers(watchword, writers) for writers in WRITERS]
            with _slower_disk(owner):
                figures += [_writers(watchword, writers, f", the disk {SLOWER} ms slower") for writers in WRITERS]
        return figures + list(_demands(watchword, users))


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


def _writers(watchword: Watchword, writers: int, where: str = "") -> Figure:
    """Return facts a second, one fact and one command each, with so many threads on as many connections."""
    url = watchword.settings.need("database_url")
    store = PostgresEventStore(url, pool_size=writers)
    writing = replace(watchword, store=store)
    ours, floor = [], []
    state = json.dumps({"fact": {"purpose": "sign_in", "time_step": 1}, "pad": "x" * 220}).encode()
    local = threading.local()

    def append_one() -> None:
        append(writing, [(f"user_mfa:p2-{writers}-{next(_number)}", [_FACT])])

    def commit_one() -> None:
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(url, autocommit=True)
        stream = f"floor:{writers}-{next(_number)}"
        values = (stream, "verified", state, stream, stream, 1)
        local.connection.execute(_FLOOR, values, prepare=True)

    try:
        with ThreadPoolExecutor(writers) as threads:
            for _ in range(TURNS):
                ours.append(_rate(threads, writers, append_one))
                floor.append(_rate(threads, writers, commit_one))
    finally:
        store.close()
    what = f"appends of one fact, nothing passed over{where}"
    return Figure("P2", what, statistics.median(ours), statistics.median(floor), "/s", 1.5, writers)


def _rate(threads: ThreadPoolExecutor, writers: int, act: Callable[[], None]) -> float:
    until = time.perf_counter() + SECONDS

    def writer() -> int:
        done = 0
        while time.perf_counter() < until:
            act()
            done += 1
        return done

    return sum(each.result() for each in [threads.submit(writer) for _ in range(writers)]) / SECONDS


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
