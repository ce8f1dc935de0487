"""Connections that send too little, too slowly or too much, and too many of them, against a real web server."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest

from api import bootstrap
from api.connections import HEADER_BYTES, connection_options
from api.settings import BadSetting, Settings, read
from tests.services import serving

MOST = 4
"""Connections that the server under test holds."""
GIVE_UP_SECONDS = 30
"""Long past every deadline of the server under test, and short of what it keeps an idle connection for."""


@pytest.fixture
def port(settings: Settings) -> Iterator[int]:
    """A web server with the shortest deadlines that can be set."""
    short = replace(settings, header_timeout_seconds=1, body_timeout_seconds=1, max_connections=MOST)
    watchword = bootstrap.build(short)
    try:
        with serving(watchword):
            yield short.port
    finally:
        watchword.close()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=GIVE_UP_SECONDS)


def told(connection: socket.socket) -> bytes:
    """Return everything that the server sends until it closes the connection. It has to close it."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def drip(connection: socket.socket, content: bytes, over: threading.Event) -> None:
    """Send one byte after the other, a few in each second, until the connection is closed."""
    with suppress(OSError):
        for byte in content:
            connection.sendall(bytes([byte]))
            if over.wait(0.2):
                return


def head(port: int, length: int) -> bytes:
    return f"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n".encode()


@pytest.mark.parametrize(
    ("at_once", "dripped", "status"),
    [
        pytest.param("", "", b"", id="nothing"),
        pytest.param("half a head", "", b"408", id="half a head"),
        pytest.param("", "head", b"408", id="dripped head"),
        pytest.param("whole head and half a body", "", b"408", id="half a body"),
        pytest.param("whole head and half a body", "body", b"408", id="dripped body"),
        pytest.param("a request", "", b"408", id="empty lines after an answer"),
    ],
)
def test_x03_a_slow_connection_is_closed(port: int, at_once: str, dripped: str, status: bytes) -> None:
    """X03: it is told why where it asked for something; all of it happens long before the keep-alive ends."""
    first = {
        "half a head": head(port, 5)[:-10],
        "whole head and half a body": head(port, 500) + b"\r\ncsrf_token=",
        "a request": f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode(),
    }
    slow = {"head": head(port, 5) + b"X-Filler: " + b"x" * 500, "body": b"x" * 500}
    over = threading.Event()
    with connected(port) as connection:
        connection.sendall(first.get(at_once, b""))
        if at_once == "a request":
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            connection.sendall(b"\r\n")
        dripping = threading.Thread(target=drip, args=(connection, slow.get(dripped, b""), over))
        dripping.start()
        try:
            answer = told(connection)
        finally:
            over.set()
            dripping.join()
    assert answer[9:12] == status
    assert b"HTTP/1.1 200" not in answer


def test_x03_headers_without_an_end_are_refused_for_their_size(port: int) -> None:
    """X03: before the deadline, so that nobody fills the memory in that time."""
    with connected(port) as connection:
        with suppress(OSError):
            connection.sendall(head(port, 5) + b"X-Filler: " + b"x" * 4 * HEADER_BYTES)
        assert told(connection)[9:12] in {b"431", b""}


def test_x03_more_connections_than_the_setting_are_refused_and_the_others_go_on(port: int) -> None:
    """X03: the cap. Who is in is served."""
    request = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    with ExitStack() as stack:
        inside = [stack.enter_context(connected(port)) for _ in range(MOST)]
        for each in inside:
            each.sendall(request)
            assert each.recv(65536).startswith(b"HTTP/1.1 200")
        answer = told(stack.enter_context(connected(port)))
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: " in answer
        for each in inside:
            each.sendall(request)
            assert each.recv(65536).startswith(b"HTTP/1.1 200")


def test_x03_each_limit_is_a_setting_and_an_idle_connection_outlives_that_of_a_balancer() -> None:
    """X03: balancers keep 60 s by default; who closes first causes a 502."""
    found = read({}, ask_running=False)
    assert connection_options(found)["timeout_keep_alive"] > 60
    names = ("HEADER_TIMEOUT_SECONDS", "BODY_TIMEOUT_SECONDS", "KEEP_ALIVE_SECONDS", "MAX_CONNECTIONS")
    chosen = read(dict.fromkeys(names, "7"), ask_running=False)
    assert [getattr(chosen, name.lower()) for name in names] == [7] * len(names)
    for name in names:
        with pytest.raises(BadSetting, match=name):
            read({name: "0"}, ask_running=False)
