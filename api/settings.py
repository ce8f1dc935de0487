"""What the operator sets, read once from the environment: the only reader of it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from api.public_url import origin_of


class BadSetting(Exception):
    """A setting is missing or makes no sense. The sentence names it and the remedy."""


@dataclass(frozen=True)
class Settings:
    """Everything that differs from one deployment to the next."""

    port: int
    host: str
    data_dir: Path
    database_url: str | None
    admin_database_url: str | None
    """The owner of the database, for migrations alone; unset, the same as ``database_url``."""
    read_database_url: str | None
    """A streaming replica that answers what people look at; unset, the database itself does."""
    nats_url: str | None
    """One address, or those of a cluster, separated by commas."""
    relay_nats_url: str | None
    """The same as the broker's user that may publish, for the relay alone; unset, ``nats_url``."""
    nats_replicas: int
    """On how many nodes of a cluster the message stream is kept."""
    smtp_url: str | None
    public_url: str
    kek_file: Path
    ledger_dir: Path
    """Where signed checkpoints are kept. Best on another machine's disk than the database."""
    mail_from: str
    reset_setup_needs_mail: bool
    trusted_proxies: int
    """How many proxies of our own stand before us, each adding one address to ``X-Forwarded-For``."""
    web_processes: int
    mail_dir: Path
    mail_pages: bool
    """Show the mails of the embedded catcher to every browser of this machine."""
    support_url: str | None
    """Where people find support: a page, or ``mailto:`` and an address."""
    sso_private_networks: bool
    """Whether identity providers may stand in networks of the deployment's own."""
    header_timeout_seconds: int
    """How long a connection may take until a request's headers are there."""
    body_timeout_seconds: int
    """How long a request's body may take after its headers."""
    keep_alive_seconds: int
    """How long an idle connection is kept. Longer than a balancer keeps its own, or its next request meets a closed one."""
    max_connections: int
    """How many connections one web process holds; it refuses more."""

    @property
    def hashing_cores(self) -> int:
        """Return how many passwords one web process hashes at once: its share of the cores."""
        return max(1, (os.cpu_count() or 1) // self.web_processes)

    @property
    def cookies_are_secure(self) -> bool:
        """Say whether cookies are for encrypted connections only; plain http is for loopback alone."""
        return self.public_url.startswith("https://")

    @cached_property
    def origins(self) -> frozenset[str]:
        """Return the origins under which pages of ours are seen: the public one, and on loopback its other names."""
        parts = urlsplit(self.public_url)
        names = {"127.0.0.1", "localhost"} if parts.hostname in {"127.0.0.1", "localhost"} else set()
        port = f":{parts.port}" if parts.port else ""
        return frozenset({self.public_url} | {f"{parts.scheme}://{name}{port}" for name in names})

    def need(self, name: str) -> str:
        """Return an address that a command cannot do without."""
        value: str | None = getattr(self, name)
        if value is None:
            raise BadSetting(
                f"{name.upper()} is not set, and no `make run` is up in {self.data_dir}: start it, or set it"
            )
        return value


def read(environ: Mapping[str, str] = os.environ, *, ask_running: bool = True) -> Settings:
    """Return the settings; what is unset comes from a `make run` that is up, unless it is not to be asked.

    Each may be given as NAME, or as NAME_FILE with a path to a file that holds the value.
    """
    data_dir = Path(_text(environ, "DATA_DIR") or ".data").absolute()
    running = _running(data_dir) if ask_running else {}
    port = _number(environ, "PORT", running.get("port") or 8000, least=1, most=65535)
    public_url = _public_url(environ, port)
    on_loopback = public_url.startswith("http://")
    return Settings(
        port=port,
        host=_text(environ, "HOST") or "127.0.0.1",
        data_dir=data_dir,
        database_url=_text(environ, "DATABASE_URL") or running.get("database_url"),
        admin_database_url=_text(environ, "ADMIN_DATABASE_URL") or _owner(environ, running),
        read_database_url=_text(environ, "READ_DATABASE_URL"),
        nats_url=_text(environ, "NATS_URL") or running.get("nats_url"),
        relay_nats_url=_text(environ, "RELAY_NATS_URL"),
        nats_replicas=_number(environ, "NATS_REPLICAS", 1, least=1, most=5),
        smtp_url=_text(environ, "SMTP_URL") or running.get("smtp_url"),
        public_url=public_url,
        kek_file=Path(_text(environ, "WATCHWORD_KEK_FILE") or data_dir / "keys" / "kek.json"),
        ledger_dir=Path(_text(environ, "LEDGER_DIR") or data_dir / "ledger").absolute(),
        mail_from=_text(environ, "MAIL_FROM") or "Watchword <no-reply@watchword.invalid>",
        reset_setup_needs_mail=_flag(environ, "RESET_SETUP_NEEDS_MAIL", default=True),
        trusted_proxies=_number(environ, "TRUSTED_PROXIES", 0, least=0, most=10),
        web_processes=_number(environ, "WEB_PROCESSES", 2, least=1, most=64),
        mail_dir=Path(running.get("mail_dir") or data_dir / "mail"),
        mail_pages=_flag(environ, "MAIL_PAGES", default=False) and _alone(environ, on_loopback),
        support_url=_support(environ),
        sso_private_networks=_flag(environ, "SSO_PRIVATE_NETWORKS", default=on_loopback),
        header_timeout_seconds=_number(environ, "HEADER_TIMEOUT_SECONDS", 10, least=1, most=600),
        body_timeout_seconds=_number(environ, "BODY_TIMEOUT_SECONDS", 20, least=1, most=600),
        keep_alive_seconds=_number(environ, "KEEP_ALIVE_SECONDS", 75, least=1, most=3600),
        max_connections=_number(environ, "MAX_CONNECTIONS", 500, least=1, most=100_000),
    )


def _public_url(environ: Mapping[str, str], port: int) -> str:
    try:
        return origin_of(_text(environ, "PUBLIC_URL") or f"http://127.0.0.1:{port}")
    except ValueError as error:
        raise BadSetting(f"PUBLIC_URL cannot be used: {error}") from None


def _running(data_dir: Path) -> dict[str, Any]:
    """Return what a running `make run` has written about its servers."""
    try:
        found: dict[str, Any] = json.loads((data_dir / "services.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def _owner(environ: Mapping[str, str], running: dict[str, Any]) -> str | None:
    return None if _text(environ, "DATABASE_URL") else running.get("admin_database_url")


def _alone(environ: Mapping[str, str], on_loopback: bool) -> bool:
    if not on_loopback or (_text(environ, "HOST") or "127.0.0.1") not in {"127.0.0.1", "localhost", "::1"}:
        raise BadSetting("MAIL_PAGES shows everybody's mail, so it is for loopback alone: leave it out")
    return True


def _support(environ: Mapping[str, str]) -> str | None:
    text = _text(environ, "SUPPORT_URL")
    if text is not None and not text.lower().startswith(("https://", "mailto:")):
        raise BadSetting("SUPPORT_URL has to begin with https:// or mailto:")
    return text


def _text(environ: Mapping[str, str], name: str) -> str | None:
    path = environ.get(f"{name}_FILE") if name != "WATCHWORD_KEK_FILE" else None
    if path:
        try:
            return Path(path).read_text().strip() or None
        except OSError:
            raise BadSetting(f"{name}_FILE names {path}, which cannot be read") from None
    return environ.get(name) or None


def _number(environ: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = _text(environ, name)
    if text is None:
        return default
    if not text.isdecimal() or not least <= int(text) <= most:
        raise BadSetting(f"{name} is {text!r}: it has to be a number from {least} to {most}")
    return int(text)


def _flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = (_text(environ, name) or str(default)).lower()
    if text not in {"true", "false", "1", "0", "yes", "no"}:
        raise BadSetting(f"{name} is {text!r}: it has to be true or false")
    return text in {"true", "1", "yes"}
