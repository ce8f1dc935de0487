"""What the tests of this folder see of the machine: processes, terminals, a running Watchword."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.embedded.processes import is_alive

READY_SECONDS = 100
ROOT = Path(__file__).resolve().parents[2]
COMMAND = (str(Path(sys.executable).with_name("watchword")), "run")


def wait_for(ready: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def of_folder(folder: Path) -> dict[int, str]:
    """Return every living process that knows this data folder: by its words, its environment or its place."""
    found: dict[int, str] = {}
    mark = os.fsencode(folder)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            place = os.fsencode((process / "cwd").readlink())
        except OSError:
            continue
        pid = int(process.name)
        if pid != os.getpid() and is_alive(pid) and (mark in words or mark in environment or place.startswith(mark)):
            found[pid] = words.replace(b"\0", b" ").decode()
    return found


def surroundings() -> dict[str, str]:
    """Return our environment without what would point Watchword to other servers, or make to another make."""
    others = {"DATABASE_URL", "ADMIN_DATABASE_URL", "NATS_URL", "SMTP_URL", "PUBLIC_URL", "WATCHWORD_KEK_FILE"}
    others |= {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    return {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in others}


def take_terminal() -> None:
    """Make our standard input the terminal whose Ctrl-C we get."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@dataclass
class Run:
    """One `watchword run`, its words going to a file."""

    process: subprocess.Popen[bytes]
    words: Path

    @classmethod
    def start(
        cls, data_dir: Path, port: int, *, command: Sequence[str] = COMMAND, terminal: int | None = None, **more: str
    ) -> "Run":
        words = data_dir.with_name(f"{data_dir.name}.{time.monotonic_ns()}.out")
        with words.open("wb") as out:
            process = subprocess.Popen(
                command,
                env={**surroundings(), "PORT": str(port), "DATA_DIR": str(data_dir), "WEB_PROCESSES": "1", **more},
                cwd=ROOT,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=out if terminal is None else terminal,
                stderr=out if terminal is None else terminal,
                start_new_session=True,
                preexec_fn=None if terminal is None else take_terminal,  # noqa: PLW1509 - one call into the kernel
            )
        return cls(process, words)

    def lines(self) -> list[str]:
        return self.words.read_text().splitlines()

    def wait_until_ready(self, port: int) -> None:
        last = f"Watchword is ready on http://127.0.0.1:{port}"

        def ready() -> bool:
            assert self.process.poll() is None, self.words.read_text()
            return last in self.lines()

        wait_for(ready, READY_SECONDS, "watchword run is ready")
        assert self.lines()[-1] == last

    def stop(self, signum: signal.Signals = signal.SIGINT) -> tuple[int, float]:
        """Return the exit status and the seconds that it took."""
        begun = time.monotonic()
        self.process.send_signal(signum)
        return self.process.wait(30), time.monotonic() - begun
