"""The terminal of `make run`: Ctrl-C reaches Watchword alone, so that make sees a clean end and says nothing."""

import contextlib
import os
import signal
from collections.abc import Iterator


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
