"""How fast facts become rows: commit to column beside a follower by hand, catch-up and rebuild beside COPY and a dict.

``python -m tests.bench.projecting ours|by-hand DATABASE_URL`` is one of the two followers, in a process of its own.
"""

import gc
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
import psycopg

from api import bootstrap
from domain.facts import Purpose, Verified
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.ports import Change, Origin
from projections import rebuilding, runner, user_status
from projections.views import VIEWS
from tests.bench.figures import Figure
from tests.bench.ground import installed
from tests.bench.long_log import PARTNER, write

LATENCIES = 1_000
PAUSE_SECONDS = 0.008
ROUNDS = 2
TURNS = 5
"""Ours and by hand take turns so often: with the rates, and with the followers."""


class _Told(msgspec.Struct):
    """What a fact may say about a status."""

    purpose: str = ""
    by: str = ""
    until: datetime | None = None
    partner_id: str = ""
    organization_id: str | None = None
    role: str = ""


class _Stored(msgspec.Struct):
    fact: _Told
    at: datetime


_NO_END = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
_COPY_OUT = (
    "COPY (SELECT notification_id, originator_id, topic, state FROM stored_events ORDER BY 1) TO STDOUT (FORMAT BINARY)"
)


def by_hand(url: str) -> int:
    """Fold ``user_status`` from the whole log into a table beside it, with nothing between COPY, a dict and COPY."""
    rows: dict[str, list[object]] = {}
    decode = msgspec.json.Decoder(_Stored).decode
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        with cursor.copy(_COPY_OUT) as copy:
            copy.set_types(["int8", "text", "text", "bytea"])
            for position, stream, topic, state in copy.rows():
                _by_hand(rows, stream.partition(":")[2], topic, decode(state), position)
        cursor.execute("CREATE TEMP TABLE made_by_hand (LIKE user_status INCLUDING ALL)")
        with cursor.copy("COPY made_by_hand FROM STDIN") as copy:
            for row in rows.values():
                copy.write_row(row)
    return len(rows)


def _by_hand(rows: dict[str, list[object]], account: str, topic: str, told: _Stored, position: int) -> None:
    fact, at = told.fact, told.at
    if topic == "account.registered.v1":
        place = (fact.partner_id, fact.organization_id, fact.role)
        rows[account] = [account, *place, "open", "none", False, at, None, None, position]
        return
    row = rows.get(account)
    if row is None:
        return
    if topic == "user_mfa.verified.v1":
        if fact.purpose == "setup":
            row[5], row[6], row[7] = "active", False, at
        row[8], row[9] = at, None
    elif topic == "user_mfa.enabled.v1":
        row[5], row[7] = "pending", at
    elif topic == "user_mfa.reset_confirmed.v1":
        owed = fact.by == "administrator"
        row[5], row[6], row[7], row[9] = "pending" if owed else "none", owed, at, None
    elif topic == "user_mfa.disabled.v1":
        row[5], row[6], row[7] = "none", False, at
    elif topic == "user_mfa.locked.v1":
        row[9] = fact.until or _NO_END
    else:
        return
    row[10] = position


