"""A vault with a key file of its own, and secrets in it."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from api.bootstrap import Watchword
from domain.facts import SetupStarted
from handlers.adapters.keyring import Keyring
from handlers.adapters.vault import SealedVault
from handlers.ports import Change, SecretKept
from tests.contract.plugs import NOON, origin

ACCOUNTS = {"dist-owner": "dist", "dist-admin": "dist", "resell-owner": "resell", "dist-org-user": "dist"}


@dataclass
class Safe:
    """A vault with a key file of its own, on the test directory."""

    watchword: Watchword
    key_file: Path
    keyring: Keyring
    vault: SealedVault

    def keep(self, account_id: str, secret_ref: str, secret: str) -> SecretKept:
        """Seal the secret and store it with its fact, as the set-up does."""
        tenant, stream = ACCOUNTS[account_id], f"user_mfa:{account_id}"
        row = self.vault.seal(tenant=tenant, account_id=account_id, secret_ref=secret_ref, secret=secret)
        self.append(account_id, secret_ref, row, len(self.watchword.store.history(stream)))
        return row

    def append(self, account_id: str, secret_ref: str, row: SecretKept, after: int) -> None:
        expires = NOON + timedelta(minutes=10)
        started = SetupStarted(setup_id=secret_ref, secret_ref=secret_ref, session="ses-1", expires_at=expires)
        change = Change(f"user_mfa:{account_id}", after, [started], ACCOUNTS[account_id])
        self.watchword.store.append(change, origin=origin(), rows=[row])

    def open(self, account_id: str, secret_ref: str, tenant: str | None = None) -> str:
        return self.vault.open(tenant=tenant or ACCOUNTS[account_id], account_id=account_id, secret_ref=secret_ref)

    def versions(self) -> list[int]:
        rows = self.watchword.database.all("SELECT kek_version FROM data_key ORDER BY kek_version")
        return [row["kek_version"] for row in rows]
