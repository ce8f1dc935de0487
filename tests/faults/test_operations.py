"""What an operator does, or what befalls him, while people work: restarts, rebuilds, restores, a lost key, a changed row."""

import asyncio
import re
import subprocess
import time
from dataclasses import replace

import psycopg
import pytest

from api import bootstrap
from api.embedded.ground import _programs
from api.embedded.ports import LOOPBACK
from handlers.ledger_check import LedgerCheck
from projections import rebuilding
from projections.views import VIEWS
from tests.delivery.steps import whole_log
from tests.faults.checker import Findings, check_log
from tests.faults.deployment import quiet
from tests.faults.report import LONG
from tests.faults.scenario import Stage

pytestmark = pytest.mark.timeout(400)


def test_views_are_rebuilt_while_people_work(stage: Stage) -> None:
    w = stage.deployment.watchword
    with stage.under_load("live rebuild") as running:
        for _ in range(running.rounds):
            for name in VIEWS:
                rebuilding.rebuild(w.settings.need("database_url"), w.store.read, name)
        running.recovered()


def test_one_process_after_the_other_is_replaced_while_people_work(stage: Stage) -> None:
    """A rolling upgrade: the new process is asked only once it answers, so there is always one that does."""
    with stage.under_load("rolling upgrade") as running:
        for _ in range(3 if LONG else 1):
            for name, program in stage.deployment.programs.items():
                program.terminate()
                program.wanted = True
                running.row.kills += 1
                if name.startswith("web"):
                    running.recovered()
        running.recovered()


def test_a_fact_of_a_newer_version_stops_nothing_but_its_own_stream_and_loses_nothing(stage: Stage) -> None:
    """X21: an old program meets a fact that a newer one wrote: views, relay and doors go on.

    At the end the fact is taken away, with its entry among those that cannot be read: the ledger, and nothing else, finds it.
    """
    with pytest.raises(AssertionError) as told:
        _newer(stage)
    stage.deployment.broken = True
    found = [line for line in str(told.value).splitlines() if re.match(r"I\d+:", line)]
    assert re.fullmatch(r"I9: position \d+ is missing", found[-1]), told.value
    assert [line for line in found if not line.startswith("I9")] == [
        line for line in found if "1 messages without a fact" in line
    ]


def _newer(stage: Stage) -> None:
    w = stage.deployment.watchword
    with stage.under_load("a fact of a newer version") as running:
        stage.deployment.sql(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES"
            " ('novelty:1', 1, 'novelty.invented.v7', '{}')"
        )
        row = stage.deployment.sql("SELECT notification_id FROM stored_events WHERE originator_id = 'novelty:1'")
        newer = int(str(row[0][0]))
        running.go_on(3)
        least = (
            "SELECT min(notification_id) AS least FROM notification_tracking WHERE application_name <> '__migration__'"
        )
        quiet(lambda: w.database.one(least)["least"] >= newer, 30, lambda: "a view stands still before the fact")  # type: ignore[index]
        quiet(lambda: w.relay_position.get() >= newer, 30, lambda: "the relay stands still before the fact")
        now, history = time.monotonic(), running.load.history
        quiet(
            lambda: history.acknowledged_since(now) is not None, 60, lambda: "doors go on: they read their own streams"
        )
        book = bootstrap.ledger(w)
        quiet(
            lambda: book.extend() >= 0 and book.tree.leaf_at(newer) is not None,
            30,
            lambda: "the ledger does not come to a fact that it need not read",
        )
        with psycopg.connect(stage.deployment.owner_url, autocommit=True) as owner:
            owner.execute("ALTER TABLE stored_events DISABLE TRIGGER facts_never_change")
            owner.execute("DELETE FROM stored_events WHERE originator_id = 'novelty:1'")
            owner.execute("ALTER TABLE stored_events ENABLE TRIGGER facts_never_change")
            owner.execute("DELETE FROM audit_entry WHERE topic = 'unknown'")
        for name in ("relay", "projector"):
            running.kill(name)  # they are upgraded
        running.recovered()


