"""PUBLIC_URL in the one form in which browsers write an origin, or the sentence that says what is wrong with it."""

import ipaddress
import re
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_DEVIATIONS = frozenset("ßẞς\u200c\u200d")
"""Characters that IDNA 2003 and IDNA 2008 write differently: only the owner of the domain knows which is meant."""


def origin_of(text: str) -> str:
    """Return the address as an origin: lower case, ``xn--`` labels, no default port, no slash at the end. Raises ValueError."""
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("it holds a space or a control character: remove it")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its host or port cannot be read: write https://mfa.example.org") from None
    extra = {
        "a user name or password": "@" in parts.netloc,
        "a path": parts.path not in {"", "/"},
        "a query": "?" in text,
        "a fragment": "#" in text,
    }
    if found := [name for name, is_there in extra.items() if is_there]:
        raise ValueError(
            f"it has {' and '.join(found)}: give scheme, host and port alone, such as https://mfa.example.org"
        )
    if not host or parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("it has to begin with https:// and name a host (plain http is for loopback alone)")
    if port == 0:
        raise ValueError("its port is 0: give a port from 1 to 65535, or none")
    if parts.scheme == "http" and _host(host) not in _LOOPBACK:
        raise ValueError("it has to begin with https:// (plain http is for loopback alone)")
    name = _host(host)
    shown = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{shown}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")


def _host(text: str) -> str:
    """Return a host as browsers write it."""
    if ":" in text:
        return str(ipaddress.IPv6Address(text))
    if _DEVIATIONS & set(text):
        raise ValueError("its host has a character that is written in two ways (ß, ς or a joiner): write the xn-- form")
    try:
        name = text.rstrip(".").encode("idna").decode().lower()
    except UnicodeError:
        raise ValueError("its host is not a domain name: write its xn-- form") from None
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):  # noqa: PLR2004 RFC 1035, 2.3.4
        raise ValueError("its host is not a domain name: letters, digits, dots and hyphens alone")
    return name


def authority(scheme: str, host: str) -> str:
    """Return host and port as they are compared: lower case, without the scheme's default port."""
    return host.lower().removesuffix(f":{_DEFAULT_PORTS[scheme]}")


def authority_of(origin: str) -> str:
    """Return host and port of an origin."""
    return urlsplit(origin).netloc