def measure(folder: Path, lengths: list[int]) -> list[Figure]:
    """Return the figures, each ours beside the floor of the same minutes."""
    found: list[Figure] = []
    for facts in lengths:
        with installed(folder / str(facts)) as watchword:
            owner = watchword.settings.need("admin_database_url")
            write(watchword, facts)
            with psycopg.connect(owner, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
            found += _rates(watchword, owner, facts)
            if facts == min(lengths):
                found.append(_latency(watchword))
    return found


def _rates(watchword: bootstrap.Watchword, owner: str, facts: int) -> list[Figure]:
    url, store = watchword.settings.need("database_url"), watchword.store
    taken: dict[str, list[float]] = {}

    def took(what: str, work: Callable[[], object]) -> None:
        gc.collect()
        start = time.perf_counter()
        work()
        taken.setdefault(what, []).append(time.perf_counter() - start)

    for _ in range(ROUNDS):
        took("floor", lambda: by_hand(url))
        _empty(owner)
        took("user_status caught up", lambda: _caught_up(url, store, [user_status.NAME]))
        took("user_status rebuilt", lambda: rebuilding.rebuild(url, store.read, user_status.NAME))
        _empty(owner)
        took("all views caught up", lambda: _caught_up(url, store, list(VIEWS)))
        took("all views rebuilt", lambda: [rebuilding.rebuild(url, store.read, name) for name in VIEWS])
        took("user_status proved", lambda: rebuilding.verify(url, store.read, user_status.NAME))
    floor = facts / statistics.median(taken.pop("floor"))
    goal = {"user_status caught up": 0.5, "user_status rebuilt": 0.5}
    return [
        Figure("P4", what, facts / statistics.median(every), floor, "facts/s", goal.get(what), facts)
        for what, every in taken.items()
    ]


def _empty(owner: str) -> None:
    """Forget every view, as if none had ever been folded."""
    with psycopg.connect(owner, autocommit=True) as connection:
        tables = [table for view in VIEWS.values() for table in view.TABLES]
        connection.execute(f"TRUNCATE {', '.join(tables)}, notification_tracking")


def _caught_up(url: str, store: PostgresEventStore, names: list[str]) -> None:
    every = dict(VIEWS)
    projector = runner.Projector(url, store.read)
    try:
        for name in every.keys() - set(names):
            del VIEWS[name]
        while projector.step():
            pass
    finally:
        VIEWS.clear()
        VIEWS.update(every)
        projector.close()


def _latency(watchword: bootstrap.Watchword) -> Figure:
    """Return the 99th percentile from commit to column, each follower alone, in turn."""
    url, found = watchword.settings.need("database_url"), {"ours": [0.0], "by-hand": [0.0]}
    _caught_up(url, watchword.store, list(VIEWS))
    for number in range(TURNS):
        for who in found:
            arguments = [sys.executable, "-m", "tests.bench.projecting", who, url]
            with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as follower:
                assert follower.stdout
                follower.stdout.readline()
                found[who] += _seen(watchword, f"{who}-{number}")
                follower.terminate()
            _caught_up(url, watchword.store, list(VIEWS))
    ours, floor = (statistics.quantiles(each, n=100)[98] * 1e3 for each in found.values())
    return Figure("P3", "commit to MFA Status column, p99", ours, floor, "ms", 2)


def _seen(watchword: bootstrap.Watchword, run: str) -> list[float]:
    """Append facts one by one and look for each in its row; seconds."""
    store, found = watchword.store, []
    chance = random.Random(run)
    query = "SELECT position FROM user_status WHERE account_id = %s"
    with psycopg.connect(watchword.settings.need("database_url"), autocommit=True) as connection:
        for number in range(LATENCIES // TURNS):
            account = f"acc-{chance.randrange(500)}"
            stream, fact = f"user_mfa:{account}", Verified(purpose=Purpose.SIGN_IN, time_step=number, gives_back=0)
            version = store.load(stream, lambda state, _: state, 0)[1]
            origin = Origin("system", f"{run}-{number}", watchword.sockets.clock.now())
            position = store.append(Change(stream, version, [fact], PARTNER), origin=origin)
            start = time.perf_counter()
            while (row := connection.execute(query, (account,)).fetchone()) and row[0] < position:
                pass
            found.append(time.perf_counter() - start)
            time.sleep(PAUSE_SECONDS * (0.5 + chance.random()))
    return found


def _follow_by_hand(url: str) -> None:
    facts = "SELECT notification_id, originator_id, state FROM stored_events WHERE notification_id > %s ORDER BY 1"
    change = "UPDATE user_status SET last_verified_at = %s, locked_until = NULL, position = %s WHERE account_id = %s"
    decode = msgspec.json.Decoder(_Stored).decode
    with psycopg.connect(url, autocommit=True) as listener, psycopg.connect(url, autocommit=True) as connection:
        listener.execute("LISTEN stored_events")
        found = connection.execute("SELECT max(notification_id) FROM stored_events").fetchone()
        last = found[0] if found else 0
        print("ready", flush=True)
        for _ in listener.notifies():
            for position, stream, state in connection.execute(facts, (last,)).fetchall():
                connection.execute(change, (decode(bytes(state)).at, position, stream.partition(":")[2]))
                last = position


def _follow(url: str) -> None:
    store = PostgresEventStore(url, pool_size=2)
    projector = runner.Projector(url, store.read)
    projector.step()
    print("ready", flush=True)
    projector.follow(url, threading.Event())


if __name__ == "__main__":
    {"ours": _follow, "by-hand": _follow_by_hand}[sys.argv[1]](sys.argv[2])
