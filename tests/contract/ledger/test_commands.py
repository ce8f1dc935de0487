"""The ledger as operators meet it: signed beside the views, killed and continued, verified on the console."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from api.settings import Settings
from handlers.adapters.notes import Verifier
from handlers.adapters.postgres.event_store import PostgresEventStore
from tests.contract.plugs import change, origin
from tests.delivery.steps import until

ROOT = Path(__file__).parents[3]


@dataclass
class Console:
    """Runs Watchword's commands on the test directory, with a folder for checkpoints of the test's own."""

    settings: Settings
    folder: Path
    store: PostgresEventStore

    @property
    def file(self) -> Path:
        return self.folder / "checkpoints.txt"

    def start(self, *words: str) -> subprocess.Popen[str]:
        ours = {"DATABASE_URL": self.settings.need("database_url"), "DATA_DIR": str(self.settings.data_dir)}
        environ = {**os.environ, **ours, "LEDGER_DIR": str(self.folder)}
        command = [sys.executable, "-m", "api.cli", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words: str) -> tuple[int, str, str]:
        program = self.start(*words)
        out, err = program.communicate(timeout=60)
        return program.returncode, out, err

    def append(self) -> int:
        return self.store.append(change("user_mfa:x", len(self.store.history("user_mfa:x")), 1), origin=origin())

    def is_signed(self) -> bool:
        last = f"\n{self.facts()}\n"
        return self.file.exists() and last in self.file.read_text()

    def facts(self) -> int:
        with psycopg.connect(self.settings.need("database_url")) as connection:
            (count,) = connection.execute("SELECT count(*) FROM stored_events").fetchone() or (0,)
        return int(count)


@pytest.fixture
def console(settings: Settings, tmp_path: Path) -> Iterator[Console]:
    store = PostgresEventStore(settings.need("database_url"))
    yield Console(settings, tmp_path / "ledger", store)
    store.close()


def test_the_projector_signs_and_goes_on_after_it_was_killed(console: Console) -> None:
    for ending in (signal.SIGKILL, signal.SIGTERM):
        console.append()
        program = console.start("projector")
        try:
            until(console.is_signed)
        finally:
            program.send_signal(ending)
            _, said = program.communicate(timeout=20)
        assert program.returncode == (-ending if ending == signal.SIGKILL else 0), said
        assert said == ""
    status, out, err = console.run("audit", "verify", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["right"], found["facts"], found["waiting"]) == (True, console.facts(), 0)
    assert found["checkpoints"] >= 2


def test_an_auditor_gets_a_checkpoint_checks_it_and_is_told_what_is_wrong(console: Console) -> None:
    status, note, _ = console.run("audit", "checkpoint")
    line = console.run("audit", "key")[1].strip()
    assert status == 0
    assert Verifier(line).open(note).split("\n")[1] == str(console.facts())
    assert console.file.read_text() == f"{note}\n"
    kept = console.folder / "kept.txt"
    kept.write_text(note)
    assert console.run("audit", "verify", "--against", str(kept))[0] == 0
    kept.write_text(note.replace("ledger", "pledge"))
    assert console.run("audit", "verify", "--against", str(kept))[0] == 2
    bad = console.store.read(0, 20)[-1].position
    with psycopg.connect(console.settings.need("admin_database_url")) as owner:
        owner.execute("ALTER TABLE stored_events DISABLE TRIGGER USER")
        owner.execute("UPDATE stored_events SET topic = topic || 'x' WHERE notification_id = %s", (bad,))
    status, out, _ = console.run("audit", "verify", "--full")
    assert (status, f"WRONG: position {bad} was changed" in out) == (1, True)
    found = json.loads(console.run("audit", "verify", "--full", "--json")[1])
    assert [(each["kind"], each["position"]) for each in found["findings"]] == [("fact", bad)]


def test_what_keeps_the_ledger_from_signing_is_said_in_words(console: Console) -> None:
    console.folder.mkdir()
    console.file.write_text("something else\n" * 6)
    status, out, err = console.run("audit", "checkpoint")
    assert (status, out, "restore the file" in err) == (1, "", True)
    console.folder = console.file
    status, out, err = console.run("audit", "checkpoint")
    assert (status, out, "set LEDGER_DIR" in err) == (1, "", True)


END_THE_LEASE = """
    SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('watchword ledger', 0)"""


def test_x24_a_projector_that_loses_the_lease_of_the_ledger_takes_it_again_and_ends_nothing(console: Console) -> None:
    console.append()
    program = console.start("projector")
    try:
        until(console.is_signed)
        for _ in range(2):
            with psycopg.connect(console.settings.need("admin_database_url")) as owner:
                assert owner.execute(END_THE_LEASE).fetchall()
            console.append()
            until(lambda: console.run("audit", "checkpoint")[0] == 0 and console.is_signed())
            until(lambda: bool(leases(console)))
            assert program.poll() is None
    finally:
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=20)
    assert program.returncode == 0


def leases(console: Console) -> list[tuple[object, ...]]:
    with psycopg.connect(console.settings.need("admin_database_url")) as owner:
        return owner.execute(END_THE_LEASE.replace("pg_terminate_backend(pid)", "pid")).fetchall()
