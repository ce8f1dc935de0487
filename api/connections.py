"""The connections of the web process: each request has to arrive in time, and only so many are open at once."""

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.settings import Settings

HEADER_BYTES = 64 * 1024
"""How large the headers of a request may be; an ordinary one has 1 kB."""


def connection_options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options about connections: what is made for each, and how long an idle one is kept."""
    limits = (settings.header_timeout_seconds, settings.body_timeout_seconds, settings.max_connections)
    return {"http": partial(BoundedConnection, limits), "timeout_keep_alive": settings.keep_alive_seconds}


class BoundedConnection(HttpToolsProtocol):
    """A connection whose requests have deadlines: for the headers from its first moment, and then for the body."""

    def __init__(self, limits: tuple[float, float, int], *options: Any, **more: Any) -> None:  # noqa: ANN401 uvicorn's own
        """``limits``: seconds for the headers, seconds for the body, connections of the process."""
        super().__init__(*options, **more)
        self._header_seconds, self._body_seconds, self._most = limits
        self._deadline: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or refuse the connection when there are too many."""
        super().connection_made(transport)
        self._await(self._header_seconds)
        if len(self.connections) > self._most:
            self._refuse(503, b"Service Unavailable", b"retry-after: 2\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._await(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came. Bytes between two requests begin the time of the next one's headers."""
        if self.transport.is_closing():
            return
        if self._deadline is None and self.cycle.response_complete:
            self._await(self._header_seconds)
        if not self._in_body:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._header_bytes > HEADER_BYTES and not self.transport.is_closing():
            self._refuse(431, b"Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        """Begin to wait for the body."""
        self._in_body, self._header_bytes = True, 0
        self._await(self._body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for nothing: the request is there."""
        self._in_body = False
        self._await(None)
        super().on_message_complete()

    def _await(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        """Close the connection. One that sent nothing waits for no answer, and would take it for that of a later request."""
        if self._in_body or self._header_bytes:
            self._refuse(408, b"Request Timeout")
        self.transport.close()

    def _refuse(self, status: int, phrase: bytes, header: bytes = b"") -> None:
        """Answer a request that is not there yet, unless its answer has begun, and close the connection."""
        if not (self._in_body and self.cycle.response_started):
            lines = b"HTTP/1.1 %d %b\r\n%bconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(lines % (status, phrase, header))
        self.transport.close()
