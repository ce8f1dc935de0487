"""A code over HTTP, beside bare Starlette doing the least of it; and appends, beside bare commits. All in one run."""

import base64
import json
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psycopg

from api import bootstrap
from api.cli.importing import take_file
from api.doors import csrf_token
from api.embedded.ports import free_port
from api.embedded.postgres import EmbeddedPostgres
from api.settings import read
from domain.facts import Purpose, SetupStarted, Verified
from domain.totp import shared_secret
from handlers.callers import mfa_of
from handlers.ports import Change, Origin, Session, SessionOpened
from handlers.sessions import State, token_hash
from tests.bench import floor_app
from tests.bench.asking import Answered, ask, request
from tests.bench.directory import lines
from tests.bench.figures import Figure
from tests.bench.ground import serving
from tests.phone import by_the_rfc

PROCESSES = 2
LONG = (1_000, 10_000, 100_000)
"""Sign-ins that one account has behind it; the goal is that of the longest."""
OLD = 8
"""Accounts that have so many."""
AT_LEAST = {1: 0.6, 8: 0.6}
_FACTS = 200
"""Accounts whose facts are stored at once, when the ground is made."""


@dataclass(frozen=True)
class Person:
    """One account of the ground, and what its phone holds."""

    account_id: str
    tenant: str
    secret: str


