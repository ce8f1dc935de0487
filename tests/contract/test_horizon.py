"""Nothing is passed over: a reader beside writers whose transactions end in any order, are rolled back, or are killed."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from eventsourcing.persistence import ProgrammingError
from psycopg import sql

from handlers.adapters.postgres.event_store import PostgresEventStore
from tests.contract.plugs import change, origin, read_all, rising, step_of
from tests.servers import Database

_ADD = "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (%s, 1, %s, %s)"
_STORED = "SELECT notification_id FROM stored_events ORDER BY notification_id"
_STATE = (
    b'{"fact":{"purpose":"sign_in","time_step":1,"gives_back":0},"at":"2026-03-02T12:00:00+00:00","actor":"system",'
    b'"tenant":"dist","command_id":"","correlation_id":"","ip_prefix":"","session":""}'
)
WRITERS, EACH = 6, 60


def _in_any_order(url: str, writer: int) -> None:
    """Add facts in transactions that stay open for up to 20 ms; one in five is rolled back, one in twenty is killed."""
    chance = random.Random(writer)
    for number in range(EACH):
        with psycopg.connect(url) as connection:
            connection.execute(_ADD, (f"user_mfa:{writer}-{number}", "user_mfa.verified.v1", _STATE))
            time.sleep(chance.random() * 0.02)
            fate = chance.random()
            if fate < 0.2:
                connection.rollback()
            elif fate < 0.25:
                connection.pgconn.finish()
            else:
                connection.commit()


def _follow(read: Callable[[int], list[int]], done: threading.Event) -> list[int]:
    seen: list[int] = []
    while True:
        over = done.is_set()
        found = read(seen[-1] if seen else 0)
        seen += found
        if over and not found:
            return seen


def _beside_writers(database: Database, store: PostgresEventStore, read: Callable[[int], list[int]]) -> list[int]:
    done = threading.Event()

    def append(thread: int) -> None:
        for number in range(3 * EACH):
            store.append(change(f"user_mfa:s{thread}-{number}", 0, number), origin=origin())

    with ThreadPoolExecutor(WRITERS + 5) as threads:
        reader = threads.submit(_follow, read, done)
        slow = [threads.submit(_in_any_order, database.app_url, writer) for writer in range(WRITERS)]
        quick = [threads.submit(append, thread) for thread in range(4)]
        for each in (*slow, *quick):
            each.result()
        done.set()
        return reader.result()


def _stored(database: Database) -> list[int]:
    with psycopg.connect(database.app_url) as connection:
        return [position for (position,) in connection.execute(_STORED)]


def test_a_reader_sees_every_committed_fact_once_and_in_order(postgres: PostgresEventStore, database: Database) -> None:
    """From another process's view: a store of its own, that did not write."""
    following = PostgresEventStore(database.app_url, pool_size=2)
    seen = _beside_writers(database, postgres, lambda after: [each.position for each in following.read(after, 50)])
    following.close()
    assert seen == _stored(database)
    assert rising(seen)
    assert len(seen) > 12 * EACH


def test_readers_that_share_a_horizon_pass_nothing_over(postgres: PostgresEventStore, database: Database) -> None:
    """What another reader sees as settled may have been committed after one's own look at the facts."""
    shared, done = PostgresEventStore(database.app_url, pool_size=6), threading.Event()

    def beside() -> list[int]:
        return _follow(lambda after: [each.position for each in shared.read(after, 50)], done)

    with ThreadPoolExecutor(4) as threads:
        others = [threads.submit(beside) for _ in range(4)]
        seen = _beside_writers(database, postgres, lambda after: [each.position for each in shared.read(after, 50)])
        done.set()
        all_seen = [seen, *(each.result() for each in others)]
    shared.close()
    assert all_seen == [_stored(database)] * 5


_LATE = """
    CREATE FUNCTION late.log_horizon(known bigint, OUT newest bigint, OUT adding text[]) LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(0.5);
        SELECT h.newest, h.adding INTO newest, adding FROM public.log_horizon(known) h;
    END $$"""


def test_what_is_committed_before_the_horizon_is_read_is_among_the_facts(
    postgres: PostgresEventStore, database: Database
) -> None:
    """The moment between the two is made long here: facts that were looked up before the horizon would lack the first."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA late")
        owner.execute("GRANT USAGE ON SCHEMA late TO PUBLIC")
        owner.execute(_LATE)
        name = sql.Identifier(owner.info.dbname)
        owner.execute(sql.SQL("ALTER DATABASE {} SET search_path = late, public").format(name))
        sleeping = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        following = PostgresEventStore(database.app_url)
        with psycopg.connect(database.app_url) as slow, ThreadPoolExecutor(1) as thread:
            slow.execute(_ADD, ("user_mfa:slow", "user_mfa.verified.v1", _STATE))
            postgres.append(change("user_mfa:quick", 0, 1), origin=origin())
            reader = thread.submit(following.read, 0, 10)
            while not reader.done() and owner.execute(sleeping).fetchone() is None:
                pass
            slow.commit()
            found = reader.result() or following.read(0, 10)
        following.close()
    assert [each.position for each in found] == [1, 2]


def test_at_a_stricter_isolation_the_log_is_not_followed_rather_than_passed_over(database: Database) -> None:
    """There the facts would be those of before the horizon, which counts later ones as committed."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        name = sql.Identifier(owner.info.dbname)
        setting = "SET default_transaction_isolation = 'repeatable read'"
        owner.execute(sql.SQL("ALTER DATABASE {} " + setting).format(name))
    store = PostgresEventStore(database.app_url)
    store.append(change("user_mfa:one", 0, 1), origin=origin())
    with pytest.raises(ProgrammingError, match="read committed"):
        store.read(0, 10)
    store.close()


