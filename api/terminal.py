"""The terminal of `make run`: where things are, and a Ctrl-C that reaches Watchword alone, so that make ends cleanly."""

import contextlib
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

from api.embedded.ports import LOOPBACK

DEMO_PROVIDER = "Sign in with your organization, as support@north.example.org; its code is 424242"
NO_DEMO_PROVIDER = "none: it needs the demo directory, node and npm"


def where_things_are(port: int, data_dir: Path, *, mailbox: bool, provider: bool) -> str:
    """Return the lines that say where to look, how to stop, and how to start afresh.

    ``mailbox``: whether a mail catcher of ours runs. ``provider``: whether the demo identity provider does.
    """
    portal = f"http://{LOOPBACK}:{port}"
    places = {
        "portal": portal,
        "mailbox": f"{portal}/dev/mail  (every mail that was sent, with its links)" if mailbox else None,
        "identity provider": DEMO_PROVIDER if provider else NO_DEMO_PROVIDER,
        "API document": f"{portal}/api/v1/openapi.json",
        "stop": "Ctrl-C; the next start keeps the data",
        "start afresh": f"stop, then remove the data: rm -r {shlex.quote(str(data_dir))}",
    }
    lines = [f"  {name:18} {place}" for name, place in places.items() if place]
    return "\n".join(["Where things are:", "", *lines, ""])


@contextlib.contextmanager
def in_the_foreground() -> Iterator[None]:
    """Take the terminal for ourselves while we run, when make or another program started us from one.

    The terminal sends Ctrl-C to every program of its foreground group; make would report an interrupt though Watchword
    ended well. So we become a group of our own and hand the terminal back at the end. Ctrl-Z is ignored meanwhile:
    nobody would be there to continue us.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # no terminal: a service, a pipe, a test
        yield
        return
    try:
        with _group_of_our_own(terminal):
            yield
    finally:
        os.close(terminal)


@contextlib.contextmanager
def _group_of_our_own(terminal: int) -> Iterator[None]:
    before = os.getpgrp()
    if before == os.getpid() or os.tcgetpgrp(terminal) != before:
        yield
        return
    kept = {signum: signal.signal(signum, signal.SIG_IGN) for signum in (signal.SIGTSTP, signal.SIGTTOU)}
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the terminal was closed
            os.tcsetpgrp(terminal, before)
        for signum, handler in kept.items():
            signal.signal(signum, handler)
