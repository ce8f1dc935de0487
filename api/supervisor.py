"""The whole of Watchword on one machine, from `make run` to Ctrl-C: servers, programs, and their orderly end."""

import contextlib
import http.client
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

from api.children import SUPERVISED, Child, Watched, end_all, say, settle_previous
from api.embedded import processes
from api.embedded.catcher import MailCatcher
from api.embedded.nats import EmbeddedNats
from api.embedded.ports import LOOPBACK, is_free
from api.embedded.postgres import EmbeddedPostgres
from api.embedded.processes import EmbeddedError, Stopped
from api.embedded.provider import lacks
from api.terminal import in_the_foreground, where_things_are

PREPARATIONS = {"migrate": "Preparing the database", "demo": "Loading the demo directory"}
"""Commands that run once before the programs start, each with what the person at the terminal reads meanwhile."""
PROGRAMS = ("web", "relay", "projector", "worker")
PROVIDER = "demo-provider"
"""An identity provider for the demo directory; only where there is that directory, and node and npm to run it."""
ENDING_ORDER = ("web", "worker", "relay", "projector", PROVIDER)
CHILD_SECONDS = 3.0
"""Programs have this long to end in order, then they are killed; with the servers the whole end stays under 5 s."""

POSTGRES_SECONDS = 1.0
READY_SECONDS = 60.0
WORD_SECONDS = 5.0  # between two words to the person at the terminal while a start takes longer than usual
LOOK_SECONDS = 0.1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Settings(Protocol):
    """What the supervisor needs to know; an address that is None is served by a server of our own."""

    @property
    def port(self) -> int: ...  # noqa: D102 - the environment variables of the same names
    @property
    def data_dir(self) -> Path: ...  # noqa: D102
    @property
    def database_url(self) -> str | None: ...  # noqa: D102
    @property
    def admin_database_url(self) -> str | None: ...  # noqa: D102
    @property
    def nats_url(self) -> str | None: ...  # noqa: D102
    @property
    def smtp_url(self) -> str | None: ...  # noqa: D102
    @property
    def public_url(self) -> str: ...  # noqa: D102
    @property
    def kek_file(self) -> Path | None: ...  # noqa: D102


