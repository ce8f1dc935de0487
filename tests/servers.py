"""One PostgreSQL for a whole test run, however many processes the run has, and databases in it.

The first process that needs it starts `python -m tests.servers FOLDER`. That keeper holds the server until no process
of the run has its lock any more; the kernel gives a lock back however a process ends, so nothing is left behind.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from api import bootstrap
from api.embedded.postgres import EmbeddedPostgres
from api.embedded.processes import tail

START_SECONDS = 100
_NUMBERS = count(1)
_KEEPERS: list[subprocess.Popen[bytes]] = []
"""Keepers that this process started and that outlive it, for the sake of the other processes."""


@dataclass(frozen=True)
class Database:
    """A database of one test's own."""

    owner_url: str
    app_url: str

    @property
    def name(self) -> str:
        return urlsplit(self.owner_url).path.lstrip("/")


@dataclass(frozen=True)
class Servers:
    """The server of this run, as one of its processes sees it, and a folder that all of them share."""

    owner_url: str
    app_url: str
    folder: Path

    def database(self, template: str | None) -> Database:
        """Make a database: a copy of the template, or an empty one."""
        name = f"test_{os.getpid()}_{next(_NUMBERS)}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute(statement)
        return Database(_named(self.owner_url, name), _named(self.app_url, name))

    @contextmanager
    def lent(self, template: str | None) -> Iterator[Database]:
        """Make a database, and drop it at the end."""
        database = self.database(template)
        yield database
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database.name)))

    def once(self, name: str, make: Callable[[], str]) -> str:
        """Return what `make` returns, made by whichever process comes first."""
        done = self.folder / f"{name}.done"
        with (self.folder / f"{name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                done.write_text(make())
            return done.read_text()


def _named(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@contextmanager
def shared(folder: Path) -> Iterator[Servers]:
    """Lend the run's server to this process."""
    folder.mkdir(parents=True, exist_ok=True)
    keeper = None
    with (folder / "users.lock").open("ab") as user:
        fcntl.flock(user, fcntl.LOCK_SH)  # waits while a keeper that nobody used any more stops
        with (folder / "start.lock").open("ab") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if not (folder / "servers.json").exists():
                keeper = _start_keeper(folder)
            known = json.loads((folder / "servers.json").read_text())
        yield Servers(known["owner_url"], known["app_url"], folder)
    if keeper is not None:
        with suppress(subprocess.TimeoutExpired):  # another process may still use it
            keeper.wait(5)


def _start_keeper(folder: Path) -> subprocess.Popen[bytes]:
    log = folder / "keeper.log"
    with log.open("ab") as out:
        words = [sys.executable, "-m", "tests.servers", str(folder)]
        root = Path(__file__).parents[1]
        keeper = subprocess.Popen(
            words, cwd=root, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    _KEEPERS.append(keeper)
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "servers.json").exists():
        assert keeper.poll() is None, f"the keeper of the tests' servers ended:\n{tail(log)}"
        assert time.monotonic() < deadline, f"the tests' servers are not ready after {START_SECONDS} s:\n{tail(log)}"
        time.sleep(0.02)
    return keeper


def keep(folder: Path) -> None:
    """Keep the server until nobody uses it."""
    postgres = EmbeddedPostgres(folder, durable=False)
    postgres.start()
    try:
        bootstrap.ensure_kek(folder / "keys" / "kek.json")
        fresh = folder / "servers.new"
        fresh.write_text(json.dumps({"owner_url": postgres.owner_url, "app_url": postgres.app_url}))
        fresh.rename(folder / "servers.json")
        with (folder / "users.lock").open("ab") as users:
            while not _is_last(users.fileno()):
                time.sleep(0.1)
            for left in (*folder.glob("*.done"), folder / "servers.json"):
                left.unlink()
            postgres.stop()
            shutil.rmtree(folder / "postgres")
    finally:
        postgres.stop()


def _is_last(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
