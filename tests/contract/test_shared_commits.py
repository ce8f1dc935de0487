"""Whoever comes at the same time shares a commit, and nobody hears of another's mistake."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from api.bootstrap import Watchword
from handlers.adapters.postgres import group_commit, recorder
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.adapters.postgres.group_commit import LEADERS, GroupCommit
from handlers.adapters.postgres.sign_ins import SESSIONS_OF_AN_ACCOUNT, swap_of
from handlers.ports import Conflict, Row, Session, SessionEnded, SessionOpened, SessionStands, StillAllowed
from handlers.sessions import State
from tests.contract.plugs import at_once, change, numbers_in, origin
from tests.servers import Database

ACCOUNT = "dist-owner"
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'stored_events'::regclass"
_STORED = "SELECT count(DISTINCT xmin::text), count(*) FROM stored_events"


def together(database: Database, append: Callable[[int], int], count: int = 40) -> list[Future[int]]:
    """Ask for so many appends while nobody can add facts: the first one leads, all others wait behind it."""
    with psycopg.connect(database.owner_url) as owner, ThreadPoolExecutor(count) as threads:
        owner.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
        asked = [threads.submit(append, 0)]
        deadline = time.monotonic() + 20
        while (owner.execute(_WAITING).fetchone() or (0,))[0] < 1:
            assert time.monotonic() < deadline
        asked += [threads.submit(append, number) for number in range(1, count)]
        time.sleep(0.5)
        owner.rollback()
    return asked


@pytest.mark.parametrize(("slow_from", "at_once_most"), [(float("inf"), {1}), (0.0, {*range(2, LEADERS + 1)})])
def test_a_quick_disk_gets_one_commit_at_a_time_and_a_slow_one_several(
    monkeypatch: pytest.MonkeyPatch, slow_from: float, at_once_most: set[int]
) -> None:
    monkeypatch.setattr(group_commit, "SLOW_SECONDS", slow_from)
    under_way, seen, lock = set[int](), set[int](), threading.Lock()

    def write(works: Sequence[int]) -> Sequence[int]:
        with lock:
            under_way.add(works[0])
            seen.add(len(under_way))
        time.sleep(0.005)
        with lock:
            under_way.discard(works[0])
        return works

    commit: GroupCommit[int, int] = GroupCommit(write, ())
    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(commit, range(600))) == [*range(600)]
    assert max(seen) in at_once_most


def test_one_bad_append_among_many_fails_alone(postgres: PostgresEventStore, database: Database) -> None:
    postgres.append(change("user_mfa:20", 0, 99), origin=origin())
    asked = together(database, lambda n: postgres.append(change(f"user_mfa:{n}", 0, n), origin=origin()))
    assert isinstance(asked.pop(20).exception(), Conflict)
    assert len({each.result() for each in asked}) == 39
    for number in range(40):
        assert numbers_in(postgres, f"user_mfa:{number}") == ((99,) if number == 20 else (number,))


def test_those_who_wait_together_share_a_commit(postgres: PostgresEventStore, database: Database) -> None:
    asked = together(database, lambda n: postgres.append(change(f"user_mfa:{n}", 0, n, n), origin=origin()))
    assert len({each.result() for each in asked}) == 40
    with psycopg.connect(database.app_url) as connection:
        commits, facts = connection.execute(_STORED).fetchone() or (0, 0)
    assert facts == 80
    assert commits <= len(asked) // 2, "who comes late on a busy machine may share with fewer"
    for number, each in enumerate(asked):
        assert each.result() == postgres.history(f"user_mfa:{number}")[-1].position


# ── A sign-in's next step, in the statement of its fact ──


def signing_in(watchword: Watchword, token: bytes) -> Callable[[bytes], list[Row]]:
    """Open a sign-in that waits for its code; return the rows with which it goes on under another token."""
    account, now = watchword.sockets.people.account(ACCOUNT), watchword.sockets.clock.now()
    assert account is not None
    waits = Session(
        "handle", State.MFA_CODE_REQUIRED, now, now, now + timedelta(minutes=5), timedelta(minutes=5), ACCOUNT
    )
    watchword.sockets.sessions.save(SessionOpened(token, waits, None))
    allowed = StillAllowed(ACCOUNT, account.generations)

    def rows(new: bytes) -> list[Row]:
        opened = SessionOpened(new, replace(waits, state=State.SIGNED_IN, level=2), token)
        found: list[Row] = [SessionStands(token), allowed, opened]
        assert swap_of(found) is not None
        return found

    return rows


def alive(watchword: Watchword, token: bytes) -> bool:
    return watchword.sockets.sessions.find(token, watchword.sockets.clock.now()) is not None


def test_of_twenty_steps_from_one_token_one_is_stored_with_its_fact(watchword: Watchword) -> None:
    rows, before = signing_in(watchword, b"old"), watchword.store.last_position()

    def step(number: int) -> bool:
        try:
            watchword.store.append(
                change(f"user_mfa:{number}", 0, number), origin=origin(), rows=rows(b"new %d" % number)
            )
        except SessionEnded:
            return False
        return True

    went_on = at_once(20, step)
    assert went_on.count(True) == 1
    assert [alive(watchword, b"new %d" % number) for number in range(20)] == went_on
    assert not alive(watchword, b"old")
    assert [each.stream for each in watchword.store.read(before, 100)] == [f"user_mfa:{went_on.index(True)}"]


@pytest.mark.parametrize(
    "overtaken",
    [
        "UPDATE account_access SET generation = generation + 1 WHERE account_id = 'dist-owner'",
        "UPDATE account_access SET disabled = true WHERE account_id = 'dist-owner'",
        "UPDATE partner_access SET partner_users_generation = partner_users_generation + 1",
    ],
)
def test_a_step_that_was_overtaken_stores_nothing(watchword: Watchword, overtaken: str) -> None:
    rows, before = signing_in(watchword, b"old"), watchword.store.last_position()
    watchword.database.run(overtaken)
    with pytest.raises(SessionEnded):
        watchword.store.append(change("user_mfa:x", 0, 1), origin=origin("cmd-1"), rows=rows(b"new"))
    assert (watchword.store.last_position(), watchword.store.known("cmd-1")) == (before, None)
    assert watchword.database.one("SELECT count(*) AS n FROM session WHERE token_hash = 'old'") == {"n": 1}
    assert not alive(watchword, b"new")


def test_the_step_of_one_sign_in_too_many_ends_the_oldest(watchword: Watchword) -> None:
    for number in range(SESSIONS_OF_AN_ACCOUNT + 2):
        rows = signing_in(watchword, b"old %d" % number)
        watchword.store.append(change(f"user_mfa:{number}", 0, 1), origin=origin(), rows=rows(b"new %d" % number))
    standing = [alive(watchword, b"new %d" % number) for number in range(SESSIONS_OF_AN_ACCOUNT + 2)]
    assert standing == [False] * 2 + [True] * SESSIONS_OF_AN_ACCOUNT


def test_a_step_reads_no_table_whole(watchword: Watchword, database: Database) -> None:
    """However many sign-ins and accounts there are: what one costs must not grow with the others."""
    now = watchword.sockets.clock.now()
    fill = """
        INSERT INTO session SELECT convert_to(account_id || n, 'UTF8'), account_id || n, 'signed_in', account_id, 0, 0, '{}',
            1, 1, NULL, '', %(now)s, %(now)s, %(now)s, interval '1 hour' FROM account_access, generate_series(1, 500) n"""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(fill, {"now": now})
        owner.execute("ANALYZE")
    with watchword.store._recorder.datastore.get_connection() as connection:
        (found,) = connection.execute(f"EXPLAIN (FORMAT JSON) {recorder._STORE_AND_SWAP}", ("[]", "[]")).fetchall()
    scans = [
        each
        for each in nodes(found["QUERY PLAN"][0]["Plan"])
        if "Relation Name" in each and "Scan" in each["Node Type"]
    ]
    assert {each["Relation Name"] for each in scans} == {"session", "account_access", "partner_access"}
    assert [each for each in scans if "Index Cond" not in each] == []


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return each step of a plan."""
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)
