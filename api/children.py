"""The programs of one Watchword, each a child of the supervisor: started, watched, started again, ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from api.embedded import processes
from api.embedded.processes import EmbeddedError

FIRST_PAUSE, LAST_PAUSE = 0.5, 10.0
"""Seconds before a program that died is started again: at first, and at most."""

CALM_SECONDS = 30.0
"""A program that ran this long is in good health: its next death counts as the first."""

PARENT_POLL_SECONDS = 1.0
LAST_CALL_SECONDS = 5.0
"""After its supervisor died a child has this long to end in order."""

LEFT_BEHIND_STEPS: processes.Steps = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))
SUPERVISED = "WATCHWORD_SUPERVISED"
"""Names the supervisor's process id in the environment of its programs."""


def say(sentence: str) -> None:
    """Tell the person at the terminal, if there still is one."""
    with contextlib.suppress(OSError):
        print(sentence, flush=True)


class Runs(Protocol):
    """Something that runs: a child or a server of this machine."""

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        ...

    def start(self) -> None:
        """Start it."""
        ...


class Child:
    """One command of Watchword as a process of its own, its words going to its log."""

    def __init__(self, name: str, data_dir: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = data_dir / "log" / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = environment
        self._log_start = 0

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process in a session of its own: the terminal's Ctrl-C is for the supervisor.

        Whatever its predecessor started and left behind, such as the processes that serve the web, ends first.
        """
        self._end_group()
        with processes.open_log(self.log) as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", self.name],
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=processes.tether(signal.SIGTERM),  # noqa: PLW1509 - one call into the kernel, no lock is taken
            )

    def complete(self) -> None:
        """Run to the end. Raises EmbeddedError with what it said when it fails."""
        self.start()
        status = processes.complete(self.process) if self.process else 1
        if status != 0:
            said = self.log.read_bytes()[self._log_start :].decode(errors="replace").strip()
            raise EmbeddedError(f"`watchword {self.name}` failed, status {status}. It said:\n{said or '(nothing)'}")

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        if self.process is not None and self.is_running:
            self.process.send_signal(signal.SIGTERM)

    def wait_or_kill(self, deadline: float) -> None:
        """Wait until it ended, at most to the deadline; then kill it, and whatever it started itself."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        self._end_group()

    def _end_group(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def settle_previous(data_dir: Path) -> None:
    """End the programs that a killed supervisor of this folder left behind; their environment tells who they are.

    Elsewhere than on Linux a program ends by itself some seconds after its supervisor (`watch_parent`).
    """
    ours = os.fsencode(f"DATA_DIR={data_dir}")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended, or is somebody else's
            continue
        supervised = any(word.startswith(os.fsencode(f"{SUPERVISED}=")) for word in environment)
        if supervised and ours in environment and int(folder.name) != os.getpid():
            processes.end_stranger(int(folder.name), LEFT_BEHIND_STEPS)


def end_all(children: Sequence[Child], seconds: float) -> None:
    """End children in this order; who has not ended after so many seconds is killed."""
    for child in children:
        child.ask_to_end()
    deadline = time.monotonic() + seconds
    for child in children:
        child.wait_or_kill(deadline)


class Watched:
    """Something that should run: started again when it died, soon at first, later when it keeps dying."""

    def __init__(self, name: str, thing: Runs) -> None:
        self.name = name
        self.thing = thing
        self._started = time.monotonic()
        self._pause = 0.0
        self._due: float | None = None

    def look(self) -> None:
        """Look once; the supervisor does so a few times a second."""
        now = time.monotonic()
        if self._due is None:
            if not self.thing.is_running:
                self._died(now)
        elif now >= self._due:
            self._again(now)

    def _died(self, now: float) -> None:
        calm = now - self._started > CALM_SECONDS or not self._pause
        self._pause = FIRST_PAUSE if calm else min(self._pause * 2, LAST_PAUSE)
        self._due = now + self._pause
        say(f"{self.name} has ended; starting it again in {self._pause:.1f} s")

    def _again(self, now: float) -> None:
        self._due, self._started = None, now
        try:
            self.thing.start()
        except EmbeddedError as error:
            say(f"{self.name} cannot start: {error}")


def watch_parent(supervisor: int) -> None:
    """End this process when its supervisor died, even by kill -9: in order if it can, at once if it cannot.

    `supervisor` is the process id in WATCHWORD_SUPERVISED.
    """

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(PARENT_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_CALL_SECONDS)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # us, and what we started
        os._exit(70)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
