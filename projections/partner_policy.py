"""What each partner demands, as the policy page and the users' requirement read it."""

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from domain import facts as f
from domain.kernel import Envelope
from projections.tables import Rows

NAME = "partner_policy"
TABLES = {NAME: ("partner_id",)}

DEMANDS = {population: f"enforce_{population.value}" for population in f.Population}
"""The column that says whether MFA is demanded of a population."""
FIRST: dict[str, object] = {
    **dict.fromkeys(DEMANDS.values(), False),
    "version": 0,
    "changed_at": None,
    "changed_by": None,
}
"""The policy of a partner that has just joined."""
_COLUMNS = (
    *("partner_id", "enforce_partner_users", "enforce_organizations", "version", "changed_at", "changed_by"),
    "position",
)
ABOUT = (f.PartnerRegistered, f.Enforced, f.EnforcementLifted, f.EveryoneSignedOut)
"""The facts that the policy follows from."""


class Fold(Rows):
    """The rows of the partners that some facts touch."""

    def __init__(self, connection: Connection[Any]) -> None:
        super().__init__(connection, NAME, _COLUMNS)

    def add(self, envelopes: Iterable[Envelope]) -> None:
        """Take in what happened next."""
        happened = [each for each in envelopes if type(each.fact) in ABOUT]
        self.know(each.subject_id for each in happened)
        for each in happened:
            if isinstance(each.fact, f.PartnerRegistered):
                self.put({"partner_id": each.subject_id, **FIRST, "position": each.position})
            elif row := self.get(each.subject_id):
                changed = {**changes(each, row["version"]), "position": each.position}
                self.change(each.subject_id, changed)


def changes(envelope: Envelope, version: int) -> dict[str, object]:
    """Return the columns that a fact about the policy with this version sets; nothing if it is about something else."""
    stamp = {"version": version + 1, "changed_at": envelope.at, "changed_by": envelope.actor}
    match envelope.fact:
        case f.Enforced(population=population):
            return {DEMANDS[population]: True, **stamp}
        case f.EnforcementLifted(population=population):
            return {DEMANDS[population]: False, **stamp}
        case f.EveryoneSignedOut():
            return stamp
        case _:
            return {}


def of_partner(connection: Connection[Any], partner_id: str) -> dict[str, Any] | None:
    """Return the demands of one partner."""
    query = """
        SELECT partner_id, enforce_partner_users, enforce_organizations, version, changed_at, changed_by
        FROM partner_policy WHERE partner_id = %s"""
    found: dict[str, Any] | None = connection.execute(query, (partner_id,)).fetchone()
    return found
