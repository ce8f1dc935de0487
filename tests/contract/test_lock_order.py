"""X31: whatever locks several rows locks them in one order, so that no two transactions wait for each other in a ring."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement
from typing import Any

import psycopg
import pytest

from api.bootstrap import Watchword
from handlers.adapters.postgres.database import Database
from handlers.adapters.postgres.identities import PostgresIdentities
from handlers.adapters.postgres.mail_queue import PostgresMailQueue
from handlers.adapters.postgres.sessions import PostgresSessions
from handlers.adapters.postgres.throttle import PostgresThrottle
from handlers.ports import Limit, Postponed, Unavailable
from tests import servers
from tests.contract.plugs import at_once

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MANY = Limit("many", 1_000_000, timedelta(days=1))
KEYS = [(MANY, f"key-{number}") for number in range(12)]
MAILS = [f"mail-{number}" for number in range(12)]
ROUNDS, THREADS = 12, 6
Act = Callable[[int], Any]


@pytest.fixture
def pool(database: servers.Database) -> Iterator[Database]:
    pool = Database(database.app_url, pool_size=THREADS)
    yield pool
    pool.close()


def hunted(pool: Database, acts: dict[str, Act]) -> None:
    """Run each pair of operations on overlapping rows in many threads; PostgreSQL counts the deadlocks."""
    for first, second in combinations_with_replacement(acts.values(), 2):

        def act(number: int, pair: tuple[Act, Act] = (first, second)) -> None:
            for turn in range(ROUNDS):
                pair[number % 2](number + turn)

        at_once(THREADS, act)
    pool.all("SELECT pg_stat_force_next_flush()")
    assert deadlocks(pool) == 0


def deadlocks(pool: Database) -> int:
    return int(pool.all("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0]["deadlocks"])


def test_x31_counts_of_tries_are_locked_in_one_order(pool: Database) -> None:
    throttle = PostgresThrottle(pool)
    for key in reversed(KEYS):  # so that the order of the table is not the order of the keys
        throttle.reserve(key, now=NOON)

    def turned(number: int) -> list[tuple[Limit, str]]:
        return KEYS[::-1] if number % 2 else KEYS

    acts: dict[str, Act] = {
        "reserve": lambda number: throttle.reserve(*turned(number), now=NOON),
        "refund": lambda number: throttle.refund(*turned(number)),
        "clear": lambda number: throttle.clear(*turned(number)[::2]),
        "forget": lambda _: throttle.forget_old(NOON + timedelta(days=9)),
    }
    hunted(pool, acts)


def test_x31_mails_are_locked_in_one_order(pool: Database, database: servers.Database) -> None:
    queue = PostgresMailQueue(pool)
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("INSERT INTO partner_access (partner_id, name, type) VALUES ('p', 'P', 'reseller')")
        owner.execute("INSERT INTO account_access (account_id, partner_id, role) VALUES ('a', 'p', 'owner')")
        for mail_id in MAILS[::-1]:
            owner.execute(
                "INSERT INTO mail_queue (mail_id, kind, account_id, tenant, because, owed_at, state, next_try)"
                " VALUES (%s, 'mfa_activated', 'a', 'p', 1, %s, 'pending', %s)",
                (mail_id, NOON, NOON),
            )

    def turned(number: int) -> list[str]:
        return MAILS[::-1] if number % 2 else MAILS

    acts: dict[str, Act] = {
        "due": lambda _: queue.due(NOON, timedelta(seconds=-1), 20),
        "give_back": lambda number: queue.give_back(turned(number), NOON),
        "postpone": lambda number: queue.postpone([Postponed(each, 1, NOON, "x") for each in turned(number)], NOON),
    }
    hunted(pool, acts)


def test_x31_sessions_are_ended_in_one_order(watchword: Watchword) -> None:
    pool, owner = watchword.database, str(watchword.settings.admin_database_url)
    identities = PostgresIdentities(pool)
    provider = (
        "INSERT INTO identity_provider (provider_id, partner_id, kind, name, issuer, client_id, restricted_to, rank)"
        " VALUES ('idp', 'dist', 'openid', 'I', 'https://i', 'c', '', 1)"
    )
    opened = (
        "INSERT INTO session (token_hash, handle, state, generation, population_generation, choices, level,"
        " required_level, device, created_at, seen_at, expires_at, idle) SELECT sha256(n::text::bytea), n, 'signed_in', 0,"
        " 0, '{}', 1, 1, '', now(), now(), now() + interval '1 day', '1 day' FROM generate_series(1, 40) n"
        " ON CONFLICT DO NOTHING"
    )
    known = (
        "INSERT INTO provider_session SELECT n, 'idp', 's', 'sub-' || mod(n, 2), 'sid', '', '', false, now(),"
        " now() + interval '1 day' FROM generate_series(40, 1, -1) n ON CONFLICT DO NOTHING"
    )
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(provider)

    def ended(number: int) -> None:
        pool.run(opened)
        pool.run(known)
        identities.end_sessions("idp", sub_digest="" if number % 2 else "sub-1", sid_digest="sid")

    sessions = PostgresSessions(pool, None)  # type: ignore[arg-type]  # what has run out needs no key
    acts: dict[str, Act] = {
        "end_sessions": ended,
        "forget": lambda _: sessions.forget_ended(datetime.now(UTC) + timedelta(days=2)),
        "forget_old": lambda _: identities.forget_old(datetime.now(UTC) + timedelta(days=2)),
    }
    hunted(pool, acts)


def test_x31_a_deadlock_is_tried_again_and_never_an_error_of_its_own(pool: Database) -> None:
    pool.run("INSERT INTO throttle (key, tries) VALUES ('a', 0), ('b', 0)")
    ring = (
        "WITH one AS (UPDATE throttle SET tries = tries + 1 WHERE key = %s RETURNING pg_sleep(0.3)) SELECT * FROM one"
    )

    def act(number: int) -> bool:
        mine, other = ("a", "b") if number else ("b", "a")
        try:
            with pool.transaction() as connection:
                connection.execute(ring, (mine,))
                connection.execute("UPDATE throttle SET tries = tries + 1 WHERE key = %s", (other,))
        except Unavailable:
            return False
        return True

    assert sorted(at_once(2, act)) == [False, True]
