"""Tokens by which programs of the portal are known; only their hashes are kept."""

import hashlib
import secrets
from collections.abc import Sequence

from handlers.adapters.keyring import DerivedKeys
from handlers.adapters.postgres.database import Database
from handlers.ports import Service

SCOPES = ("read", "write", "audit")


class PostgresServiceTokens:
    """Makes, finds and revokes service tokens."""

    def __init__(self, database: Database, keys: DerivedKeys) -> None:
        self._database = database
        self._keys = keys

    def _hash(self, token: str) -> bytes:
        return hashlib.sha256(self._keys.digest("service", token).encode()).digest()

    def create(self, token_id: str, scopes: Sequence[str], partner_id: str) -> str:
        """Return a new token, shown this once. ``partner_id`` is the partner to which it is bound, ``*`` for all."""
        token = f"wws_{secrets.token_urlsafe(32)}"
        self._database.run(
            "INSERT INTO service_token (token_id, token_hash, scopes, partner_id) VALUES (%s, %s, %s, %s)",
            (token_id, self._hash(token), list(scopes), partner_id),
        )
        return token

    def find(self, token: str) -> Service | None:
        """Return the service behind a token that stands."""
        row = self._database.one(
            "SELECT token_id, scopes, partner_id FROM service_token WHERE token_hash = %s AND revoked_at IS NULL",
            (self._hash(token),),
        )
        return Service(row["token_id"], frozenset(row["scopes"]), row["partner_id"]) if row else None

    def revoke(self, token_id: str) -> bool:
        """End a token; False for one that is unknown or ended."""
        statement = "UPDATE service_token SET revoked_at = now() WHERE token_id = %s AND revoked_at IS NULL"
        return self._database.run(statement, (token_id,)) == 1
