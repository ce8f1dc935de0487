"""The machine, the operator's rules, and all sockets together."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from handlers.ports.identity import Identities, Providers
from handlers.ports.log import EventStore
from handlers.ports.people import People
from handlers.ports.secrets import Keys, Passwords, Vault
from handlers.ports.sessions import Sessions
from handlers.ports.throttle import Links, SignInLog, Throttle


class Clock(Protocol):
    """Now."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""


class Chance(Protocol):
    """What nobody can guess, and what is never the same twice."""

    def new_id(self) -> str:
        """Return a new id that sorts by time."""

    def token(self) -> str:
        """Return 256 random bits as text."""

    def bytes(self, count: int) -> bytes:
        """Return random bytes."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator may set."""

    reset_setup_needs_mail: bool = True
    issuer: str = "Watchword"
    public_url: str = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Sockets:
    """Everything a handler may plug into."""

    store: EventStore
    people: People
    vault: Vault
    passwords: Passwords
    keys: Keys
    sessions: Sessions
    throttle: Throttle
    links: Links
    sign_in_log: SignInLog
    identities: Identities
    providers: Providers
    clock: Clock
    chance: Chance
    rules: Rules = field(default_factory=Rules)
