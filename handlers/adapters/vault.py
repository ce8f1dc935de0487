"""Shared secrets: AES-256-GCM under a data key per account, itself under a key-encryption key from outside the database.

Each ciphertext is bound to its tenant, account and record: moved to another row, it does not open.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from handlers.adapters.keyring import Keyring
from handlers.adapters.postgres.database import Database
from handlers.ports import Ahead, ClientSecretKept, SecretKept, Unreadable

_NONCE_BYTES = 12
"""96 random bits for each encryption. Source: NIST SP 800-38D section 8.2.2; far below 2^32 uses of each key."""

_WRAPPED = (
    (
        "data_key",
        (
            "SELECT k.account_id AS owner, k.wrapped, k.kek_version, a.partner_id FROM data_key k JOIN account_access a"
            " USING (account_id) WHERE k.kek_version < %s AND k.account_id > %s ORDER BY k.account_id LIMIT %s"
            " FOR UPDATE OF k SKIP LOCKED"
        ),
        "UPDATE data_key SET wrapped = %s, kek_version = %s WHERE account_id = %s",
    ),
    (
        "provider_key",
        (
            "SELECT k.provider_id AS owner, k.wrapped, k.kek_version, p.partner_id FROM client_secret k"
            " JOIN identity_provider p USING (provider_id) WHERE k.kek_version < %s AND k.provider_id > %s"
            " ORDER BY k.provider_id LIMIT %s FOR UPDATE OF k SKIP LOCKED"
        ),
        "UPDATE client_secret SET wrapped = %s, kek_version = %s WHERE provider_id = %s",
    ),
)
"""Every kind of wrapped key: its name, what is left of it to rewrap, and how that is written."""
_LEFT = """SELECT (SELECT count(*) FROM data_key WHERE kek_version <> %s)
    + (SELECT count(*) FROM client_secret WHERE kek_version <> %s) AS keys"""


class SealedVault:
    """The Vault socket's plug: sealed rows in PostgreSQL, keys in a file."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    def seal(self, *, tenant: str, account_id: str, secret_ref: str, secret: str) -> SecretKept:
        """Seal a secret; the row goes into the transaction of its fact."""
        row = self._database.one("SELECT wrapped, kek_version FROM data_key WHERE account_id = %s", (account_id,))
        if row is None:
            key = AESGCM.generate_key(256)
            version, kek = self._keyring.current()
            wrapped = _seal(kek, key, _aad(tenant, account_id, "data_key", "-", version))
        else:
            version, wrapped = row["kek_version"], bytes(row["wrapped"])
            key = self._unwrap(tenant, account_id, wrapped, version)
        sealed = _seal(key, secret.encode(), _aad(tenant, account_id, "totp", secret_ref, 1))
        return SecretKept(account_id, secret_ref, sealed, wrapped, version)

    def open(self, *, tenant: str, account_id: str, secret_ref: str, ahead: Ahead | None = None) -> str:
        """Return the secret, from what was read ahead where that is given. Raises Unreadable."""
        found = self._ahead(secret_ref, ahead) if ahead else self._kept(account_id, secret_ref)
        if found is None:
            raise Unreadable("the secret is not in the vault")
        sealed, wrapped, version = found
        key = self._unwrap(tenant, account_id, wrapped, version)
        return _open(key, sealed, _aad(tenant, account_id, "totp", secret_ref, 1)).decode()

    @staticmethod
    def _ahead(secret_ref: str, ahead: Ahead) -> tuple[bytes, bytes, int] | None:
        for ref, sealed, wrapped, version in ahead.secrets:
            if ref == secret_ref:
                return bytes.fromhex(sealed), bytes.fromhex(wrapped), int(version)
        return None

    def _kept(self, account_id: str, secret_ref: str) -> tuple[bytes, bytes, int] | None:
        query = "SELECT s.sealed, k.wrapped, k.kek_version FROM secret s JOIN data_key k USING (account_id)"
        row = self._database.one(f"{query} WHERE s.secret_ref = %s AND s.account_id = %s", (secret_ref, account_id))
        return (bytes(row["sealed"]), bytes(row["wrapped"]), row["kek_version"]) if row else None

    def seal_client_secret(self, *, tenant: str, provider_id: str, secret: str) -> ClientSecretKept:
        """Seal a provider's client secret under a data key of its own."""
        key = AESGCM.generate_key(256)
        version, kek = self._keyring.current()
        wrapped = _seal(kek, key, _aad(tenant, provider_id, "provider_key", "-", version))
        sealed = _seal(key, secret.encode(), _aad(tenant, provider_id, "client_secret", "-", 1))
        return ClientSecretKept(provider_id, sealed, wrapped, version)

    def client_secret(self, *, tenant: str, provider_id: str) -> str | None:
        """Return that secret, None for a provider that knows us without one. Raises Unreadable."""
        query = "SELECT sealed, wrapped, kek_version FROM client_secret WHERE provider_id = %s"
        row = self._database.one(query, (provider_id,))
        if row is None:
            return None
        key = self._unwrap(tenant, provider_id, bytes(row["wrapped"]), row["kek_version"], "provider_key")
        return _open(key, bytes(row["sealed"]), _aad(tenant, provider_id, "client_secret", "-", 1)).decode()

    def _unwrap(self, tenant: str, owner: str, wrapped: bytes, version: int, kind: str = "data_key") -> bytes:
        kek = self._keyring.kek(version)
        if kek is None:
            raise Unreadable(f"version {version} of the key-encryption key is not in the key file")
        return _open(kek, wrapped, _aad(tenant, owner, kind, "-", version))

    def rewrap(self, version: int, *, batch: int = 500) -> Iterator[int]:
        """Bring every data key under the given key-encryption key while sign-ins go on; yield how many each batch took.

        Interrupted, it begins again where it stopped: the rows themselves say what is left. A row that somebody else
        holds, or that cannot be opened, is passed over: ``left`` counts those.
        """
        kek = self._keyring.kek(version)
        if kek is None:
            raise Unreadable(f"version {version} of the key-encryption key is not in the key file")
        for kind, query, update in _WRAPPED:
            after = ""
            while True:
                with self._database.transaction() as connection:
                    rows = connection.execute(query, (version, after, batch)).fetchall()
                    rewrapped = [each for row in rows if (each := self._rewrapped(row, kind, version, kek))]
                    for each in rewrapped:
                        connection.execute(update, each)
                if not rows:
                    break
                after = rows[-1]["owner"]
                if rewrapped:
                    yield len(rewrapped)

    def _rewrapped(self, row: dict[str, Any], kind: str, version: int, kek: bytes) -> tuple[bytes, int, str] | None:
        """Return what is written for a wrapped key under the given version, None when it cannot be opened."""
        tenant, owner = row["partner_id"], row["owner"]
        with suppress(Unreadable):
            key = self._unwrap(tenant, owner, bytes(row["wrapped"]), row["kek_version"], kind)
            return _seal(kek, key, _aad(tenant, owner, kind, "-", version)), version, owner
        return None

    def left(self, version: int) -> int:
        """Return how many wrapped keys are not under the given key-encryption key."""
        row = self._database.one(_LEFT, (version, version))
        return row["keys"] if row else 0


def _aad(tenant: str, account_id: str, kind: str, record: str, version: int) -> bytes:
    return "|".join(("watchword/v1", tenant, account_id, kind, record, str(version))).encode()


def _seal(key: bytes, plain: bytes, aad: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, aad)


def _open(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], aad)
    except (InvalidTag, ValueError):  # ValueError: cut too short to hold a nonce
        raise Unreadable("a sealed secret was changed, moved, or sealed under another key") from None
