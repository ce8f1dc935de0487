"""What `watchword run` has acknowledged it keeps: over an orderly end, and when everything is killed at once."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from api.embedded.ports import free_port
from api.embedded.processes import LINUX
from tests.platform.machine import Run, of_folder, wait_for
from tests.portal import Browser

pytestmark = [
    pytest.mark.whole,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not LINUX, reason="looks for what is left alive in /proc"),
]
STOP_SECONDS = 10.0
"""Twice what is promised: the test's machine may be busy."""

STARTED: list[Run] = []
"""To be reaped when a test fails half-way."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever a failed test leaves alive in it is ended."""
    folder = tmp_path / "data"
    yield folder
    kill_everything(folder)
    while STARTED:
        STARTED.pop().process.wait(10)


def kill_everything(folder: Path) -> None:
    """Kill every process of the folder, the servers too; again for those that appeared meanwhile."""

    def none_left() -> bool:
        left = of_folder(folder)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not left

    wait_for(none_left, 10, "everything is dead")


def database(data_dir: Path) -> psycopg.Connection[tuple[object, ...]]:
    services = json.loads((data_dir / "services.json").read_text())
    return psycopg.connect(services["database_url"], autocommit=True)


def position(data_dir: Path) -> int:
    with database(data_dir) as connection:
        row = connection.execute("SELECT max(notification_id) FROM stored_events").fetchone()
    assert row is not None
    return int(str(row[0]))


def start(data_dir: Path, port: int) -> Run:
    run = Run.start(data_dir, port)
    STARTED.append(run)
    run.wait_until_ready(port)
    assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    return run


def acknowledged(port: int, password: str) -> int:
    """Enforce MFA as the owner of a demo partner, and return the position that was acknowledged."""
    browser = Browser.at(f"http://127.0.0.1:{port}")
    with browser.http:
        assert browser.sign_in("owner@north.example.org", password)["state"] == "signed_in"
        body = {"enforce_partner_users": False, "enforce_organizations": True}
        answer = browser.put("/partners/north/mfa-policy", body)
    assert answer.status_code == 200, answer.text
    return int(answer.headers["Watchword-Position"])


def the_service_may_add_facts_and_nothing_else(data_dir: Path) -> None:
    with database(data_dir) as connection:
        for statement in (
            b"UPDATE stored_events SET topic = topic",
            b"DELETE FROM stored_events",
            b"TRUNCATE stored_events",
            b"CREATE DATABASE mine",
            b"UPDATE schema_migration SET name = name",
            b"CREATE ROLE mine",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_what_was_acknowledged_outlives_an_orderly_end_and_a_kill_of_everything(data_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    run = start(data_dir, port)
    the_service_may_add_facts_and_nothing_else(data_dir)
    demo, at_first = (data_dir / "demo.txt").read_text(), position(data_dir)
    status, seconds = run.stop(signal.SIGINT)
    assert (status, seconds < STOP_SECONDS) == (0, True), seconds
    assert of_folder(data_dir) == {}

    run = start(data_dir, port)
    assert (data_dir / "demo.txt").read_text() == demo
    assert position(data_dir) >= at_first
    another_one_is_told_that_the_port_is_taken(tmp_path / "other", port)
    kept = acknowledged(port, demo.partition("password of everybody: ")[2].split()[0])
    assert kept > at_first
    os.killpg(run.process.pid, signal.SIGKILL)
    kill_everything(data_dir)
    assert run.process.wait(10) == -signal.SIGKILL

    run = start(data_dir, port)
    assert position(data_dir) >= kept
    assert (data_dir / "demo.txt").read_text() == demo
    assert run.stop()[0] == 0
    assert of_folder(data_dir) == {}


def another_one_is_told_that_the_port_is_taken(folder: Path, port: int) -> None:
    run = Run.start(folder, port)
    assert run.process.wait(60) == 1
    assert f"port {port} is taken" in run.words.read_text()
    assert of_folder(folder) == {}


def test_the_person_at_the_terminal_reads_who_is_whose_partner_where_mail_goes_and_how_to_start_afresh(
    data_dir: Path,
) -> None:
    port = free_port()
    said = "\n".join(start(data_dir, port).lines())
    for line in (
        "north    North Distribution   distributor",
        "brook    Brook Partners       sub-reseller of North Distribution",
    ):
        assert line in said
    assert f"http://127.0.0.1:{port}/dev/mail" in said
    assert f"rm -r {data_dir}" in said
    assert "its code is 424242" in said or "node and npm" in said
    assert said.index("Starting PostgreSQL") < said.index("Preparing the database") < said.index("Loading the demo")
    assert said.splitlines()[-1] == f"Watchword is ready on http://127.0.0.1:{port}"
