"""Requests to addresses that others name: encrypted (plain http for loopback alone), to public networks unless the operator
says otherwise, without following redirects, within time and size.
"""

import ipaddress
import json
import socket
import threading
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from handlers.ports import ProviderDown

ANSWER_SECONDS = 5.0
DOWN_SECONDS = 3.0
"""After a failure nobody waits for the same address for so long."""
AT_ONCE = 8
"""Requests to providers that one process has open at once: a slow provider must not stop all other sign-ins."""
ANSWER_BYTES = 256 * 1024
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Outward:
    """The way out."""

    def __init__(self, *, private_networks: bool) -> None:
        self._private = private_networks
        self._down: dict[str, float] = {}
        self._at_once = threading.BoundedSemaphore(AT_ONCE)
        self._http = httpx.Client(timeout=ANSWER_SECONDS, follow_redirects=False, headers={"User-Agent": "Watchword"})

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def fit(self, address: str, issuer: str) -> None:
        """Refuse an address that is not encrypted, or that leads into a network of our own."""
        parts, home = urlsplit(address), urlsplit(issuer)
        local = home.scheme == "http" and home.hostname in _LOOPBACK
        if local and self._private and parts.scheme == "http" and parts.hostname in _LOOPBACK:
            return
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            raise ProviderDown("the identity provider has an address that is not https")
        if not self._private and not _public(parts.hostname, parts.port or 443):
            raise ProviderDown("the identity provider has an address that is not public")

    def ask(
        self,
        method: str,
        address: str,
        issuer: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Return status and body of one request. Nothing of the answer goes into an error's text."""
        host = urlsplit(address).netloc
        if time.monotonic() < self._down.get(host, 0.0) or not self._at_once.acquire(timeout=1.0):
            raise ProviderDown("the identity provider does not answer")
        try:
            self.fit(address, issuer)
            return self._answer(method, address, form, headers)
        except httpx.HTTPError:
            self._down[host] = time.monotonic() + DOWN_SECONDS
            raise ProviderDown("the identity provider does not answer") from None
        finally:
            self._at_once.release()

    def _answer(
        self, method: str, address: str, form: Mapping[str, str] | None, headers: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        deadline, body = time.monotonic() + ANSWER_SECONDS, b""
        asked = {"Accept": "application/json", **(headers or {})}
        with self._http.stream(method, address, data=form, headers=asked) as answer:
            for part in answer.iter_bytes(16 * 1024):
                body += part
                if len(body) > ANSWER_BYTES or time.monotonic() > deadline:
                    raise ProviderDown("the identity provider's answer is too long, or too slow")
            return answer.status_code, body


def _public(host: str, port: int) -> bool:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise ProviderDown("the identity provider's name is not known") from None
    return all(ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_global for each in found)


def object_in(status: int, body: bytes) -> dict[str, object]:
    """Return the JSON object in an answer; ProviderDown when there is none."""
    try:
        found = json.loads(body) if status == httpx.codes.OK else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderDown("the identity provider's answer makes no sense")
    return found
