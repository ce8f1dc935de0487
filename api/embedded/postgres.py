"""A PostgreSQL server of our own in the data folder: made at the first start, the same one ever after.

It listens on 127.0.0.1 alone and asks everybody for a password (SCRAM). `watchword_owner` owns the tables and makes
them; `watchword_app` is the role that the running service uses and can make nothing. It is durable like a production
server: what was committed outlives kill -9 and loss of power. `durable=False` is for tests that need speed instead.
"""

import contextlib
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import BinaryIO

import psycopg
from psycopg import sql

from api.embedded import processes
from api.embedded.ground import Ground, survey
from api.embedded.ports import LOOPBACK, same_or_free
from api.embedded.processes import EmbeddedError

OWNER = "watchword_owner"
APP = "watchword_app"
DATABASE = "watchword"

CLUSTER = (
    f"--username={OWNER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
"""How the files are made: passwords for everybody, and the same collation on every machine."""

STOP_SECONDS = 30.0
"""A stopping server writes its memory to disk; after this long it is told to recover at the next start instead."""

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "log_error_verbosity": "terse",  # a DETAIL line may hold a mail address
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
LEFT_BEHIND = "pre-existing shared memory block"
"""What the server says while the last processes of a killed predecessor are still going away."""


class EmbeddedPostgres:
    """One PostgreSQL server and its database `watchword`."""

    def __init__(self, data_dir: Path, *, durable: bool = True, port: int | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self.durable = durable
        self.folder = self.data_dir / "postgres"
        self.log = self.data_dir / "log" / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._wanted_port = port
        self._state_file = self.data_dir / "postgres.secrets.json"
        self._pid_file = self.data_dir / "run" / "postgres.pid"
        self._state: dict[str, str] = {}
        self._lock: BinaryIO | None = None

    @property
    def port(self) -> int:
        """The port, known once started."""
        return int(self._state["port"])

    @property
    def owner_url(self) -> str:
        """The address for migrations: the role that owns the tables."""
        return self.url(OWNER)

    @property
    def app_url(self) -> str:
        """The address for the running service: a role that can make no table."""
        return self.url(APP)

    def url(self, role: str, database: str = DATABASE) -> str:
        """Give the address of a database of this server for one of the two roles."""
        return f"postgresql://{role}:{self._state[role]}@{LOOPBACK}:{self._state['port']}/{database}"

    @property
    def is_running(self) -> bool:
        """Whether our server process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the server, make cluster, roles and database where they are missing, and wait until it answers.

        A server that an earlier owner left behind is stopped first. Raises EmbeddedError with the remedy.
        """
        if self.is_running:
            return
        if self._lock is None:
            self._lock = processes.take_lock(
                self.data_dir / "run" / "postgres.lock",
                f"The PostgreSQL in {self.data_dir} is in use: stop the other Watchword, or choose another DATA_DIR.",
            )
        with processes.cleared_on_failure(self.stop):
            self._settle_previous()
            self._remember()
            ground = survey(self.folder)
            try:
                self._make_cluster(ground)
                self._run(ground)
            finally:
                ground.close()
            self._make_database()

    def stop(self, grace: float = STOP_SECONDS) -> None:
        """Stop the server: finish open writes for up to `grace` seconds, then at once; what was committed stays."""
        processes.end(self.process, _steps(grace))
        self.process = None
        self._pid_file.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _settle_previous(self) -> None:
        cluster = self.folder / "cluster"
        processes.settle_previous(self._pid_file, cluster, _steps(10))
        theirs = cluster / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(theirs.read_text(encoding="ascii").split()[0])
            if processes.belongs(pid, cluster):
                processes.end_stranger(pid, _steps(10))
            theirs.unlink(
                missing_ok=True
            )  # its process id may be somebody else's by now, which PostgreSQL would respect

    def _remember(self) -> None:
        """Read passwords and port, or choose them; a port that somebody else took meanwhile is chosen anew."""
        known = processes.load_state(self._state_file)
        if not known and (self.folder / "cluster").exists():
            raise EmbeddedError(
                f"{self._state_file} is missing, the key to the database beside it: "
                f"restore it, or remove {self.folder}."
            )
        port = self._wanted_port or same_or_free(int(known["port"]) if "port" in known else None)
        fresh = {OWNER: secrets.token_urlsafe(24), APP: secrets.token_urlsafe(24)}
        self._state = {**fresh, **known, "port": str(port)}
        if self._state != known:
            processes.save_state(self._state_file, self._state)

    def _make_cluster(self, ground: Ground) -> None:
        """Make the cluster beside its place and move it there when whole: an interrupted start leaves no half one."""
        if (self.folder / "cluster").exists():
            return
        processes.remove_tree(self.folder / "cluster.new")
        password = self.folder / "password.new"
        password.write_text(self._state[OWNER], encoding="ascii")
        password.chmod(0o600)
        if ground.account:
            shutil.chown(password, ground.account["user"], ground.account["group"])
        files = (f"--pgdata={ground.folder}/cluster.new", f"--pwfile={ground.folder}/password.new")
        initdb = ground.program("initdb", *files, *CLUSTER)
        try:
            with processes.open_log(self.log) as log:
                status = processes.complete(
                    subprocess.Popen(**initdb, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
                )
        finally:
            password.unlink()
        if status != 0:
            raise EmbeddedError(
                f"PostgreSQL cannot make its files in {self.folder}. {self.log} says:\n{processes.tail(self.log)}"
            )
        (self.folder / "cluster.new").rename(self.folder / "cluster")

    def _run(self, ground: Ground) -> None:
        """Start the server, again when the last processes of a killed predecessor are still going away."""
        deadline = time.monotonic() + processes.START_SECONDS
        while True:
            self._spawn(ground)
            try:
                processes.wait_until(self._answers, _running(self.process), "PostgreSQL", self.log)
            except EmbeddedError:
                if LEFT_BEHIND not in processes.tail(self.log) or time.monotonic() > deadline:
                    raise
                processes.pause(0.2)
            else:
                return

    def _spawn(self, ground: Ground) -> None:
        switch = "on" if self.durable else "off"
        settings = {**SETTINGS, "port": self._state["port"], **dict.fromkeys(DURABLE, switch)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with processes.open_log(self.log) as log:
            self.process = subprocess.Popen(
                **ground.program("postgres", "-D", f"{ground.folder}/cluster", *words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=processes.tether(signal.SIGINT),  # noqa: PLW1509 - one call into the kernel, no lock is taken
            )
        self._pid_file.parent.mkdir(mode=0o700, exist_ok=True)
        self._pid_file.write_text(str(self.process.pid), encoding="ascii")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(OWNER, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise EmbeddedError(
                    f"{self._state_file} does not fit the database beside it: restore it, or remove {self.data_dir}."
                ) from error
            return False
        return True

    def _make_database(self) -> None:
        """Make role and database where they are missing; the role's password is set each time to the remembered one."""
        name, app, password = sql.Identifier(DATABASE), sql.Identifier(APP), sql.Literal(self._state[APP])
        with psycopg.connect(self.url(OWNER, "postgres"), autocommit=True) as db:
            if not db.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APP]).fetchone():
                db.execute(sql.SQL("CREATE ROLE {}").format(app))
            rights = "ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD {}"
            db.execute(sql.SQL(rights).format(app, password))
            if not db.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                db.execute(sql.SQL("CREATE DATABASE {}").format(name))
            db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            db.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, app))


def _steps(grace: float) -> processes.Steps:
    """SIGINT ends sessions and writes everything out; SIGQUIT leaves at once and recovers at the next start."""
    return ((signal.SIGINT, grace), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 5.0))


def _running(process: subprocess.Popen[bytes] | None) -> subprocess.Popen[bytes]:
    if process is None:
        raise EmbeddedError("PostgreSQL was stopped while it was starting.")
    return process
