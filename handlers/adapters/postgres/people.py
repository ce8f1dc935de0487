"""Accounts, partners and passwords in PostgreSQL, read from the tables that are written together with the facts."""

from collections.abc import Sequence
from typing import Any

from domain.facts import PartnerType, Role
from handlers.adapters.postgres.database import Database
from handlers.ports import AccountEntry, Credential

ENTRY = """
    a.account_id, a.partner_id, a.organization_id, a.role, a.disabled, a.generation,
    p.name AS partner_name, p.type AS partner_type, o.name AS organization_name,
    CASE WHEN a.organization_id IS NULL THEN p.partner_users_generation ELSE p.organizations_generation END
        AS population_generation,
    coalesce(n.name, '') AS person_name, coalesce(n.mail_address, '') AS mail_address, n.credential_id"""
"""The columns of an AccountEntry."""
JOINS = """
    JOIN partner_access p ON p.partner_id = a.partner_id
    LEFT JOIN organization_access o ON o.organization_id = a.organization_id
    LEFT JOIN person n ON n.account_id = a.account_id"""
"""What they come from, beside ``account_access a``."""


def entry(row: dict[str, Any]) -> AccountEntry:
    """Return the account of a row."""
    return AccountEntry(
        account_id=row["account_id"],
        partner_id=row["partner_id"],
        partner_name=row["partner_name"],
        partner_type=PartnerType(row["partner_type"]),
        organization_id=row["organization_id"],
        organization_name=row["organization_name"],
        role=Role(row["role"]),
        disabled=row["disabled"],
        generation=row["generation"],
        population_generation=row["population_generation"],
        name=row["person_name"],
        mail_address=row["mail_address"],
        credential_id=str(row["credential_id"]) if row["credential_id"] else None,
    )


class PostgresPeople:
    """The People socket's plug for PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _entries(self, condition: str, *values: object) -> list[AccountEntry]:
        query = f"SELECT {ENTRY} FROM account_access a {JOINS} WHERE {condition}"  # noqa: S608 our own words
        return [entry(row) for row in self._database.all(query, values)]

    def account(self, account_id: str) -> AccountEntry | None:
        """Return one account."""
        return next(iter(self._entries("a.account_id = %s", account_id)), None)

    def accounts(self, account_ids: Sequence[str]) -> Sequence[AccountEntry]:
        """Return those of the accounts that exist, in the order of their ids."""
        return self._entries("a.account_id = ANY(%s) ORDER BY a.account_id", list(account_ids))

    def partner_type(self, partner_id: str) -> PartnerType | None:
        """Return the partner's type, None for an unknown partner."""
        row = self._database.one("SELECT type FROM partner_access WHERE partner_id = %s", (partner_id,))
        return PartnerType(row["type"]) if row else None

    def partner_name(self, partner_id: str) -> str:
        """Return the partner's name, nothing for an unknown partner."""
        row = self._database.one("SELECT name FROM partner_access WHERE partner_id = %s", (partner_id,))
        return str(row["name"]) if row else ""

    def credentials(self, mail_key: str) -> Sequence[Credential]:
        """Return the distinct passwords behind a mail address."""
        query = "SELECT credential_id, password_hash FROM credential WHERE mail_key = %s ORDER BY credential_id"
        rows = self._database.all(query, (mail_key,))
        return [Credential(str(row["credential_id"]), row["password_hash"]) for row in rows]

    def accounts_behind(self, mail_key: str, credential_ids: Sequence[str]) -> Sequence[AccountEntry]:
        """Return the open accounts with this mail address and one of these passwords, in the order of their names."""
        condition = "n.mail_key = %s AND n.credential_id = ANY(%s::uuid[]) AND NOT a.disabled"
        return self._entries(
            f"{condition} ORDER BY p.name, o.name NULLS FIRST, a.account_id", mail_key, list(credential_ids)
        )

    def account_with(self, mail_key: str) -> AccountEntry | None:
        """Return the first account with this mail address, whatever its password."""
        return next(
            iter(self._entries("n.mail_key = %s AND NOT a.disabled ORDER BY a.account_id LIMIT 1", mail_key)), None
        )

    def administrators(self, partner_id: str) -> Sequence[str]:
        """Return the ids of the partner's open owner, super admin and admin accounts."""
        query = (
            "SELECT account_id FROM account_access WHERE partner_id = %s AND NOT disabled"
            " AND role IN ('owner', 'super_admin', 'admin') ORDER BY account_id"
        )
        return [row["account_id"] for row in self._database.all(query, (partner_id,))]
