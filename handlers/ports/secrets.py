"""What is sealed, hashed or derived from keys."""

from dataclasses import dataclass
from typing import Protocol

from handlers.ports.identity import ClientSecretKept
from handlers.ports.log import Ahead, Row


class Unreadable(Exception):
    """A sealed secret does not open: it was changed, moved or sealed with a key that is not here."""


@dataclass(frozen=True, slots=True)
class SecretKept(Row):
    """A shared secret, sealed for one account."""

    account_id: str
    secret_ref: str
    sealed: bytes
    wrapped_key: bytes
    kek_version: int


@dataclass(frozen=True, slots=True)
class SecretsEnded(Row):
    """All shared secrets of the account but the named ones are destroyed."""

    account_id: str
    keep: tuple[str, ...]


class Vault(Protocol):
    """Shared secrets, sealed with a key per account."""

    def seal(self, *, tenant: str, account_id: str, secret_ref: str, secret: str) -> SecretKept:
        """Seal a secret; the row goes into the transaction of its fact."""

    def open(self, *, tenant: str, account_id: str, secret_ref: str, ahead: Ahead | None = None) -> str:
        """Return the secret, from what was read ahead where that is given. Raises Unreadable."""

    def seal_client_secret(self, *, tenant: str, provider_id: str, secret: str) -> ClientSecretKept:
        """Seal the secret by which an identity provider knows us; the row goes into the transaction of its fact."""

    def client_secret(self, *, tenant: str, provider_id: str) -> str | None:
        """Return that secret, None for a provider that knows us without one. Raises Unreadable."""


class Passwords(Protocol):
    """Slow hashes of passwords."""

    def hash(self, password: str) -> str:
        """Return a salted hash. Raises Unavailable when too many are waiting."""

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Say whether the password is right; without a hash it takes as long and says no. Raises Unavailable."""


class Keys(Protocol):
    """Numbers that only this deployment can make."""

    def digest(self, purpose: str, text: str) -> str:
        """Return a keyed hash: stable, and useless to who finds it."""

    def link_secret(self, account_id: str, link_id: str) -> str:
        """Return the secret half of a mailed link, the same for every try at one mail."""
