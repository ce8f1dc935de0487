"""Server programs as children: started, recognised again, ended; none outlives the one who started it for long."""

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

LOG_LIMIT = 10 * 1024 * 1024
"""Bytes: a log larger than this at start becomes `<name>.log.1`."""

LOG_TAIL = 2_000
"""Characters of a log that an error message repeats."""

START_SECONDS = 60.0
"""A server that is not ready after this long is reported, with the end of its log."""

PR_SET_PDEATHSIG = 1
LINUX = sys.platform.startswith("linux")
_LIBC = ctypes.CDLL(None) if LINUX else None

Steps = Sequence[tuple[signal.Signals, float]]
"""Signals to send in turn, each with the seconds to wait for the process to end."""

COMPLETE_STEPS: Steps = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))
"""For a child that was to end by itself, when somebody asks to stop before it has."""

PAUSE_SLICE = 0.05
"""Seconds after which a pause looks whether somebody asked to stop."""


class Stopped(BaseException):
    """Somebody asked Watchword to stop; not an error, and nothing below the supervisor may catch it."""


class StopSign:
    """Whether somebody asked to stop: a signal handler raises it, and `pause` alone heeds it.

    A handler that threw an exception itself would do so between any two steps of the program, such as in the middle of
    the standard library's wait for a child, whose lock would then stay taken and hang the end of everything.
    """

    raised = False


STOP_SIGN = StopSign()


def pause(seconds: float) -> None:
    """Wait; raise Stopped when somebody asked to stop."""
    deadline = time.monotonic() + seconds
    while True:
        if STOP_SIGN.raised:
            raise Stopped
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, PAUSE_SLICE))


class EmbeddedError(RuntimeError):
    """A server of this machine cannot be had; the sentence says why and what to do."""


def open_log(path: Path) -> BinaryIO:
    """Open a log for appending; one that grew past the limit is put aside first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def tail(path: Path) -> str:
    """Give the end of a log, for an error message."""
    if not path.exists():
        return "(no log)"
    return path.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:].strip() or "(the log is empty)"


def tether(signum: signal.Signals) -> Callable[[], None] | None:
    """Make the kernel send this signal to the child when the thread that started it ends, even by kill -9.

    For `preexec_fn`; only Linux has it. Elsewhere the next start settles what was left.
    """
    if _LIBC is None:
        return None
    prctl = _LIBC.prctl
    return lambda: None if prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0) == 0 else os._exit(71)


def is_alive(pid: int) -> bool:
    """Say whether this process runs; one that has ended and waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as somebody else
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] != "Z"
        )
    except (FileNotFoundError, ProcessLookupError):
        return not LINUX


def belongs(pid: int, mark: Path) -> bool:
    """Say whether a living process works in the folder `mark`, or names that path on its command line.

    A process id is reused sooner or later: the id in an old pid file proves nothing by itself.
    """
    if not is_alive(pid):
        return False
    if not LINUX:
        line = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        return str(mark) in line
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return os.fsencode(mark) in words or Path(f"/proc/{pid}/cwd").readlink() == mark.resolve()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def end_stranger(pid: int, steps: Steps) -> None:
    """End a process that is not our child, e.g. the server of a supervisor that was killed."""
    for signum, seconds in steps:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not is_alive(pid):
                return
            time.sleep(0.02)
    raise EmbeddedError(
        f"Process {pid} of an earlier run does not end. End it by hand (kill -9 {pid}), then start again."
    )


def end(process: subprocess.Popen[bytes] | None, steps: Steps) -> None:
    """End a child and reap it."""
    if process is None:
        return
    for signum, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    process.wait()


def settle_previous(pid_file: Path, mark: Path, steps: Steps) -> None:
    """End the server that an earlier owner of this folder left behind, if there is one."""
    try:
        pid = int(pid_file.read_text(encoding="ascii").split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return
    if belongs(pid, mark):
        end_stranger(pid, steps)
    pid_file.unlink(missing_ok=True)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], name: str, log: Path) -> None:
    """Wait until a server answers; say what its log says when it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None:
            raise EmbeddedError(
                f"{name} ended at its start, status {process.returncode}. Its log, {log}, says:\n{tail(log)}"
            )
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{name} is not ready after {START_SECONDS:.0f} s. Its log, {log}, says:\n{tail(log)}")
        pause(0.01)


def complete(process: subprocess.Popen[bytes]) -> int:
    """Wait until a child ended by itself, and give its status; end it when somebody asks to stop meanwhile."""
    with cleared_on_failure(lambda: end(process, COMPLETE_STEPS)):
        while (status := process.poll()) is None:
            pause(0.02)
    return status


@contextlib.contextmanager
def cleared_on_failure(stop: Callable[[], None]) -> Iterator[None]:
    """Stop what was begun when the rest of a start fails or is interrupted."""
    try:
        yield
    except BaseException:
        stop()
        raise


def take_lock(path: Path, sentence: str) -> BinaryIO:
    """Take a lock that the kernel gives back when this process ends, however it ends."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = path.open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise EmbeddedError(sentence) from None
    return handle


def load_state(path: Path) -> dict[str, Any]:
    """Read what was remembered (ports, passwords); nothing at the first start."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise EmbeddedError(
            f"{path} is damaged ({error}). Restore it, or remove the data folder to begin anew."
        ) from error


def save_state(path: Path, state: Mapping[str, object]) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with open(fresh, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
        json.dump(state, out, indent=2)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)


def remove_tree(path: Path) -> None:
    """Remove a folder that may not be there."""
    if path.exists():
        shutil.rmtree(path)