class Ground:
    """Enrolled people, and for each round a sign-in of everybody that waits for its code."""

    def __init__(self, folder: Path, people: int) -> None:
        self.postgres = EmbeddedPostgres(folder / "data", durable=True)
        self.postgres.start()
        environ = {"DATA_DIR": str(folder), "DATABASE_URL": self.postgres.app_url, "PORT": str(free_port())}
        settings = read({**environ, "SMTP_URL": "smtp://127.0.0.1:9"}, ask_running=False)
        self.settings = replace(settings, admin_database_url=self.postgres.owner_url)
        bootstrap.ensure_kek(self.settings.kek_file)
        bootstrap.migrate(self.settings)
        self.watchword = bootstrap.build(self.settings)
        file = folder / "directory.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines(people)))
        if errors := take_file(file, self.watchword).errors:
            raise SystemExit(f"the directory was refused: {errors[0]}")
        with psycopg.connect(self.postgres.owner_url) as connection:
            query = "SELECT account_id, partner_id FROM account_access ORDER BY account_id"
            self.people = [Person(account, tenant, self._secret()) for account, tenant in connection.execute(query)]
        for start in range(0, people, _FACTS):
            self._enrol(self.people[start : start + _FACTS])
        with psycopg.connect(self.postgres.owner_url, autocommit=True) as connection:
            connection.execute(floor_app.TABLES)
            rows = [(each.account_id, 1, floor_app.sealed(_raw(each), each.account_id)) for each in self.people]
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO floor.factor VALUES (%s, %s, %s)", rows)
            connection.execute("VACUUM ANALYZE")
        self._shift = -1

    def close(self) -> None:
        """Stop the database."""
        self.watchword.close()
        self.postgres.stop()

    def _secret(self) -> str:
        return shared_secret(self.watchword.sockets.chance.bytes(20))

    def _enrol(self, people: Sequence[Person]) -> None:
        s, changes, rows = self.watchword.sockets, [], []
        at = s.clock.now() - timedelta(days=1)
        for each in people:
            ref = s.chance.new_id()
            started = SetupStarted(setup_id=ref, secret_ref=ref, session="", expires_at=at + timedelta(minutes=10))
            step = int(at.timestamp() // 30)
            facts = [started, Verified(purpose=Purpose.SETUP, time_step=step, gives_back=0)]
            changes.append(Change(f"user_mfa:{each.account_id}", 0, facts, each.tenant))
            rows.append(
                s.vault.seal(tenant=each.tenant, account_id=each.account_id, secret_ref=ref, secret=each.secret)
            )
        s.store.append(*changes, origin=Origin("system", s.chance.new_id(), at), rows=rows)

    def sign_ins(self, people: Sequence[Person]) -> list[bytes]:
        """Return a request for each person that gives the code of a sign-in which waits for it."""
        s, requests = self.watchword.sockets, []
        now = s.clock.now()
        for each in people:
            handle, token = s.chance.new_id(), s.chance.token()
            session = Session(
                handle, State.MFA_CODE_REQUIRED, now, now, now + timedelta(minutes=5), timedelta(minutes=5),
                each.account_id, required_level=2, level=1,
            )  # fmt: skip
            s.sessions.save(SessionOpened(token_hash(token, s), session, replaces=None))
            headers = {"X-CSRF-Token": csrf_token(handle, s), "Origin": self.settings.public_url}
            body = {"code": self.code(each)}
            requests.append(request(self.settings.port, "/api/v1/sign-in/code", body, headers, f"watchword={token}"))
        return requests

    def code(self, person: Person) -> str:
        """Return the code of this round; from one round to the next the time step rises."""
        return by_the_rfc(person.secret, int(time.time()) + 30 * self._shift)

    def lengthen(self, people: Sequence[Person], facts: int) -> None:
        """Give accounts as many sign-ins as ten years hold, and let a process fold them once."""
        add = """
            INSERT INTO stored_events (originator_id, originator_version, topic, state)
            SELECT originator_id, (SELECT max(originator_version) FROM stored_events WHERE originator_id = %(stream)s) + n,
                topic, decode(replace(encode(state, 'escape'), '"setup"', '"sign_in"'), 'escape')
            FROM stored_events, generate_series(1, %(facts)s) n
            WHERE originator_id = %(stream)s AND originator_version = 2"""
        with psycopg.connect(self.postgres.owner_url) as connection:
            for each in people:
                connection.execute(add, {"facts": facts, "stream": f"user_mfa:{each.account_id}"})
        for each in people:
            mfa_of(each.account_id, self.watchword.sockets)

    def next_step(self) -> None:
        """Let every phone show another code, waiting when the window is used up."""
        self._shift += 1
        if self._shift > 1:
            time.sleep(91)
            self._shift = -1

    def serving(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run `watchword web` with two processes."""
        return serving(self.settings, processes=PROCESSES)

    @contextmanager
    def floor(self) -> Iterator[int]:
        """Run the floor with two processes; yield its port."""
        port = free_port()
        with self.floor_at(port):
            yield port

    def floor_at(self, port: int) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run the floor with two processes at a port."""
        command = ["uvicorn", "--factory", "tests.bench.floor_app:create_app", "--no-access-log", "--port", str(port)]
        return serving(replace(self.settings, port=port), *command, "--workers", str(PROCESSES))

    def floor_requests(self, port: int, people: Sequence[Person]) -> list[bytes]:
        """Return a request to the floor for each person."""
        return [request(port, "/verify", {"account": each.account_id, "code": self.code(each)}, {}) for each in people]


def _raw(person: Person) -> bytes:
    return base64.b32decode(person.secret)


def _long(ground: Ground) -> list[Figure]:
    """Return what a code costs where many came before, and where none did, in turn, in a process that knows no account."""
    groups = [ground.people[start : start + OLD] for start in range(0, 2 * OLD * len(LONG), OLD)]
    for people, facts in zip(groups, LONG, strict=False):
        ground.lengthen(people, facts)
    ground.next_step()
    figures = []
    what = "a code of who signed in so often, beside a new account, p50"
    with ground.serving():
        for old, new, facts in zip(groups, groups[len(LONG) :], LONG, strict=False):
            pairs = [each for pair in zip(old, new, strict=True) for each in pair]
            times = ask(ground.settings.port, ground.sign_ins(pairs), 1).times[
                2:
            ]  # the first pair may find a cold process
            often, seldom = (statistics.median(times[which::2]) * 1000 for which in (0, 1))
            figures.append(Figure("P8", what, often, seldom, "ms", 1.2, facts))
    return figures


def _warm(port: int, requests: Sequence[bytes], clients: int) -> Answered:
    """Ask, and count from where connections are open and statements known: a server is started seldom."""
    cold = len(requests) // 5
    ask(port, requests[:cold], 8)
    return ask(port, requests[cold:], clients)


def measure(folder: Path, people: int) -> list[Figure]:
    """Return the figures for codes over HTTP."""
    ground = Ground(folder, people)
    try:
        figures = []
        for clients, count in ((8, people), (1, people // 4)):
            chosen = ground.people[:count]
            ground.next_step()
            with ground.serving():
                ours = _warm(ground.settings.port, ground.sign_ins(chosen), clients)
            with ground.floor() as port:
                floor = _warm(port, ground.floor_requests(port, chosen), clients)
            what = f"a code over HTTP, {clients} client{'s' if clients > 1 else ''}"
            figures.append(Figure("P1", what, ours.per_second, floor.per_second, "/s", AT_LEAST[clients]))
            figures += [
                Figure("P1", f"{what}, p{percent}", ours.at(percent), floor.at(percent), "ms") for percent in (50, 99)
            ]
        return [*figures, *_long(ground)]
    finally:
        ground.close()