def test_whoever_is_behind_reads_on_to_the_end_in_full_pages(postgres: PostgresEventStore) -> None:
    postgres.append(change("user_mfa:one", 0, *range(7)), origin=origin())
    assert [each.position for each in postgres.read(6, 10)] == [7], "from here on it is known to be settled"
    postgres.append(change("user_mfa:two", 0, *range(3)), origin=origin())
    pages = [[each.position for each in postgres.read(after, 4)] for after in (0, 4, 8, 10)]
    assert pages == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10], []]


def test_a_reader_without_the_horizon_passes_facts_over(postgres: PostgresEventStore, database: Database) -> None:
    """The negative control: were this to see everything, the test above would prove nothing."""
    query = "SELECT notification_id FROM stored_events WHERE notification_id > %s ORDER BY notification_id LIMIT 50"
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        seen = _beside_writers(
            database, postgres, lambda after: [position for (position,) in connection.execute(query, (after,))]
        )
    assert set(seen) < set(_stored(database))


def test_a_transaction_that_stays_open_holds_readers_before_its_fact_and_nobody_else(
    postgres: PostgresEventStore, database: Database
) -> None:
    first = postgres.append(change("user_mfa:one", 0, 1), origin=origin())
    assert [each.position for each in postgres.read(0, 100)] == [first]
    with psycopg.connect(database.app_url) as open_one, psycopg.connect(database.app_url) as busy_elsewhere:
        busy_elsewhere.execute("INSERT INTO processed_message (consumer, message_id) VALUES ('n', '1')")
        open_one.execute(_ADD, ("user_mfa:slow", "user_mfa.verified.v1", _STATE))
        later = [postgres.append(change(f"user_mfa:{n}", 0, n), origin=origin()) for n in range(20)]
        assert [each.position for each in postgres.read(0, 100)] == [first]
        assert postgres.last_position() == later[-1]
        assert postgres.load("user_mfa:7", lambda _, fact: step_of(fact), 0) == (7, 1)
        open_one.commit()
        assert [each.position for each in postgres.read(0, 100)] == [first, first + 1, *later]


@pytest.mark.parametrize("end", ["rollback", "finish"])
def test_a_position_that_will_never_be_committed_is_a_gap(
    postgres: PostgresEventStore, database: Database, end: str
) -> None:
    connection = psycopg.connect(database.app_url)
    connection.execute(_ADD, ("user_mfa:never", "user_mfa.verified.v1", _STATE))
    later = postgres.append(change("user_mfa:one", 0, 1), origin=origin())
    if end == "rollback":
        connection.rollback()
    else:
        connection.pgconn.finish()
    deadline = time.monotonic() + 10
    while not (found := postgres.read(0, 10)) and time.monotonic() < deadline:
        pass
    assert [each.position for each in found] == [later] == [2]
    connection.close()


@pytest.mark.parametrize("gap", [1, 999, 1_000, 1_001, 10_000, 1_000_000])
def test_x20_however_many_positions_were_drawn_in_vain_the_reader_goes_on(
    postgres: PostgresEventStore, database: Database, gap: int
) -> None:
    """The gap is at the end when the reader meets it, and in the middle for a reader that comes later."""

    def draw_in_vain() -> None:
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            owner.execute("SELECT setval(pg_get_serial_sequence('stored_events', 'notification_id'), last_value + %s)"
                          " FROM stored_events_notification_id_seq", (gap,))  # fmt: skip

    following, later = (PostgresEventStore(database.app_url, pool_size=2) for _ in range(2))
    seen: list[int] = []
    for number in range(3):
        postgres.append(change(f"user_mfa:{number}", 0, number), origin=origin())
        seen += [each.position for each in following.read(seen[-1] if seen else 0, 50)]
        draw_in_vain()
        assert list(following.read(seen[-1], 50)) == []
    assert seen == _stored(database) == [1, 2 + gap, 3 + 2 * gap]
    assert [each.position for each in later.read(0, 50)] == seen
    for page in (1, 2, 1_500):
        assert read_all(later, page) == [(position, f"user_mfa:{n}", n) for n, position in enumerate(seen)]
    following.close()
    later.close()
