"""`watchword run` as a person meets it: real programs, real servers, real signals."""

import json
import os
import pty
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from api.embedded.ports import free_port
from api.embedded.processes import LINUX
from tests.platform.machine import Run, of_folder, wait_for

pytestmark = [
    pytest.mark.whole,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not LINUX, reason="looks for what is left alive in /proc"),
]
STOP_SECONDS = 10.0
"""Twice what is promised: the test's machine may be busy."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever a failed test leaves alive in it is ended."""
    folder = tmp_path / "data"
    yield folder
    for pid in of_folder(folder):
        os.kill(pid, signal.SIGKILL)


def services(data_dir: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((data_dir / "services.json").read_text())
    return found


def facts(data_dir: Path) -> list[tuple[object, ...]]:
    """Return positions and topics, without those of the demo provider, which comes some time after everything else."""
    query = """
        SELECT notification_id, topic FROM stored_events
        WHERE topic NOT LIKE 'identity_provider.%' AND topic NOT LIKE 'partner.domain_%' ORDER BY 1"""
    with psycopg.connect(services(data_dir)["database_url"]) as connection:
        return connection.execute(query).fetchall()


def program(data_dir: Path, name: str) -> int:
    """Return the process id of one program: of several, the first, which started the others."""
    found = [pid for pid, words in of_folder(data_dir).items() if f"api.cli {name}" in words]
    assert found, of_folder(data_dir)
    return min(found)


def readyz(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return int(answer.status)
    except OSError:
        return 0


def test_it_starts_from_nothing_heals_stops_clean_and_keeps_the_data(data_dir: Path) -> None:
    port = free_port()
    run = Run.start(data_dir, port, HOST="0.0.0.0")
    run.wait_until_ready(port)
    assert readyz(port) == 200
    assert "who can sign in" in run.words.read_text().lower()
    known = services(data_dir)
    assert (data_dir / "services.json").stat().st_mode & 0o777 == 0o600
    assert set(known) == {
        "database_url", "admin_database_url", "nats_url", "smtp_url", "public_url", "port", "mail_dir"
    }  # fmt: skip
    _only_loopback_answers(known)
    before = facts(data_dir)
    assert before
    _every_program_that_dies_comes_back(data_dir, port)

    status, seconds = run.stop()
    assert (status, seconds < STOP_SECONDS) == (0, True), seconds
    assert of_folder(data_dir) == {}
    assert not (data_dir / "services.json").exists()

    again = Run.start(data_dir, port)
    again.wait_until_ready(port)
    assert facts(data_dir) == before
    assert {name: services(data_dir)[name] for name in known} == known
    assert again.stop(signal.SIGTERM)[0] == 0
    assert of_folder(data_dir) == {}


def _only_loopback_answers(known: dict[str, str]) -> None:
    """127.0.0.2 is this machine too, but none of ours listens there, as none would on an address of the network."""
    ports = [urlsplit(known[name]).port for name in ("database_url", "nats_url", "smtp_url", "public_url")]
    for port in ports:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def _every_program_that_dies_comes_back(data_dir: Path, port: int) -> None:
    for name in ("web", "relay", "projector", "worker"):
        killed = program(data_dir, name)
        os.kill(killed, signal.SIGKILL)

        def back(name: str = name, killed: int = killed) -> bool:
            return any(f"api.cli {name}" in words and pid != killed for pid, words in of_folder(data_dir).items())

        wait_for(back, 20, f"{name} is back")
    wait_for(lambda: readyz(port) == 200, 60, "all is well again")


def test_a_killed_supervisor_leaves_nothing_alive_and_the_next_one_starts(data_dir: Path) -> None:
    port = free_port()
    run = Run.start(data_dir, port)
    run.wait_until_ready(port)
    before = facts(data_dir)
    run.process.kill()
    run.process.wait()
    again = Run.start(data_dir, port)  # at once, while the others are still ending
    again.wait_until_ready(port)
    assert facts(data_dir) == before

    again.process.kill()
    again.process.wait()
    wait_for(lambda: not of_folder(data_dir), 12, "everything ends with its supervisor")


def test_ctrl_c_at_a_terminal_ends_make_run_with_status_0(data_dir: Path) -> None:
    port = free_port()
    terminal, ours = pty.openpty()
    run = Run.start(data_dir, port, command=("make", "run"), terminal=ours)
    os.close(ours)
    said = b""
    while f"Watchword is ready on http://127.0.0.1:{port}".encode() not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    begun = time.monotonic()
    assert run.process.wait(30) == 0
    assert time.monotonic() - begun < STOP_SECONDS
    os.close(terminal)
    assert of_folder(data_dir) == {}


def test_a_port_that_is_taken_is_said_before_anything_starts(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = Run.start(data_dir, port)
        assert run.process.wait(60) == 1
    said = run.words.read_text()
    assert f"port {port} is taken" in said
    assert "Traceback" not in said
    assert not (data_dir / "postgres").exists()
    assert of_folder(data_dir) == {}


def test_one_folder_has_one_watchword_and_an_early_stop_is_clean(data_dir: Path) -> None:
    run = Run.start(data_dir, free_port())
    wait_for((data_dir / "postgres").exists, 60, "it has begun")
    second = Run.start(data_dir, free_port())
    assert second.process.wait(60) == 1
    assert "another Watchword already runs" in second.words.read_text()
    time.sleep(0.5)
    status, seconds = run.stop(signal.SIGHUP)
    assert (status, seconds < STOP_SECONDS) == (0, True), (seconds, run.words.read_text())
    assert of_folder(data_dir) == {}


def test_a_bad_setting_is_a_sentence(data_dir: Path) -> None:
    run = Run.start(data_dir, free_port(), PUBLIC_URL="http://example.com")
    assert run.process.wait(60) == 2
    assert "PUBLIC_URL" in run.words.read_text()
    assert "Traceback" not in run.words.read_text()


def test_a_program_that_fails_at_the_start_is_said_with_its_words(data_dir: Path, tmp_path: Path) -> None:
    bad = tmp_path / "kek.json"
    bad.write_text("{}")
    bad.chmod(0o600)
    run = Run.start(data_dir, free_port(), WATCHWORD_KEK_FILE=str(bad))
    assert run.process.wait(90) == 1
    assert "`watchword migrate` failed" in run.words.read_text()
    assert "kek.json is not a key file: restore it from its backup" in run.words.read_text()
    assert of_folder(data_dir) == {}
