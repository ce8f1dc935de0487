"""What only a real database can break: killed connections, other hands on the facts, older shapes, readers beside writers."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
import pytest

from domain.facts import Initiator, ResetConfirmed
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.adapters.postgres.reading import UPCASTS
from handlers.ports import Change, MessageProcessed, SecretKept, StillAllowed, Unavailable
from tests.contract.plugs import (
    NOON,
    NOTHING,
    append_deciding_again,
    change,
    collect,
    fact,
    numbers_in,
    origin,
    read_all,
    rising,
    step_of,
)
from tests.servers import Database

ONE = "user_mfa:one"
_BUSY = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND state IN ('active', 'idle in transaction') AND query NOT LIKE 'SELECT 1%' ORDER BY random() LIMIT 1"""

_KILLED = 20
_EVERY_OTHER = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@dataclass
class Writer:
    """One thread's wishes, each two facts in two streams and a row, and what it was told about them."""

    name: str
    acknowledged: dict[int, int] = field(default_factory=dict)
    unknown: list[int] = field(default_factory=list)

    @property
    def streams(self) -> tuple[str, str]:
        return f"user_mfa:{self.name}-left", f"user_mfa:{self.name}-right"

    def ask(self, number: int, store: PostgresEventStore) -> None:
        left, right = self.streams
        try:
            _, version = store.load(left, collect, NOTHING)
            changes = change(left, version, number), change(right, version, number)
            row = MessageProcessed("notifier", f"{self.name}-{number}")
            self.acknowledged[number] = store.append(*changes, origin=origin(f"{self.name}-{number}"), rows=[row])
        except Unavailable:
            self.unknown.append(number)

    def check(self, store: PostgresEventStore, rows: set[str]) -> None:
        """See that every wish has its full effect or none, and every acknowledged one has it once."""
        left, right = (Counter(numbers_in(store, stream)) for stream in self.streams)
        for number in (*self.acknowledged, *self.unknown):
            known = store.known(f"{self.name}-{number}")
            effect = (left[number], right[number], f"{self.name}-{number}" in rows, known is not None)
            assert effect == (1, 1, True, True) or (number in self.unknown and effect == (0, 0, False, False))
            assert number in self.unknown or (known and known.position == self.acknowledged[number])


def _kill_busy_ones(owner_url: str, enough: threading.Event, stop: threading.Event) -> None:
    killed = 0
    with psycopg.connect(owner_url, autocommit=True) as owner:
        while not stop.wait(0.003):
            killed += len(owner.execute(_BUSY).fetchall())
            if killed > _KILLED:
                enough.set()


def test_killed_connections_lose_nothing_acknowledged_and_leave_nothing_half_done(
    postgres: PostgresEventStore, database: Database
) -> None:
    enough, stop, writers = threading.Event(), threading.Event(), [Writer(f"w{n}") for n in range(4)]

    def write(writer: Writer) -> None:
        for number in range(1000):
            writer.ask(number, postgres)
            if number >= 50 and enough.is_set():
                return

    with ThreadPoolExecutor(5) as threads:
        killing = threads.submit(_kill_busy_ones, database.owner_url, enough, stop)
        try:
            list(threads.map(write, writers))
        finally:
            stop.set()
        killing.result()
    assert enough.is_set(), "however fast they write"
    assert sum(len(writer.acknowledged) for writer in writers) > 50
    with psycopg.connect(database.app_url) as connection:
        rows = {row[0] for row in connection.execute("SELECT message_id FROM processed_message")}
    for writer in writers:
        writer.check(postgres, rows)


def test_a_connection_that_ended_while_nobody_used_it_is_not_lent(
    postgres: PostgresEventStore, database: Database
) -> None:
    """It answered a moment ago, so that nobody would ask whether it still does."""
    assert not postgres.history(ONE)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(_EVERY_OTHER)
    assert not postgres.history(ONE)


def test_a_log_that_does_not_answer_is_unavailable_and_answers_again(
    postgres: PostgresEventStore, database: Database
) -> None:
    """Every try to write is cut off while somebody else holds the table."""
    command = origin("cmd-1")
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(postgres.append, change(ONE, 0, 1), origin=command)
            _until_somebody_waits(database.owner_url)
            with psycopg.connect(database.owner_url, autocommit=True) as killer:
                while not waiting.done():
                    killer.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
            with pytest.raises(Unavailable):
                waiting.result()
    assert postgres.load(ONE, collect, NOTHING) == ((), 0)
    assert postgres.append(change(ONE, 0, 1), origin=command) == postgres.last_position()


