"""The service under attack: PostgreSQL, two web processes behind a proxy, the views, the mail, and a shared clock."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import httpx

from api.bootstrap import Watchword
from api.cli.importing import take_file
from api.embedded.ports import answers, free_port
from api.embedded.processes import tail
from domain.kernel import Envelope
from handlers.ports import Mail
from projections.views import VIEWS, wait_for
from tests.directory import PASSWORD, address
from tests.flows.steps import Mailbox
from tests.portal import Browser
from tests.services import Portal

PUBLIC_URL = "https://mfa.example"
COOKIE = "__Host-watchword"
_ROOT = Path(__file__).parents[2]
_START_SECONDS = 100
_NUMBERS = count(1)
Answer = TypeVar("Answer")


class Proxy(httpx.BaseTransport):
    """What stands in front: encrypted outside, by turns to each web process inside; it adds the caller's address."""

    def __init__(self, ports: Sequence[int], ip: str) -> None:
        self._turns = cycle(ports)
        self._ip = ip.encode()
        self._http = httpx.HTTPTransport(limits=httpx.Limits(max_connections=None))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        inner = httpx.Request(
            request.method,
            request.url.copy_with(scheme="http", host="127.0.0.1", port=next(self._turns)),
            headers=[*request.headers.raw, (b"X-Forwarded-For", self._ip)],
            stream=request.stream,
            extensions=request.extensions,
        )
        return self._http.handle_request(inner)

    def close(self) -> None:
        self._http.close()


@dataclass
class Site(Portal):
    """The service under attack. Each case has partners, accounts and a network of its own."""

    folder: Path = Path()
    ports: tuple[int, ...] = ()
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    box: Mailbox = field(default_factory=Mailbox)
    networks: list[int] = field(default_factory=lambda: [0])

    # ── The processes ──

    def start(self) -> None:
        self.ports = self.ports or (free_port(), free_port())
        for port in self.ports:
            self.launch(port, self.folder / "clock")
        self.wait()

    def launch(self, port: int, clock: Path) -> None:
        """Start one more web process, on a clock of its own; `restart` ends it for good."""
        words = [sys.executable, "-m", "tests.attacks.web_process", str(clock), str(os.getpid())]
        with self.log.open("ab") as log:
            program = subprocess.Popen(
                words,
                cwd=_ROOT,
                env={**os.environ, **self.environ(), "PORT": str(port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(program)

    def wait(self, *ports: int) -> None:
        """Wait until the processes at these ports answer: the site's own, where none is named."""
        deadline = time.monotonic() + _START_SECONDS
        while not all(answers(port) for port in ports or self.ports):
            assert all(program.poll() is None for program in self.processes), tail(self.log)
            assert time.monotonic() < deadline, tail(self.log)
            time.sleep(0.02)

    def environ(self) -> dict[str, str]:
        settings = self.watchword.settings
        return {
            "DATABASE_URL": settings.need("database_url"),
            "DATA_DIR": str(settings.data_dir),
            "LEDGER_DIR": str(self.folder / "ledger"),
            "PUBLIC_URL": PUBLIC_URL,
            "TRUSTED_PROXIES": "1",
            "SSO_PRIVATE_NETWORKS": "true",
            "SMTP_URL": "smtp://127.0.0.1:9",
        }

    def stop(self) -> None:
        for program in self.processes:
            program.kill()
        for program in self.processes:
            program.wait(30)
        self.processes.clear()

    def restart(self) -> None:
        """Kill every web process and start new ones."""
        self.stop()
        self.start()

    @property
    def log(self) -> Path:
        return self.folder / "web.log"

    # ── A case's own people ──

    def begin(self) -> None:
        self.networks[0] += 1

    def end(self) -> None:
        for browser in self.browsers:
            browser.http.close()
        self.browsers.clear()

    def partner(self, *people: str, kind: str = "distributor", parent: str | None = None) -> str:
        """Register a partner with these people (a role each, with or without a number), and return its id.

        An account is called after its partner and role: `p7-owner`. End users (`user`) belong to `p7-org`.
        """
        partner = f"p{os.getpid()}-{next(_NUMBERS)}"
        above = {"parent": parent} if parent else {}
        lines: list[object] = [{"partner": {"id": partner, "name": f"{partner} Inc", "type": kind, **above}}]
        if any(person.startswith("user") for person in people):
            lines.append({"organization": {"id": f"{partner}-org", "name": f"{partner} Org", "partner": partner}})
        for person in people:
            role = person.rstrip("0123456789")
            place = {"organization": f"{partner}-org", "role": "end_user"}
            lines.append(
                self.account(f"{partner}-{person}", **(place if role == "user" else {"partner": partner, "role": role}))
            )
        self.take(*lines)
        return partner

    @staticmethod
    def account(account: str, **more: str) -> dict[str, dict[str, str]]:
        person = {"id": account, "email": address(account), "name": f"Name of {account}", "password": PASSWORD}
        return {"account": person | more}

    def take(self, *lines: object) -> list[str]:
        """Import lines of a directory, and return what was wrong with them."""
        path = self.folder / "directory.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines))
        return [f"{error.field}: {error.message}" for error in take_file(path, self.watchword).errors]

    def browser(self, **options: object) -> Browser:
        """A browser at the case's own address; `ip` names another one, `ports` the processes that it talks to."""
        ip = str(options.pop("ip", f"10.{self.networks[0] // 250}.{self.networks[0] % 250}.1"))
        ports = options.pop("ports", self.ports)
        assert isinstance(ports, tuple)
        return super().browser(**{"transport": Proxy(ports, ip), **options})

    # ── What came of it ──

    @property
    def w(self) -> Watchword:
        return self.watchword

    def caught_up(self) -> int:
        """Wait until every view has come to the end of the log, and return that position."""
        position = self.w.store.last_position()
        for name in VIEWS:
            assert wait_for(self.w.database.one, [name], position, _START_SECONDS), name
        return position

    def ahead_seconds(self) -> float:
        return self.clock.ahead.total_seconds()

    def history(self, account: str, kind: str = "user_mfa") -> list[Envelope]:
        return list(self.w.store.history(f"{kind}:{account}"))

    def topics(self, account: str, kind: str = "user_mfa") -> list[str]:
        return [each.fact.TOPIC.partition(".")[2] for each in self.history(account, kind)]

    def mails(self, account: str, to: str | None = None) -> list[Mail]:
        """Let every mail go out that is owed, and return all that this account was ever sent."""
        self.box.deliver(self)
        return [mail for mail in self.box.mails if mail.to == (to or address(account))]

    def kinds(self, account: str) -> list[str]:
        return [mail.kind.value for mail in self.mails(account)]


def at_once(count: int, work: Callable[[int], Answer], threads: int = 20) -> list[Answer]:
    """Do the work so many times, by so many threads that begin together."""
    together = Barrier(min(threads, count))

    def share(thread: int) -> list[Answer]:
        together.wait(60)
        return [work(number) for number in range(thread, count, together.parties)]

    with ThreadPoolExecutor(together.parties) as pool:
        return [answer for found in pool.map(share, range(together.parties)) for answer in found]
