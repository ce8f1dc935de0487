"""Tokens by which programs of the portal are known; only their hashes are kept."""

import hashlib
import logging
import secrets
from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from handlers.adapters.keyring import DerivedKeys
from handlers.adapters.postgres.database import Database
from handlers.adapters.postgres.row_macs import holds, token_mac
from handlers.ports import Conflict, Service

SCOPES = ("read", "write", "audit")


_log = logging.getLogger("watchword.web")


def give_macs(connection: Connection[Any], keys: DerivedKeys) -> None:
    """Give the tokens from before there were MACs theirs: once, by the run that adds the column."""
    query = "SELECT token_id, token_hash, scopes, partner_id FROM service_token"
    for token_id, hashed, scopes, partner_id in connection.execute(query).fetchall():
        mac = token_mac(keys, token_id, bytes(hashed), scopes, partner_id)
        connection.execute("UPDATE service_token SET mac = %s WHERE token_id = %s", (mac, token_id))


class PostgresServiceTokens:
    """Makes, finds and revokes service tokens."""

    def __init__(self, database: Database, keys: DerivedKeys) -> None:
        self._database = database
        self._keys = keys

    def _hash(self, token: str) -> bytes:
        return hashlib.sha256(self._keys.digest("service", token).encode()).digest()

    def create(self, token_id: str, scopes: Sequence[str], partner_id: str) -> str:
        """Return a new token, shown this once. ``partner_id`` is the partner to which it is bound, ``*`` for all.

        Raises Conflict when there is one of this name, be it a revoked one.
        """
        token = f"wws_{secrets.token_urlsafe(32)}"
        hashed = self._hash(token)
        made = self._database.run(
            "INSERT INTO service_token (token_id, token_hash, scopes, partner_id, mac) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (token_id) DO NOTHING",
            (token_id, hashed, list(scopes), partner_id, token_mac(self._keys, token_id, hashed, scopes, partner_id)),
        )
        if not made:
            raise Conflict(token_id)
        return token

    def find(self, token: str) -> Service | None:
        """Return the service behind a token that was not revoked and is as it was made."""
        hashed = self._hash(token)
        query = (
            "SELECT token_id, scopes, partner_id, mac FROM service_token WHERE token_hash = %s AND revoked_at IS NULL"
        )
        row = self._database.one(query, (hashed,))
        if row is None:
            return None
        if not holds(row["mac"], token_mac(self._keys, row["token_id"], hashed, row["scopes"], row["partner_id"])):
            _log.critical("the row of service token %s is not what was written: it opens nothing", row["token_id"])
            return None
        return Service(row["token_id"], frozenset(row["scopes"]), row["partner_id"])

    def revoke(self, token_id: str) -> bool:
        """End a token; False for one that is unknown or ended."""
        statement = "UPDATE service_token SET revoked_at = now() WHERE token_id = %s AND revoked_at IS NULL"
        return self._database.run(statement, (token_id,)) == 1
