"""A NATS server of our own in the data folder, with JetStream: the broker of one machine.

It listens on 127.0.0.1 alone, with a random password. What it holds can be thrown away: the event log in PostgreSQL is
the record, and the relay fills a lost stream again.
"""

import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sysconfig
from pathlib import Path

from api.embedded import processes
from api.embedded.ports import LOOPBACK, free_port, same_or_free
from api.embedded.processes import EmbeddedError

STOP: processes.Steps = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))
USER = "watchword"
RELAY_RIGHTS = {"publish": ["watchword.>", "$JS.API.>"], "subscribe": ["_INBOX.>"]}
"""Of the relay, which makes the stream and is alone in publishing to it."""
WORKER_RIGHTS = {
    "publish": [
        "$JS.API.CONSUMER.INFO.WATCHWORD.notifier",
        "$JS.API.CONSUMER.MSG.NEXT.WATCHWORD.notifier",
        "$JS.ACK.WATCHWORD.notifier.>",
        "$JS.ACK.*.*.WATCHWORD.notifier.>",
    ],
    "subscribe": ["_INBOX.>"],
}
"""Of the worker: it takes what waits at its consumer, and acknowledges it."""


class EmbeddedNats:
    """One nats-server and its JetStream store."""

    def __init__(self, data_dir: Path, *, sync_always: bool) -> None:
        """`sync_always` writes each message to disk before it is acknowledged; else the server does so every 2 min."""
        self.data_dir = data_dir.resolve()
        self.sync_always = sync_always
        self.log = self.data_dir / "log" / "nats.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._config = self.data_dir / "nats" / "nats.conf"
        self._state_file = self.data_dir / "nats.secrets.json"
        self._pid_file = self.data_dir / "run" / "nats.pid"
        self._state: dict[str, str] = {}

    @property
    def url(self) -> str:
        """The administrator's address with user and password, known once started."""
        return self._url(USER, "password")

    @property
    def relay_url(self) -> str:
        """The address of the user that may publish facts."""
        return self._url("relay", "relay_password")

    @property
    def worker_url(self) -> str:
        """The address of the user that may take messages from the worker's consumer and acknowledge them, no more."""
        return self._url("notifier", "worker_password")

    def environment(self, program: str) -> dict[str, str]:
        """Return the settings that name a program's user: the relay alone may publish."""
        return {"RELAY_NATS_URL": self.relay_url} if program == "relay" else {"NATS_URL": self.worker_url}

    def _url(self, user: str, password: str) -> str:
        return f"nats://{user}:{self._state[password]}@{LOOPBACK}:{self._state['port']}"

    @property
    def is_running(self) -> bool:
        """Whether our server process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the server on the port of last time, and wait until JetStream is ready."""
        if self.is_running:
            return
        processes.settle_previous(self._pid_file, self._config, STOP)
        self._remember()
        self._write_config()
        with processes.cleared_on_failure(self.stop):
            with processes.open_log(self.log) as log:
                self.process = subprocess.Popen(
                    [_program(), "-c", str(self._config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=processes.tether(signal.SIGTERM),  # noqa: PLW1509 - one call into the kernel, no lock is taken
                )
            self._pid_file.parent.mkdir(mode=0o700, exist_ok=True)
            self._pid_file.write_text(str(self.process.pid), encoding="ascii")
            processes.wait_until(self._is_healthy, self.process, "NATS", self.log)

    def stop(self) -> None:
        """Stop the server; the store stays."""
        processes.end(self.process, STOP)
        self.process = None
        self._pid_file.unlink(missing_ok=True)

    def _remember(self) -> None:
        known = processes.load_state(self._state_file)
        ports = {name: same_or_free(int(known[name]) if name in known else None) for name in ("port", "health_port")}
        if ports["port"] == ports["health_port"]:
            ports["health_port"] = free_port()
        fresh = {name: secrets.token_urlsafe(24) for name in ("password", "relay_password", "worker_password")}
        self._state = {**fresh, **known, **{name: str(port) for name, port in ports.items()}}
        if self._state != known:
            processes.save_state(self._state_file, self._state)

    def _write_config(self) -> None:
        """Write the server's configuration, which holds the password, for our eyes alone."""
        self._config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = f"""server_name: "watchword"
listen: "{LOOPBACK}:{self._state["port"]}"
http: "{LOOPBACK}:{self._state["health_port"]}"
authorization {{ users = [
  {{ user: "{USER}", password: {json.dumps(self._state["password"])} }}
  {{ user: relay, password: {json.dumps(self._state["relay_password"])}, permissions: {json.dumps(RELAY_RIGHTS)} }}
  {{ user: notifier, password: {json.dumps(self._state["worker_password"])}, permissions: {json.dumps(WORKER_RIGHTS)} }}
] }}
jetstream {{
  store_dir: {json.dumps(str(self._config.parent))}
  max_mem: 64MB
  max_file: 4GB
  sync_interval: {"always" if self.sync_always else "2m"}
}}
"""
        self._config.touch(mode=0o600)
        self._config.write_text(text, encoding="utf-8")

    def _is_healthy(self) -> bool:
        """Ask the server itself; JetStream must be ready too."""
        connection = http.client.HTTPConnection(LOOPBACK, int(self._state["health_port"]), timeout=2)
        try:
            connection.request("GET", "/healthz?js-enabled-only=true")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _program() -> str:
    """Find nats-server in the virtual environment, else on PATH."""
    ours = Path(sysconfig.get_path("scripts")) / ("nats-server.exe" if os.name == "nt" else "nats-server")
    found = str(ours) if ours.exists() else shutil.which("nats-server")
    if found is None:
        raise EmbeddedError(
            "The program nats-server is not installed: run `make setup`, or set NATS_URL to use a NATS of your own."
        )
    return found
