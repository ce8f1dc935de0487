"""What each partner demands, as the policy page and the users' requirement read it."""

from collections.abc import Iterable
from typing import Any

from psycopg import Connection, Cursor

from domain import facts as f
from domain.kernel import Envelope

NAME = "partner_policy"
TABLES = ("partner_policy",)

_COLUMN = {
    f.Population.PARTNER_USERS: "enforce_partner_users",
    f.Population.ORGANIZATIONS: "enforce_organizations",
}
_CHANGED = """
    UPDATE partner_policy SET {change} version = version + 1, changed_at = %s, changed_by = %s, position = %s
    WHERE partner_id = %s"""


def fold(cursor: Cursor[Any], envelopes: Iterable[Envelope]) -> None:
    """Bring the rows to where the facts have led."""
    for envelope in envelopes:
        fact = envelope.fact
        stamp = (envelope.at, envelope.actor, envelope.position, envelope.subject_id)
        match fact:
            case f.PartnerRegistered():
                cursor.execute(
                    "INSERT INTO partner_policy (partner_id, enforce_partner_users, enforce_organizations, version,"
                    " position) VALUES (%s, false, false, 0, %s)",
                    (envelope.subject_id, envelope.position),
                )
            case f.Enforced():
                cursor.execute(_CHANGED.format(change=f"{_COLUMN[fact.population]} = true,"), stamp)
            case f.EnforcementLifted():
                cursor.execute(_CHANGED.format(change=f"{_COLUMN[fact.population]} = false,"), stamp)
            case f.EveryoneSignedOut():
                cursor.execute(_CHANGED.format(change=""), stamp)


def of_partner(connection: Connection[Any], partner_id: str) -> dict[str, Any] | None:
    """Return the demands of one partner."""
    query = """
        SELECT partner_id, enforce_partner_users, enforce_organizations, version, changed_at, changed_by
        FROM partner_policy WHERE partner_id = %s"""
    found: dict[str, Any] | None = connection.execute(query, (partner_id,)).fetchone()
    return found
