"""The embedded servers: what they keep, whom they let in, and what becomes of them when somebody is killed."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nats
import psycopg
import pytest

from api.embedded import ground
from api.embedded.nats import EmbeddedNats
from api.embedded.postgres import EmbeddedPostgres
from api.embedded.processes import LINUX, EmbeddedError
from tests.platform.machine import ROOT, of_folder, wait_for

as_root = pytest.mark.skipif(not LINUX or os.geteuid() != 0, reason="only root has this difficulty")


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "data")
    yield server
    server.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path / "data", sync_always=True)
    yield server
    server.stop()


def ask(url: str, question: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    return str(row[0]) if row else ""


def write(postgres: EmbeddedPostgres, word: str) -> None:
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [word])


def test_the_database_is_ours_alone_and_the_same_one_ever_after(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    addresses = postgres.owner_url, postgres.app_url
    write(postgres, "kept")
    assert ask(postgres.app_url, "SELECT current_database()") == "watchword"
    assert ask(postgres.owner_url, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(postgres.owner_url, "SHOW password_encryption") == "scram-sha-256"
    assert ask(postgres.owner_url, "SHOW data_checksums") == "on"
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert ask(postgres.owner_url, f"SHOW {name}") == "on"
    for role in ("watchword_owner", "watchword_app"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://{role}@127.0.0.1:{postgres.port}/watchword")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(postgres.app_url, "SELECT word FROM kept")
    postgres.stop()
    assert of_folder(postgres.data_dir) == {}
    postgres.start()
    assert (postgres.owner_url, postgres.app_url) == addresses
    assert ask(postgres.owner_url, "SELECT word FROM kept") == "kept"


def test_passwords_are_for_their_owner_alone(postgres: EmbeddedPostgres, broker: EmbeddedNats) -> None:
    postgres.start()
    broker.start()
    for path in ("postgres.secrets.json", "nats.secrets.json", "nats/nats.conf"):
        assert stat.S_IMODE((postgres.data_dir / path).stat().st_mode) == 0o600, path
    assert stat.S_IMODE((postgres.data_dir / "postgres" / "cluster").stat().st_mode) == 0o700
    password = json.loads((postgres.data_dir / "postgres.secrets.json").read_text())["watchword_owner"]
    assert not [words for words in of_folder(postgres.data_dir).values() if password in words]


def test_tests_may_have_a_fast_one(tmp_path: Path) -> None:
    fast = EmbeddedPostgres(tmp_path, durable=False)
    fast.start()
    assert ask(fast.owner_url, "SHOW fsync") == "off"
    fast.stop()


def test_one_folder_has_one_owner(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with pytest.raises(EmbeddedError, match="in use: stop the other Watchword, or choose another DATA_DIR"):
        EmbeddedPostgres(postgres.data_dir).start()
    assert ask(postgres.owner_url, "SELECT 1") == "1"


def test_what_was_committed_outlives_a_killed_server(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    write(postgres, "committed")
    assert postgres.process is not None
    postgres.process.kill()
    wait_for(lambda: not postgres.is_running, 5, "the server is gone")
    postgres.start()
    assert ask(postgres.owner_url, "SELECT word FROM kept") == "committed"


def test_the_next_owner_takes_over_from_a_killed_one(postgres: EmbeddedPostgres) -> None:
    program = (
        "import sys, time; from pathlib import Path; from api.embedded.postgres import EmbeddedPostgres;"
        "EmbeddedPostgres(Path(sys.argv[1])).start(); print('up', flush=True); time.sleep(600)"
    )
    words = [sys.executable, "-c", program, str(postgres.data_dir)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.kill()
    postgres.start()
    assert ask(postgres.owner_url, "SELECT 1") == "1"


def test_a_process_id_in_an_old_file_proves_nothing(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    write(postgres, "kept")
    postgres.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        cluster = postgres.folder / "cluster"
        (cluster / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster}\n0\n{postgres.port}\n\n127.0.0.1\n")
        (postgres.data_dir / "run" / "postgres.pid").write_text(str(stranger.pid))
        postgres.start()
        assert ask(postgres.owner_url, "SELECT word FROM kept") == "kept"
        assert stranger.poll() is None
        stranger.kill()


def test_a_lost_password_file_is_said_with_the_remedy(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    state = postgres.data_dir / "postgres.secrets.json"
    kept = state.read_text()
    state.unlink()
    with pytest.raises(EmbeddedError, match="restore it, or remove"):
        postgres.start()
    state.write_text(kept.replace('"watchword_owner": "', '"watchword_owner": "x'))
    with pytest.raises(EmbeddedError, match="does not fit the database beside it"):
        postgres.start()
    state.write_text(kept)
    postgres.start()


def test_a_server_that_cannot_start_says_what_its_log_says(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "cluster").mkdir(parents=True)
    (tmp_path / "postgres.secrets.json").write_text('{"port": "1"}')
    with pytest.raises(EmbeddedError, match=r"(?s)PostgreSQL ended at its start.*postgres.log"):
        EmbeddedPostgres(tmp_path).start()


@as_root
def test_root_runs_it_as_nobody_below_a_closed_folder_and_opens_none(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "deeper").mkdir(parents=True)
    closed.chmod(0o700)
    before = [stat.S_IMODE(folder.stat().st_mode) for folder in (closed, *closed.parents)]
    server = EmbeddedPostgres(closed / "deeper")
    server.start()
    assert server.process is not None
    assert "\nUid:\t65534\t" in Path(f"/proc/{server.process.pid}/status").read_text()
    assert ask(server.owner_url, "SELECT 1") == "1"
    server.stop()
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (closed, *closed.parents)] == before


@as_root
def test_programs_below_a_closed_folder_run_from_a_copy_of_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ground._programs().parents[1]
    shutil.copytree(there, tmp_path / there.name)
    if (libraries := there.with_name(f"{there.name}.libs")).exists():
        shutil.copytree(libraries, tmp_path / libraries.name)
    monkeypatch.syspath_prepend(tmp_path)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as open_folder:
        Path(open_folder).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", open_folder)
        server = EmbeddedPostgres(tmp_path / "data")
        server.start()
        copies = list(Path(open_folder).glob("watchword-postgres-*"))
        assert [(copy.stat().st_uid, stat.S_IMODE(copy.stat().st_mode)) for copy in copies] == [(0, 0o755)]
        assert server.process is not None
        assert Path(f"/proc/{server.process.pid}/exe").readlink().is_relative_to(copies[0])
        server.stop()


def test_the_broker_keeps_its_port_and_its_messages(broker: EmbeddedNats) -> None:
    async def publish() -> int:
        client = await nats.connect(broker.url)
        js = client.jetstream()
        await js.add_stream(name="KEPT", subjects=["kept"])
        acknowledged = await js.publish("kept", b"word")
        await client.close()
        return acknowledged.seq

    async def last() -> bytes | None:
        client = await nats.connect(broker.url)
        message = await client.jetstream().get_msg("KEPT", 1)
        await client.close()
        return message.data

    broker.start()
    url = broker.url
    assert asyncio.run(publish()) == 1
    assert broker.process is not None
    broker.process.send_signal(signal.SIGKILL)
    wait_for(lambda: not broker.is_running, 5, "the broker is gone")
    broker.start()
    assert broker.url == url
    assert asyncio.run(last()) == b"word"
    broker.stop()
    assert of_folder(broker.data_dir) == {}


@pytest.mark.parametrize("password", ["", "x"])
def test_the_broker_lets_nobody_in_without_the_password(broker: EmbeddedNats, password: str) -> None:
    broker.start()
    port = int(broker.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection, connection.makefile("rb") as lines:
        assert lines.readline().startswith(b"INFO ")
        told = json.dumps({"user": "watchword", "pass": password, "verbose": False})
        connection.sendall(f"CONNECT {told}\r\nPING\r\n".encode())
        assert lines.readline() == b"-ERR 'Authorization Violation'\r\n"
