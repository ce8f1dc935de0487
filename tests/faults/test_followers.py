"""A follower beside slow transactions: ours sees every fact; with the library's database functions on it skips, and is caught."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.conninfo import conninfo_to_dict

from api import bootstrap
from domain.facts import Enabled
from handlers.ports import Change
from tests.contract.plugs import origin
from tests.faults.checker import Findings, check_follower
from tests.servers import Database, Servers
from tests.services import settings_for

COMMITS, WRITERS = 1000, 8


def followed(read: Callable[[int], list[int]], write: Callable[[], None]) -> list[int]:
    """Follow the log by position while it is written, and return the positions in the order they were seen."""
    seen: list[int] = []
    done = threading.Event()

    def follow() -> None:
        last_look = False
        while not last_look:
            last_look = done.is_set()
            while page := read(seen[-1] if seen else 0):
                seen.extend(page)
            time.sleep(0.002)

    follower = threading.Thread(target=follow)
    follower.start()
    write()
    done.set()
    follower.join()
    return seen


def test_a_follower_of_ours_sees_every_fact_beside_a_slow_transaction(database: Database, servers: Servers) -> None:
    w = bootstrap.build(settings_for(servers.folder, database), pool_size=WRITERS + 2)

    def one(number: int) -> None:
        w.store.append(Change(f"user_mfa:follow-{number}", 0, [Enabled()], "dist"), origin=origin())

    def write() -> None:
        release = threading.Event()
        slow = threading.Thread(target=_slow_elsewhere, args=(database.owner_url, release))
        slow.start()
        with ThreadPoolExecutor(WRITERS) as threads:
            list(threads.map(one, range(COMMITS)))
        release.set()
        slow.join()

    try:
        seen = followed(lambda after: [each.position for each in w.store.read(after, 500)], write)
    finally:
        w.close()
    with psycopg.connect(database.owner_url) as connection:
        rows = connection.execute("SELECT notification_id FROM stored_events ORDER BY 1").fetchall()
    found = Findings()
    check_follower([row[0] for row in rows], seen, found)
    assert len(rows) == COMMITS
    assert found.words() == ""


def _slow_elsewhere(url: str, release: threading.Event) -> None:
    """A transaction that has drawn a position, stays open, and is rolled back in the end."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_current_xact_id(), nextval('stored_events_notification_id_seq')")
        release.wait(30)
        connection.rollback()


def test_the_checker_catches_a_follower_that_skips(servers: Servers) -> None:
    """The negative control: with POSTGRES_ENABLE_DB_FUNCTIONS a slow transaction's fact appears behind the follower."""
    with servers.lent(None) as database:
        parts = conninfo_to_dict(database.owner_url)
        environment = {f"POSTGRES_{name.upper()}": str(parts[name]) for name in ("dbname", "host", "port", "user")}
        environment |= {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_PASSWORD": str(parts.get("password", "")),
        }
        environment |= {"CREATE_TABLE": "yes", "POSTGRES_LOCK_TIMEOUT": "2"}
        environment |= {"POSTGRES_ENABLE_DB_FUNCTIONS": "yes", "POSTGRES_POOL_SIZE": "10"}
        with Application[str](environment) as app:
            recorder = app.recorder
            assert isinstance(recorder, PostgresApplicationRecorder)
            seen = followed(lambda after: _next(recorder, after), lambda: _disorder(recorder, database.owner_url))
        with psycopg.connect(database.owner_url) as connection:
            rows = connection.execute("SELECT notification_id FROM application_events ORDER BY 1").fetchall()
    found = Findings()
    check_follower([row[0] for row in rows], seen, found)
    assert "a follower skipped 1 of" in found.words()
    assert found.lost == 1


def _next(recorder: PostgresApplicationRecorder, after: int) -> list[int]:
    found = recorder.select_notifications(after or None, 500, inclusive_of_start=False)
    return [each.id for each in found]


def _event() -> StoredEvent:
    return StoredEvent(originator_id=str(uuid4()), originator_version=1, topic="t", state=b"{}")


def _disorder(recorder: PostgresApplicationRecorder, url: str) -> None:
    """One transaction inserts and waits, a thousand others commit, and only then it commits."""
    with psycopg.connect(url) as slow:
        slow.execute(
            "INSERT INTO application_events (originator_id, originator_version, topic, state) VALUES (%s, 1, 't', '{}')",
            (str(uuid4()),),
        )
        for _ in range(COMMITS):
            recorder.insert_events([_event()])
        time.sleep(0.2)
        slow.commit()
