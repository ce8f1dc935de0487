"""Watchword and its floor as contestants, both on the ground of `tests/bench/verifying.py`."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.embedded.ports import free_port
from tests.bench.peers.place import Contestant
from tests.bench.verifying import Ground

WATCHWORD = "Watchword"
FLOOR = "bare Starlette"


@contextmanager
def watchword(ground: Ground) -> Iterator[Contestant]:
    """Serve Watchword; a request gives the code of a sign-in that waits for it."""
    with ground.serving() as process:
        port = ground.settings.port
        yield Contestant(WATCHWORD, port, process.pid, lambda count: ground.sign_ins(ground.people[:count]), b"")


@contextmanager
def floor(ground: Ground) -> Iterator[Contestant]:
    """Serve bare Starlette; a request gives a code."""
    port = free_port()
    with ground.floor_at(port) as process:
        yield Contestant(
            FLOOR, port, process.pid, lambda count: ground.floor_requests(port, ground.people[:count]), b'"ok":true'
        )
