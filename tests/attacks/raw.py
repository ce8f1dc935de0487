"""Requests that no honest client can send, written to the socket byte by byte."""

import socket

from tests.attacks.site import Site


def answer_of(site: Site, request: bytes) -> bytes:
    """Send the bytes to a web process and return the first of its answer; empty when it hangs up without one."""
    with socket.create_connection(("127.0.0.1", site.ports[0]), timeout=60) as connection:
        try:
            connection.sendall(request)
            return connection.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            return b""


def status_of(site: Site, request: str) -> int:
    """Return the status of the answer, 400 when the connection was closed without one."""
    answer = answer_of(site, request.encode("latin-1"))
    return int(answer.split(b" ", 2)[1]) if answer else 400