def test_statements_that_are_sent_at_once_share_no_cursor(
    postgres: PostgresEventStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a row that asks hears, now and then, the answer to a statement before its own."""
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("INSERT INTO partner_access VALUES ('dist', 'Dist', 'distributor')")
        owner.execute("INSERT INTO account_access VALUES ('acc-1', 'dist', NULL, 'support')")
    used: list[psycopg.Cursor[Any]] = []
    execute = psycopg.Cursor.execute

    def noted(cursor: psycopg.Cursor[Any], *asked: Any, **how: Any) -> psycopg.Cursor[Any]:
        assert all(cursor is not each for each in used)
        if cursor.connection.info.pipeline_status is not psycopg.pq.PipelineStatus.OFF:
            used.append(cursor)
        return execute(cursor, *asked, **how)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    wish = Change("user_mfa:acc-1", 0, [ResetConfirmed(by=Initiator.PERSON, reset_id="r")], "dist")
    rows = [StillAllowed("acc-1", (0, 0)), SecretKept("acc-1", "ref", b"sealed", b"wrapped", 1)]
    postgres.append(wish, origin=origin(), rows=rows)
    assert len(used) > len(rows)


def _until_somebody_waits(url: str) -> None:
    deadline = time.monotonic() + 20
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone() is None:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("statement", ["UPDATE stored_events SET topic = topic", "DELETE FROM stored_events"])
def test_nobody_changes_a_fact(postgres: PostgresEventStore, database: Database, statement: str) -> None:
    """Not the application, for want of the right; not the owner, for the trigger."""
    postgres.append(change(ONE, 0, 1), origin=origin())
    with psycopg.connect(database.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)
    with psycopg.connect(database.owner_url) as owner, pytest.raises(psycopg.errors.RaiseException, match="never"):
        owner.execute(statement)
    assert numbers_in(postgres, ONE) == (1,)


def test_nobody_empties_the_log_and_the_application_cannot_switch_the_trigger_off(
    postgres: PostgresEventStore, database: Database
) -> None:
    postgres.append(change(ONE, 0, 1), origin=origin())
    with psycopg.connect(database.owner_url) as owner, pytest.raises(psycopg.errors.RaiseException, match="never"):
        owner.execute("TRUNCATE stored_events")
    for statement in ("TRUNCATE stored_events", "ALTER TABLE stored_events DISABLE TRIGGER ALL", "DROP TABLE command"):
        with psycopg.connect(database.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement)
    assert numbers_in(postgres, ONE) == (1,)


def test_a_reader_beside_four_writers_sees_every_position_once_and_in_order(
    postgres: PostgresEventStore, database: Database
) -> None:
    each, following = 75, PostgresEventStore(database.app_url, pool_size=2)
    seen: list[tuple[int, int]] = []

    def follow() -> None:
        deadline = time.monotonic() + 90
        while len(seen) < 4 * each and time.monotonic() < deadline:
            envelopes = following.read(seen[-1][0] if seen else 0, 7)
            seen.extend((envelope.position, step_of(envelope.fact)) for envelope in envelopes)

    def write(thread: int) -> None:
        for number in range(each):
            append_deciding_again(postgres, f"user_mfa:{number % 5}", 1000 * thread + number)

    with ThreadPoolExecutor(5) as threads:
        reader = threads.submit(follow)
        list(threads.map(write, range(4)))
        reader.result()
    following.close()
    assert seen == [(position, number) for position, _, number in read_all(postgres, 500)]
    assert len(seen) == 4 * each
    assert rising([position for position, _ in seen])


def test_followers_are_woken_once_facts_can_be_read(postgres: PostgresEventStore, database: Database) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as listener:
        listener.execute("LISTEN stored_events")
        for number in range(2):
            position = postgres.append(change(ONE, number, number), origin=origin())
            assert list(listener.notifies(timeout=20, stop_after=1))
            assert [each.position for each in postgres.read(position - 1, 10)] == [position]


def test_an_older_shape_of_a_fact_is_read_as_the_newest(
    postgres: PostgresEventStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps: v-1 had no purpose and v0 named the time step otherwise."""
    monkeypatch.setitem(
        UPCASTS, "user_mfa.verified.v-1", lambda old: ("user_mfa.verified.v0", {"purpose": "sign_in", **old})
    )
    monkeypatch.setitem(
        UPCASTS,
        "user_mfa.verified.v0",
        lambda old: ("user_mfa.verified.v1", {"purpose": old["purpose"], "time_step": old["step"], "gives_back": 0}),
    )
    envelope = {"at": NOON.isoformat(), "actor": "system", "tenant": "dist", "command_id": "cmd-old"}
    with psycopg.connect(database.app_url) as connection:
        for version, (topic, old) in enumerate([("v-1", {"step": 1}), ("v0", {"purpose": "sign_in", "step": 2})], 1):
            values = (ONE, version, f"user_mfa.verified.{topic}", orjson.dumps({**envelope, "fact": old}))
            connection.execute(
                "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (%s, %s, %s, %s)",
                values,
            )
    postgres.append(change(ONE, 2, 3), origin=origin())
    expected = [fact(1), fact(2), fact(3)]
    assert postgres.load(ONE, collect, NOTHING) == ((1, 2, 3), 3)
    assert [each.fact for each in postgres.history(ONE)] == expected
    assert [(each.fact, each.at) for each in postgres.read(0, 10)] == [(each, NOON) for each in expected]
