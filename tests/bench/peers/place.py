"""Where a peer lives: a folder, a database, a port, and what its requests cost in processor time."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from signal import SIGTERM
from sys import executable

import psycopg
from psycopg import sql

from api.embedded import processes
from api.embedded.ports import LOOPBACK, answers, free_port
from api.embedded.postgres import OWNER, EmbeddedPostgres

INSTALLED = "installed"
"""Holds what was asked for, so that the same is not fetched again."""
STARTS_WITHIN = 60
PROCESSES = 2
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""The shared secret of every person of a peer: that of RFC 6238 appendix B."""


class Lacking(Exception):
    """This machine lacks something that a contestant needs; the sentence says what."""


@dataclass(frozen=True)
class Contestant:
    """One server that answers, and how it is asked."""

    name: str
    port: int
    pid: int
    """Of the process that started the others."""
    requests: Callable[[int], Sequence[bytes]]
    """Make so many requests ready, or fewer, each of another person and with the code of now."""
    sign: bytes
    """What the answer to a right code holds."""


@dataclass(frozen=True)
class Room:
    """What one peer gets."""

    name: str
    folder: Path
    postgres: EmbeddedPostgres
    people: int
    port: int = field(default_factory=free_port)

    def install(self, wanted: str, fetch: Callable[[], None]) -> None:
        """Fetch what is wanted, unless it is there."""
        mark = self.folder / INSTALLED
        if mark.exists() and mark.read_text() == wanted:
            return
        print(f"Installing {self.name} into {self.folder}", flush=True)
        rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        fetch()
        mark.write_text(wanted)

    def venv(self, *wanted: str) -> Path:
        """Make a virtual environment of the peer's own; return its folder."""
        venv = self.folder / "venv"
        self.run(executable, "-m", "venv", str(venv))
        self.pip(*wanted)
        return venv

    def pip(self, *wanted: str) -> None:
        """Install packages from wherever this machine takes them."""
        self.run(str(self.folder / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input", *wanted)

    def run(self, *words: str, environ: Mapping[str, str] | None = None) -> str:
        """Run a program to its end in the folder and return what it wrote; what it complains of is in the log."""
        with (self.folder / "log").open("ab") as log:
            done = subprocess.run(
                words,
                cwd=self.folder,
                env=os.environ | (environ or {}),
                stdout=subprocess.PIPE,
                stderr=log,
                check=False,
            )
            log.write(done.stdout)
        if done.returncode:
            raise Lacking(f"`{' '.join(words[:4])} …` failed, see {self.folder / 'log'}")
        return done.stdout.decode()

    def database(self) -> str:
        """Make a database that is empty and return its address."""
        name = sql.Identifier(self.name.replace("-", "_"))
        with psycopg.connect(self.postgres.owner_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        return self.url

    @property
    def url(self) -> str:
        return self.postgres.url(OWNER, self.name.replace("-", "_"))

    @property
    def base(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def execute(self, *statements: str) -> None:
        """Run statements in the peer's database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for each in statements:
                connection.execute(each.encode())

    def columns(self, table: str, **instead: str) -> str:
        """Return the columns of a table in their order, with other terms in the place of some."""
        query = """SELECT column_name FROM information_schema.columns
            WHERE table_name = %s AND table_schema = 'public' ORDER BY ordinal_position"""
        with psycopg.connect(self.url) as connection:
            names = [name for (name,) in connection.execute(query, (table,))]
        return ", ".join(instead.get(name, f'"{name}"') for name in names)

    @contextmanager
    def serving(self, *words: str, environ: Mapping[str, str] | None = None) -> Iterator[int]:
        """Run the peer's server until asked to end; yield its process id."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                words, cwd=self.folder, env=os.environ | (environ or {}), stdout=log, stderr=log,
                preexec_fn=processes.tether(SIGTERM),  # noqa: PLW1509 - one call into the kernel, no lock is taken
            )  # fmt: skip
        try:
            self._wait(process)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + STARTS_WITHIN
        while not answers(self.port):
            if process.poll() is not None or time.monotonic() > until:
                raise Lacking(f"its server does not start, see {self.folder / 'log'}")
            time.sleep(0.1)


_STAT_TICKS = slice(11, 15)
"""Of what follows the name in /proc/PID/stat: user and system, its own and those of children that have ended."""


def seconds_of(*pids: int) -> float:
    """Return the processor time that these processes and all that they started have taken (Linux)."""
    parents, ticks = {}, {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = each.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(each.parent.name)], ticks[int(each.parent.name)] = int(words[1]), sum(map(int, words[_STAT_TICKS]))

    def among(pid: int) -> bool:
        return pid in pids or (pid in parents and among(parents[pid]))

    return sum(took for pid, took in ticks.items() if among(pid)) / os.sysconf("SC_CLK_TCK")
