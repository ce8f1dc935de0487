"""The client's address: the peer's, or the one that our own outermost proxy wrote; and the networks made of it."""

import ipaddress
import logging
import re
from functools import lru_cache

from starlette.types import Scope

from api.settings import Settings

_log = logging.getLogger("watchword.web")
REMEMBERED = 4_096
"""Addresses whose networks are known without reading them again."""
_PAIR = re.compile(r'\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))\s*(?:;|$)', re.ASCII)
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::\d{1,5})?", re.ASCII)
_WITH_PORT = re.compile(r"([0-9.]+|(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}):\d{1,5}", re.ASCII | re.IGNORECASE)
"""``ip:port``; of IPv6 without brackets only the eight groups written out, where the ninth number is the port."""
_warned: set[str] = set()
"""What this process has warned about already: a warning of each kind is written once."""


def client_ip(scope: Scope, forwarded_for: str, proxies: int, forwarded: str = "") -> str:
    """Return the client's address, empty where nobody wrote one that can be read: such callers share no count.

    ``X-Forwarded-For`` counts before ``Forwarded`` (RFC 7239). What stands before our own proxies' entries counts for nothing.
    """
    peer = (scope.get("client") or ("",))[0]
    if not proxies:
        if forwarded_for or forwarded:
            _warn_once(
                "a forwarded request came, but TRUSTED_PROXIES is 0, so everybody behind the proxy counts as one caller:"
                " set TRUSTED_PROXIES to the number of your own proxies"
            )
        return readable(peer) or _unreadable("the peer's address")
    by_header = _hop(forwarded_for, proxies), _for_of(_hop(forwarded, proxies))
    if all(by_header) and len(set(map(readable, by_header))) > 1:
        _warn_once(
            "X-Forwarded-For and Forwarded name different clients, and X-Forwarded-For counts: let your proxy remove the"
            " header that it does not write"
        )
    if forwarded_for or forwarded:
        name = "X-Forwarded-For" if forwarded_for else "Forwarded"
        return readable(by_header[0] if forwarded_for else by_header[1]) or _unreadable(f"the client in {name}")
    if scope.get("path") not in {"/healthz", "/readyz"}:  # which are asked from within
        _warn_once(
            "a request came without X-Forwarded-For or Forwarded, but TRUSTED_PROXIES is not 0: let each of your proxies add"
            " the client to it, or set TRUSTED_PROXIES to 0"
        )
    seen = readable(peer)
    return seen if seen and ipaddress.ip_address(seen).is_global else ""  # else it is a proxy's, which everybody shares


def _hop(header: str, proxies: int) -> str:
    """Return what our outermost proxy wrote; of a shorter chain the first entry.

    Commas split even within quotes: a quote that a client leaves open must not swallow what the proxy added.
    """
    hops = [hop.strip() for hop in header.split(",") if hop.strip()]
    return hops[-min(proxies, len(hops))] if hops else ""


def _for_of(element: str) -> str:
    """Return the client that an element of ``Forwarded`` names; quoted values are passed over as a whole."""
    pairs = {found[1].lower(): (found[2] or found[3] or "").strip() for found in _PAIR.finditer(element)}
    return pairs.get("for", "")


@lru_cache(REMEMBERED)
def readable(text: str) -> str:
    """Return an address without brackets, port and zone, IPv4-mapped ones as IPv4; empty where there is none."""
    bare = text.strip().strip('"')
    found = _BRACKETED.fullmatch(bare) or _WITH_PORT.fullmatch(bare)
    try:
        address = ipaddress.ip_address((found[1] if found else bare).partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


@lru_cache(REMEMBERED)
def network(ip: str) -> str:
    """Return the network under which tries are counted: an IPv4 address, or an IPv6 /64."""
    address = ipaddress.ip_address(readable(ip))
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))  # noqa: PLR2004


@lru_cache(REMEMBERED)
def prefix(ip: str) -> str:
    """Return the part of an address that goes into facts: /24 or /48; nothing of an unknown one."""
    if not ip:
        return ""
    address = ipaddress.ip_address(readable(ip))
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))  # noqa: PLR2004


def missing_proxy(settings: Settings) -> str | None:
    """Return a warning where https ends at a proxy that is not counted: then one person locks out everybody."""
    try:
        reached_directly = ipaddress.ip_address(settings.host).is_global
    except ValueError:
        reached_directly = False
    if settings.trusted_proxies or reached_directly or not settings.cookies_are_secure:
        return None
    return (
        "PUBLIC_URL is https, which a proxy before this program has to serve, but TRUSTED_PROXIES is 0: all people behind"
        " the proxy count as one caller, so thirty wrong passwords from anywhere lock everybody out. Set TRUSTED_PROXIES"
        " to the number of your own proxies"
    )


def _unreadable(what: str) -> str:
    _warn_once(
        f"{what} cannot be read as an IP address, so tries are not counted by network: look at the proxy's set-up"
    )
    return ""


def _warn_once(sentence: str) -> None:
    if sentence not in _warned:
        _warned.add(sentence)
        _log.warning("%s", sentence)