def test_a_backup_that_was_taken_under_load_is_restored_whole(stage: Stage) -> None:
    """Dumped while people work, restored beside: all that anybody could read is there, and every view fits it.

    What was stored and not committed yet, when the backup began, may be missing below what was: each stream is a beginning.
    """
    deployment = stage.deployment
    with stage.under_load("backup and restore") as running:
        settled = whole_log(deployment.watchword)
        dump = _pg(deployment.owner_url, "pg_dump", "--format=custom")
        running.go_on()
        running.recovered()
    with psycopg.connect(deployment.postgres.url("watchword_owner", "postgres"), autocommit=True) as owner:
        owner.execute("DROP DATABASE IF EXISTS restored")
        owner.execute("CREATE DATABASE restored")
    url = deployment.postgres.url("watchword_owner", "restored")
    path = deployment.folder / "dump"
    path.write_bytes(dump)
    _pg(url, "pg_restore", "--no-owner", str(path), into=True)
    settings = replace(deployment.watchword.settings, database_url=url, admin_database_url=url)
    restored = bootstrap.build(settings)
    try:
        kept, found = whole_log(restored), Findings()
        check_log(kept, found)
        assert not found.words()
        assert kept[: len(settled)] == settled
        assert set(kept) <= set(whole_log(deployment.watchword))
        projector = bootstrap.projector(restored)
        while projector.step():
            pass
        projector.close()
        for name in VIEWS:
            assert rebuilding.verify(url, restored.store.read, name).equal, name
    finally:
        restored.close()


def _pg(url: str, program: str, *words: str, into: bool = False) -> bytes:
    command = [str(_programs() / program), *(["--dbname", url] if into else [url]), *words]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_a_changed_row_is_found(stage: Stage) -> None:
    """Somebody with the owner's rights changes one old fact: verification names it; changed back, all is well again."""
    deployment, w = stage.deployment, stage.deployment.watchword

    def verified() -> list[int | None]:
        book = bootstrap.ledger(w)
        findings = LedgerCheck(book.tree, book.notes).run(full=True).findings.values()
        return [finding.position for finding in findings]

    with stage.under_load("a tampered row") as running:
        running.go_on(2)
        bootstrap.ledger(w).checkpoint()
        change = (
            "UPDATE stored_events SET state = convert_to(replace(convert_from(state, 'UTF8'), '{}', '{}'), 'UTF8')"
            " WHERE notification_id = 20"
        )
        with psycopg.connect(deployment.owner_url, autocommit=True) as owner:
            owner.execute("ALTER TABLE stored_events DISABLE TRIGGER facts_never_change")
            owner.execute(change.format('"actor"', '"actoR"').encode())
            found = verified()
            owner.execute(change.format('"actoR"', '"actor"').encode())
            owner.execute("ALTER TABLE stored_events ENABLE TRIGGER facts_never_change")
            owner.execute("DELETE FROM audit_entry WHERE topic = 'unknown'")
        assert 20 in found
        running.recovered()


def test_a_lost_key_file_stops_nobody_who_runs_and_lets_nobody_start(stage: Stage) -> None:
    keys = stage.deployment.folder / "keys" / "kek.json"
    with stage.under_load("key file lost") as running:
        aside = keys.rename(keys.with_suffix(".aside"))
        running.recovered()
        running.kill("web-1")
        running.go_on(6)
        assert not keys.exists(), "a new key would make every secret unreadable"
        aside.rename(keys)
        running.recovered()


def test_slow_clients_keep_nobody_from_being_served(stage: Stage) -> None:
    """Hundreds of connections that send their headers byte by byte, and never end."""

    async def slow(stop: asyncio.Event, port: int) -> None:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"POST /api/v1/sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n")
        while not stop.is_set():
            writer.write(b"X")
            await asyncio.sleep(0.5)
        writer.transport.abort()

    async def many(seconds: float) -> None:
        stop = asyncio.Event()
        tasks = [asyncio.ensure_future(slow(stop, port)) for port in stage.deployment.front.ports for _ in range(150)]
        await asyncio.sleep(seconds)
        stop.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    with stage.under_load("slow clients") as running:
        asyncio.run(many(10 if LONG else 3))
        running.recovered()
