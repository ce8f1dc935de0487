"""What the benches of delivery stand on: PostgreSQL with fsync, NATS, the test directory, and our programs beside them."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from uuid import uuid4

import httpx
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from api import bootstrap
from api.bootstrap import Watchword
from api.cli.importing import take_file
from api.embedded.nats import EmbeddedNats
from api.embedded.ports import free_port
from api.embedded.postgres import EmbeddedPostgres
from api.settings import Settings, read
from domain.kernel import Fact
from handlers.ports import Change, EventStore, Origin
from tests.directory import write_directory

_ROOT = Path(__file__).parents[2]


_RUN, _commands = uuid4().hex, count()
"""Numbers are the cheapest names for commands; a floor has none to make."""


@contextmanager
def ground(folder: Path) -> Iterator[Watchword]:
    """Lend plugs on servers of their own."""
    postgres = EmbeddedPostgres(folder / "postgres", durable=True)
    nats = EmbeddedNats(folder / "nats", sync_always=False)
    postgres.start()
    nats.start()
    try:
        environ = {"DATA_DIR": str(folder), "DATABASE_URL": postgres.app_url, "NATS_URL": nats.url}
        settings = read(
            {
                **environ,
                "ADMIN_DATABASE_URL": postgres.owner_url,
                "PORT": str(free_port()),
                "SMTP_URL": "smtp://127.0.0.1:9",
            },
            ask_running=False,
        )
        bootstrap.ensure_kek(settings.kek_file)
        bootstrap.migrate(settings)
        watchword = bootstrap.build(settings)
        assert not take_file(write_directory(folder), watchword).errors
        try:
            yield watchword
        finally:
            watchword.close()
    finally:
        nats.stop()
        postgres.stop()


@contextmanager
def installed(folder: Path) -> Iterator[Watchword]:
    """Lend plugs on a PostgreSQL of their own, with nothing in it."""
    postgres = EmbeddedPostgres(folder / "data", durable=True)
    postgres.start()
    try:
        environ = {"DATA_DIR": str(folder), "DATABASE_URL": postgres.app_url, "PORT": str(free_port())}
        settings = replace(read(environ, ask_running=False), admin_database_url=postgres.owner_url)
        bootstrap.ensure_kek(settings.kek_file)
        bootstrap.migrate(settings)
        watchword = bootstrap.build(settings)
        try:
            yield watchword
        finally:
            watchword.close()
    finally:
        postgres.stop()


def append(watchword: Watchword, changes: Sequence[tuple[str, Sequence[Fact]]], after: int = 0) -> int:
    """Append facts to streams of so many facts and return the last position."""
    return append_to(watchword.store, changes, after)


def append_to(store: EventStore, changes: Sequence[tuple[str, Sequence[Fact]]], after: int = 0) -> int:
    """Append them to a store."""
    origin = Origin(actor="system", command_id=f"{_RUN}-{next(_commands)}", at=datetime.now(UTC), correlation_id=_RUN)
    return store.append(*(Change(stream, after, facts, "dist") for stream, facts in changes), origin=origin)


@contextmanager
def program(watchword: Watchword, *commands: str, smtp_url: str = "smtp://127.0.0.1:9") -> Iterator[None]:
    """Run our commands beside the bench."""
    environ = _environ(replace(watchword.settings, smtp_url=smtp_url))
    words = [[sys.executable, "-m", "api.cli", command] for command in commands]
    running = [subprocess.Popen(each, cwd=_ROOT, env=environ) for each in words]
    try:
        yield
    finally:
        for each in running:
            each.terminate()
        for each in running:
            each.wait(20)


@contextmanager
def serving(settings: Settings, *module: str, processes: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the portal, or another web application, at the port of the settings, from its first answer as long as asked."""
    process = started(settings, module or ("api.cli", "web"), processes=processes)
    try:
        for _ in range(300):
            try:
                httpx.get(f"http://127.0.0.1:{settings.port}/readyz")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(15)


def started(settings: Settings, module: Sequence[str], *, processes: int) -> subprocess.Popen[bytes]:
    """Start a Python module as a program with our settings."""
    environ = _environ(settings) | {"WEB_PROCESSES": str(processes)}
    return subprocess.Popen([sys.executable, "-m", *module], cwd=_ROOT, env=environ, stderr=subprocess.DEVNULL)


def _environ(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": settings.need("database_url"),
        "NATS_URL": settings.nats_url or "nats://127.0.0.1:9",
        "SMTP_URL": settings.smtp_url or "smtp://127.0.0.1:9",
        "DATA_DIR": str(settings.data_dir),
        "PORT": str(settings.port),
    }


@dataclass
class Sink:
    """Takes every mail, and knows when the last one was whole."""

    taken: int = 0
    at: float = 0.0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        del server, session, envelope
        self.at = time.perf_counter()
        self.taken += 1
        return "250 taken"


@contextmanager
def sink() -> Iterator[tuple[Sink, str]]:
    """Serve SMTP in a thread, and lend what it has taken and its address."""
    found, port = Sink(), free_port()
    controller = Controller(found, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield found, f"smtp://127.0.0.1:{port}"
    finally:
        controller.stop()


@contextmanager
def sink_process() -> Iterator[str]:
    """Serve SMTP in a process of its own, as a mail server is, and lend its address."""
    port = free_port()
    words = [sys.executable, "-m", "tests.bench.ground", str(port)]
    process = subprocess.Popen(words, cwd=_ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield f"smtp://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def p99(seconds: Sequence[float]) -> float:
    """Return the 99th percentile in milliseconds."""
    return sorted(seconds)[int(len(seconds) * 0.99)] * 1000


if __name__ == "__main__":
    Controller(Sink(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
    print("ready", flush=True)
    threading.Event().wait()
