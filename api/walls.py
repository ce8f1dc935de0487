"""What every request passes before any route: host, size, correlation; and what every answer carries."""

import logging
import re
import traceback
import uuid
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.client_address import client_ip, network, prefix
from api.problems import problem
from api.public_url import authority, authority_of
from api.settings import Settings

_log = logging.getLogger("watchword.web")
BODY_BYTES = 64 * 1024
"""More than any honest request needs. Source: the product's attack catalogue, INP-04."""
_CORRELATION = re.compile(r"[A-Za-z0-9._-]{1,64}")

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""What every answer carries, unless it says otherwise itself."""
STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains"}


__all__ = ["SECURITY_HEADERS", "Walls", "client_ip", "network", "prefix"]


class Walls:
    """The outermost layer of the web application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = {authority_of(origin) for origin in settings.origins}
        self._scheme = "https" if settings.cookies_are_secure else "http"
        always = SECURITY_HEADERS | (STRICT_TRANSPORT if settings.cookies_are_secure else {})
        self._always = [(name.lower().encode(), value.encode()) for name, value in always.items()]
        self._proxies = settings.trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        state = scope.setdefault("state", {})
        sent = headers.get("x-request-id", "")
        state["correlation_id"] = sent if _CORRELATION.fullmatch(sent) else uuid.uuid4().hex
        forwarded_for, forwarded = headers.get("x-forwarded-for", ""), headers.get("forwarded", "")
        state["ip"] = client_ip(scope, forwarded_for, self._proxies, forwarded)
        guarded = self._guard(send, state["correlation_id"])
        if authority(self._scheme, headers.get("host", "")) not in self._hosts and scope["path"] not in {
            "/healthz",
            "/readyz",
        }:
            await problem(421, "unknown_host", "This address does not serve that host.")(scope, receive, guarded)
            return
        try:
            body = await _body(receive)
        except ClientDisconnect:  # nobody is there to be answered, and half a request is none
            return
        if body is None:
            await problem(413, "too_large", "The request is larger than 64 kB.")(scope, receive, guarded)
            return
        if headers.get("content-length", str(len(body))) != str(len(body)):
            await problem(400, "incomplete_request", "The request's body did not arrive whole; nothing has changed.")(
                scope, receive, guarded
            )
            return
        state["body"] = body
        started = False

        async def once_started(message: Message) -> None:
            nonlocal started
            started = True
            await guarded(message)

        try:
            await self._app(_as_get(scope), _replayed(body, receive), once_started)
        except Exception as error:  # noqa: BLE001 its text may hold what was entered, so it goes no further than this
            place = traceback.extract_tb(error.__traceback__)[-1]
            _log.critical("unexpected %s at %s:%s", type(error).__name__, place.name, place.lineno)
            if not started:
                answer = await run_in_threadpool(scope["app"].exception_handlers[Exception], Request(scope), error)
                await answer(scope, receive, guarded)

    def _guard(self, send: Send, correlation_id: str) -> Send:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message["headers"]
                there = {name for name, _ in own}
                always = [each for each in self._always if each[0] not in there]
                message["headers"] = [*own, *always, (b"x-request-id", correlation_id.encode())]
            await send(message)

        return guarded


def _headers(scope: Scope) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _as_get(scope: Scope) -> Scope:
    """Return the scope of a HEAD as that of a GET. The server knows the method still, and sends no body."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, None when it is larger than it may be. Raises ClientDisconnect when it ends before its end."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > BODY_BYTES:
            return None
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