def run(settings: Settings) -> int:
    """Run everything until Ctrl-C, SIGTERM or SIGHUP. Exit status: 0, or 1 with a reason said."""
    try:
        with in_the_foreground(), _stop_on_signals():
            _run(settings)
    except Stopped:
        return 0
    except EmbeddedError as error:
        with contextlib.suppress(OSError):
            print(f"Watchword cannot run: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _run(settings: Settings) -> None:
    data_dir = settings.data_dir.resolve()
    sentence = (
        f"another Watchword already runs in {data_dir}. Stop that one, or choose another folder: DATA_DIR=... make run"
    )
    with processes.take_lock(data_dir / "run" / "watchword.lock", sentence):
        settle_previous(data_dir)
        if not is_free(settings.port):
            another = f"PORT={settings.port % 65535 + 1} make run"
            raise EmbeddedError(f"port {settings.port} is taken by another program. Choose another one: {another}")
        household = Household(settings, data_dir)
        try:
            household.open()
            household.look_after()
        finally:
            household.close()


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Let a stop signal end the next pause by `Stopped`; the ending that follows has no pauses of that kind."""
    processes.STOP_SIGN.raised = False

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a signal handler
        processes.STOP_SIGN.raised = True

    kept = {signum: signal.signal(signum, stop) for signum in STOP_SIGNALS}
    try:
        yield
    finally:
        for signum, handler in kept.items():
            signal.signal(signum, handler)


@dataclass
class Household:
    """The servers and programs of one data folder."""

    settings: Settings
    data_dir: Path
    postgres: EmbeddedPostgres | None = None
    nats: EmbeddedNats | None = None
    catcher: MailCatcher | None = None
    children: dict[str, Child] = field(default_factory=dict)
    watched: list[Watched] = field(default_factory=list)

    def open(self) -> None:
        """Start everything, in order, until it is ready to be used."""
        say(f"Starting Watchword; its data is in {self.data_dir}, its logs in {self.data_dir / 'log'}.")
        self._start_servers()
        addresses = self._addresses()
        processes.save_state(self.data_dir / "services.json", addresses)
        for name, doing in PREPARATIONS.items():
            say(f"  {doing}")
            self._child(name, addresses).complete()
        say(f"  Starting {', '.join(PROGRAMS)}")
        for name in PROGRAMS:
            self._start_program(name, addresses)
        self._wait_until_ready()
        demo = self.data_dir / "demo.txt"
        if demo.exists():
            say(demo.read_text(encoding="utf-8"))
            if self._on_loopback and not lacks():
                self._start_program(PROVIDER, addresses)
        say(
            where_things_are(
                self.settings.port, self.data_dir, mailbox=self._has_mailbox, provider=PROVIDER in self.children
            )
        )
        say(f"Watchword is ready on http://{LOOPBACK}:{self.settings.port}")

    def _start_program(self, name: str, addresses: dict[str, str | int | None]) -> None:
        child = self._child(name, addresses)
        child.start()
        self.watched.append(Watched(name, child))

    def look_after(self) -> None:
        """Start again whatever dies, for ever."""
        while True:
            self._look()
            processes.pause(LOOK_SECONDS)

    def close(self) -> None:
        """End everything: programs first, then the servers they use."""
        preparations = [child for name, child in self.children.items() if name in PREPARATIONS]
        programs = [self.children[name] for name in ENDING_ORDER if name in self.children]
        end_all([*preparations, *programs], CHILD_SECONDS)
        if self.catcher is not None:
            self.catcher.stop()
        if self.nats is not None:
            self.nats.stop()
        if self.postgres is not None:
            self.postgres.stop(POSTGRES_SECONDS)
        (self.data_dir / "services.json").unlink(missing_ok=True)  # its addresses lead nowhere now

    @property
    def _kek_file(self) -> Path:
        return (self.settings.kek_file or self.data_dir / "keys" / "kek.json").resolve()

    def _start_servers(self) -> None:
        if self.settings.database_url is None:
            self.postgres = EmbeddedPostgres(self.data_dir)
            self._start_server("PostgreSQL", self.postgres)
        if self.settings.nats_url is None:
            self.nats = EmbeddedNats(self.data_dir, sync_always=True)
            self._start_server("NATS", self.nats)
        if self.settings.smtp_url is None:
            self.catcher = MailCatcher(self.data_dir)
            self._start_server("the mail catcher", self.catcher)

    def _start_server(self, name: str, server: EmbeddedPostgres | EmbeddedNats | MailCatcher) -> None:
        say(f"  Starting {name}")
        server.start()
        self.watched.append(Watched(name, server))

    def _addresses(self) -> dict[str, str | int | None]:
        given, own = self.settings, self.postgres
        return {
            "database_url": own.app_url if own else given.database_url,
            "admin_database_url": own.owner_url if own else given.admin_database_url or given.database_url,
            "nats_url": self.nats.url if self.nats else given.nats_url,
            "smtp_url": self.catcher.url if self.catcher else given.smtp_url,
            "public_url": given.public_url,
            "port": given.port,
            "mail_dir": str(self.catcher.mail_dir) if self.catcher else None,
        }

    def _child(self, name: str, addresses: dict[str, str | int | None]) -> Child:
        """Make a child that knows the addresses; the owner's address of the database is for migrations alone."""
        names = {"database_url", "nats_url", "smtp_url", "public_url", "port"}
        names |= {"admin_database_url"} if name == "migrate" else set()
        known = {key.upper() for key in addresses}
        environment = {key: value for key, value in os.environ.items() if key.removesuffix("_FILE") not in known}
        environment |= {key.upper(): str(addresses[key]) for key in names}
        environment |= self.nats.environment(name) if self.nats else {}
        environment |= {
            "HOST": LOOPBACK,
            "DATA_DIR": str(self.data_dir),
            "WATCHWORD_KEK_FILE": str(self._kek_file),
            SUPERVISED: str(os.getpid()),
            "MAIL_PAGES": "true" if self._has_mailbox else "false",
        }
        self.children[name] = Child(name, self.data_dir, environment)
        return self.children[name]

    @property
    def _has_mailbox(self) -> bool:
        return self.catcher is not None and self._on_loopback

    @property
    def _on_loopback(self) -> bool:
        return f"{self.settings.public_url}:".startswith(f"http://{LOOPBACK}:")

    def _look(self) -> None:
        for watched in self.watched:
            watched.look()

    def _wait_until_ready(self) -> None:
        began, next_word = time.monotonic(), WORD_SECONDS
        while (missing := _not_ready(self.settings.port)) is not None:
            self._look()
            if (seconds := time.monotonic() - began) > next_word:
                say(f"  {seconds:.0f} s: not ready yet: {missing}")
                next_word += WORD_SECONDS
            if seconds > READY_SECONDS:
                logs = "\n".join(f"--- {child.log}\n{processes.tail(child.log)}" for child in self.children.values())
                raise EmbeddedError(f"it is not ready after {READY_SECONDS:.0f} s: {missing}\n{logs}")
            processes.pause(LOOK_SECONDS)


def _not_ready(port: int) -> str | None:
    """Ask the web program whether all is fit: None when it is, else what it answered."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"no answer from the web program ({error})"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else body
