"""A whole Watchword of real processes, with a fault proxy before each server, a mailbox, and a clock ten times as fast."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import psycopg

from api import bootstrap
from api.children import Watched
from api.cli.importing import take_file
from api.embedded.nats import EmbeddedNats
from api.embedded.ports import LOOPBACK, answers, free_port
from api.embedded.postgres import EmbeddedPostgres
from api.embedded.processes import tail
from domain.notices import TOPICS, notice_for
from handlers.ports import Unavailable
from projections.views import VIEWS, position
from tests.attacks.web_process import SharedClock
from tests.delivery.steps import serving, until
from tests.faults.inbox import Inbox
from tests.faults.people import write_tenants
from tests.faults.proxy import FaultProxy
from tests.servers import Database
from tests.services import settings_for

ROOT = Path(__file__).parents[2]
SETTLE_SECONDS = 90
LEASE_SECONDS = 3.0
"""While all comes to rest, a mail is tried again after so long."""
_TICK = 0.1
FAST = 10.0
"""So many seconds of the service's clock pass in one of ours, so that there are codes enough."""


@dataclass
class Program:
    """One process of Watchword. The keeper starts it again when it died, as `watchword run` does."""

    name: str
    words: list[str]
    environ: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = True
    """False while the test keeps it down."""

    @property
    def is_running(self) -> bool:
        return not self.wanted or (self.process is not None and self.process.poll() is None)

    def start(self) -> None:
        if self.wanted:
            with self.log.open("ab") as log:
                words = [sys.executable, *self.words]
                self.process = subprocess.Popen(
                    words, cwd=ROOT, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def terminate(self, seconds: float = 30) -> tuple[int, float]:
        """End it by SIGTERM and keep it down; return the exit status and the seconds that it took."""
        assert self.process is not None
        self.wanted, begun = False, time.monotonic()
        self.process.terminate()
        return self.process.wait(seconds), time.monotonic() - begun

    def memory(self) -> int:
        """Resident MiB."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


class Front(httpx.BaseTransport):
    """What stands before the web processes: by turns to each, to the other when one is gone; it adds the address."""

    def __init__(self, ports: tuple[int, ...]) -> None:
        self.ports = ports
        self._turn = count()
        self._http = httpx.HTTPTransport(limits=httpx.Limits(max_connections=None))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        turn = next(self._turn)
        for last, port in ((n == len(self.ports) - 1, self.ports[(turn + n) % len(self.ports)]) for n in range(2)):
            inner = httpx.Request(
                request.method,
                request.url.copy_with(scheme="http", host=LOOPBACK, port=port),
                headers=request.headers.raw,
                stream=request.stream,
                extensions=request.extensions,
            )
            try:
                return self._http.handle_request(inner)
            except httpx.ConnectError:
                if last:
                    raise
        raise AssertionError

    def close(self) -> None:
        """One front serves all browsers; it ends with the deployment."""

    def end(self) -> None:
        self._http.close()


@dataclass
class Deployment:
    """PostgreSQL, NATS, mail, two web processes, relay, projector and worker, on one folder."""

    folder: Path
    postgres: EmbeddedPostgres
    nats: EmbeddedNats
    inbox: Inbox
    ways: dict[str, FaultProxy]
    watchword: bootstrap.Watchword
    clock: SharedClock
    front: Front
    programs: dict[str, Program] = field(default_factory=dict)
    mailed: list[int] = field(default_factory=list)
    """The positions of all facts that call for a mail."""
    broken: bool = False
    """Something was found that later checks would find again."""

    @property
    def owner_url(self) -> str:
        return self.postgres.owner_url

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def web(self) -> list[Program]:
        return [program for name, program in self.programs.items() if name.startswith("web")]

    def web_answers(self) -> bool:
        return all(answers(port) for port in self.front.ports)

    def caught_up(self, head: int) -> bool:
        """Say whether every follower has come to a position."""
        return min(position(self.watchword.database.one, *VIEWS), self.watchword.relay_position.get()) >= head

    def settle(self) -> None:
        """Let everything come to rest: views, relay, and each mail that is owed, without pauses and dead workers' leases."""
        released = 0.0

        def resting() -> bool:
            nonlocal released
            if time.monotonic() > released + LEASE_SECONDS:
                self.sql("UPDATE mail_queue SET next_try = now() WHERE state = 'pending'")
                released = time.monotonic()
            done = self.caught_up(self.watchword.store.last_position()) and not self.unprocessed()
            return done and not self.sql("SELECT 1 FROM mail_queue WHERE state = 'pending' LIMIT 1")

        quiet(resting, SETTLE_SECONDS, lambda: f"not at rest: {self.backlog()}\n{tail(self.folder / 'programs.log')}")

    def unprocessed(self) -> int:
        """How many facts that call for a mail have not led to one yet."""
        after = self.mailed[-1] if self.mailed else 0
        topics = [f"{topic}.v1" for topic in TOPICS]
        query = "SELECT notification_id FROM stored_events WHERE notification_id > %s AND topic = ANY(%s) ORDER BY 1"
        found = [row["notification_id"] for row in self.watchword.database.all(query, (after, topics))]
        facts = self.watchword.store.at(found)
        self.mailed += [envelope.position for envelope in facts if notice_for(envelope.fact)]
        done = self.watchword.database.one("SELECT count(*) FROM processed_message")
        return len(self.mailed) - (done["count"] if done else 0)

    def backlog(self) -> dict[str, object]:
        query = "SELECT application_name, notification_id FROM notification_tracking UNION ALL SELECT name, position"
        rows: dict[str, object] = {str(name): at for name, at in self.sql(f"{query} FROM relay_position")}
        rows["pending mails"] = self.sql("SELECT count(*) FROM mail_queue WHERE state = 'pending'")[0][0]
        return rows | {"log": self.watchword.store.last_position(), "unprocessed": self.unprocessed()}


def quiet(holds: Callable[[], bool], seconds: float, words: Callable[[], str]) -> None:
    """Wait for something; the database may be away meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except (psycopg.Error, Unavailable):
            pass
        assert time.monotonic() < deadline, words()
        time.sleep(0.05)


def _programs(folder: Path, environ: dict[str, str], ports: tuple[int, ...]) -> dict[str, Program]:
    log = folder / "programs.log"
    found = {}
    for number, port in enumerate(ports, start=1):
        words = ["-m", "tests.attacks.web_process", str(folder / "clock"), str(os.getpid())]
        found[f"web-{number}"] = Program(f"web-{number}", words, {**environ, "PORT": str(port)}, log)
    for name in ("relay", "projector", "worker"):
        found[name] = Program(name, ["-m", "tests.faults.program", str(folder / "clock"), name], environ, log)
    return found


@contextmanager
def kept(deployment: Deployment) -> Iterator[None]:
    """Start the programs, start again whoever dies, and let the clock run."""
    stop = threading.Event()
    watched = [Watched(program.name, program) for program in deployment.programs.values()]

    def keep() -> None:
        while not stop.wait(_TICK):
            deployment.clock.advance(seconds=_TICK * (FAST - 1))
            for each in watched:
                each.look()

    for program in deployment.programs.values():
        program.start()
    keeper = threading.Thread(target=keep, name="keeper")
    keeper.start()
    try:
        until(deployment.web_answers, 100)
        yield
    finally:
        stop.set()
        keeper.join()
        for program in deployment.programs.values():
            program.wanted = False
            if program.process is not None:
                program.kill()


@contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """Make a deployment with the five tenants in it, and end it with everything it started."""
    postgres, nats = EmbeddedPostgres(folder), EmbeddedNats(folder, sync_always=True)
    inbox, ports = Inbox(), (free_port(), free_port())
    (folder / "clock").write_text("0")
    try:
        postgres.start()
        nats.start()
        nats_port = int(nats.url.rpartition(":")[2])
        ways = {
            name: FaultProxy(port)
            for name, port in (("postgres", postgres.port), ("nats", nats_port), ("smtp", inbox.port))
        }
        environ = {
            "DATABASE_URL": postgres.app_url.replace(f":{postgres.port}/", f":{ways['postgres'].port}/"),
            "NATS_URL": nats.url.replace(f":{nats_port}", f":{ways['nats'].port}"),
            "SMTP_URL": f"smtp://{LOOPBACK}:{ways['smtp'].port}",
            "DATA_DIR": str(folder),
            "PUBLIC_URL": f"http://{LOOPBACK}:{ports[0]}",
            "TRUSTED_PROXIES": "1",
        }
        bootstrap.ensure_kek(folder / "keys" / "kek.json")
        settings = settings_for(
            folder,
            Database(postgres.owner_url, postgres.app_url),
            **{**environ, "DATABASE_URL": postgres.app_url, "NATS_URL": nats.url},
        )
        bootstrap.migrate(settings)
        clock = SharedClock(folder / "clock")
        watchword = bootstrap.build(settings, clock=clock)
        try:
            assert not take_file(write_tenants(folder), watchword).errors
            deployment = Deployment(folder, postgres, nats, inbox, ways, watchword, clock, Front(ports))
            deployment.programs = _programs(folder, {**os.environ, **environ}, ports)
            with serving(inbox), kept(deployment):
                yield deployment
            deployment.front.end()
        finally:
            watchword.close()
            for way in ways.values():
                way.close()
    finally:
        nats.stop()
        postgres.stop(2)
