"""What each account and each policy looked like at any position of the log, and how adoption grew.

``status_interval`` and ``policy_interval`` hold a row for each span in which nothing visible changed. When somebody
verified last is no part of it: a row for each sign-in would let the history grow for nothing.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from psycopg import Connection

from domain import facts as f
from domain.kernel import Envelope
from projections import log_minute
from projections.partner_policy import DEMANDS
from projections.spans import Fold

__all__ = [
    "NAME",
    "TABLES",
    "Fold",
    "adoption_of",
    "policy_at",
    "position_at",
    "reasons_at",
    "status_at",
    "sums",
]

NAME = "status_history"
TABLES = {
    "status_interval": ("account_id", "from_position"),
    "policy_interval": ("partner_id", "from_position"),
    "adoption": ("partner_id", "population", "day"),
}
READ_AT_ONCE = 500
"""Facts in one reading of the log, where an instant is looked for."""

_BEFORE = """
    SELECT w.* FROM status_interval w WHERE w.account_id = n.account_id AND w.from_position < n.from_position
    ORDER BY w.from_position DESC LIMIT 1"""
"""The span that ended when the span ``n`` began."""
_COUNTED = """
    SELECT partner_id, CASE WHEN organization_id IS NULL THEN 'partner_users' ELSE 'organizations' END AS population, day,
        sign AS accounts, CASE factor WHEN 'active' THEN sign ELSE 0 END AS active,
        CASE factor WHEN 'pending' THEN sign ELSE 0 END AS pending
    FROM sides WHERE account_state = 'open'"""
_SIDES = f"""
    SELECT partner_id, organization_id, account_state, factor, day, sign FROM opened n UNION ALL
    SELECT w.partner_id, w.organization_id, w.account_state, w.factor, n.day, -n.sign
    FROM opened n CROSS JOIN LATERAL ({_BEFORE}) w"""  # noqa: S608 our own words
"""Each span that opened counts where it stands, and no longer where the span before it stood."""


def policy_at(connection: Connection[Any], partner_id: str, position: int) -> dict[str, Any] | None:
    """Return what a partner demanded at a position, None before it was there."""
    query = """
        SELECT partner_id, enforce_partner_users, enforce_organizations, version, changed_at, changed_by,
            from_position, from_at, to_position, to_at
        FROM policy_interval WHERE partner_id = %s AND from_position <= %s ORDER BY from_position DESC LIMIT 1"""
    found: dict[str, Any] | None = connection.execute(query, (partner_id, position)).fetchone()
    return found


def status_at(connection: Connection[Any], partner_id: str, account_id: str, position: int) -> dict[str, Any] | None:
    """Return an account of a partner as it stood at a position, None before it was there."""
    query = """
        SELECT account_id, partner_id, organization_id, role, account_state, factor, owed, since, locked_until,
            from_position, from_at, to_position, to_at
        FROM status_interval WHERE account_id = %s AND partner_id = %s AND from_position <= %s
        ORDER BY from_position DESC LIMIT 1"""
    found: dict[str, Any] | None = connection.execute(query, (account_id, partner_id, position)).fetchone()
    return found


def adoption_of(connection: Connection[Any], partner_id: str, until: date | None = None) -> list[dict[str, Any]]:
    """Return how many open accounts stood where at the end of each UTC day that touched them, in order."""
    query = """
        SELECT day, population, (sum(accounts) OVER days)::bigint AS accounts, (sum(active) OVER days)::bigint AS active,
            (sum(pending) OVER days)::bigint AS pending
        FROM adoption WHERE partner_id = %(partner)s AND day <= coalesce(%(until)s::date, 'infinity')
        WINDOW days AS (PARTITION BY population ORDER BY day) ORDER BY day, population"""
    return connection.execute(query, {"partner": partner_id, "until": until}).fetchall()


_SUMS = """
    SELECT population, coalesce(sum(accounts), 0)::bigint AS accounts, coalesce(sum(active), 0)::bigint AS active,
        coalesce(sum(pending), 0)::bigint AS pending
    FROM (VALUES ('organizations'), ('partner_users')) AS p (population) LEFT JOIN counted USING (population)
    GROUP BY 1 ORDER BY 1"""
_NOW = f"WITH counted AS (SELECT * FROM adoption WHERE partner_id = %(partner)s) {_SUMS}"  # noqa: S608 our own words
_PAST = f"""
    WITH place AS (
        SELECT coalesce((SELECT (minute AT TIME ZONE 'UTC')::date FROM log_minute WHERE first_position <= %(position)s
            ORDER BY first_position DESC LIMIT 1), '-infinity') AS day
    ), days AS (
        SELECT DISTINCT a.day, a.day < place.day AS whole FROM adoption a, place WHERE a.partner_id = %(partner)s
    ), opened AS (
        SELECT n.*, d.day, -1 AS sign FROM days d JOIN status_interval n ON n.partner_id = %(partner)s
            AND (n.from_at AT TIME ZONE 'UTC')::date = d.day AND n.from_position > %(position)s WHERE d.whole
        UNION ALL
        SELECT n.*, d.day, 1 FROM days d JOIN status_interval n ON n.partner_id = %(partner)s
            AND (n.from_at AT TIME ZONE 'UTC')::date = d.day AND n.from_position <= %(position)s WHERE NOT d.whole
    ), sides AS ({_SIDES}), counted AS (
        SELECT a.* FROM adoption a JOIN days d USING (day) WHERE d.whole AND a.partner_id = %(partner)s
        UNION ALL {_COUNTED}) {_SUMS}"""  # noqa: S608 our own words
"""The days before the position's as they were added up, without what stands behind it, and the rest one by one.
Which day that is decides how many are counted one by one, never what the sum is: minutes may lag behind."""


def sums(connection: Connection[Any], partner_id: str, position: int | None = None) -> list[dict[str, Any]]:
    """Return how many open accounts of each population stand where, now or at a position."""
    query = _NOW if position is None else _PAST
    return connection.execute(query, {"partner": partner_id, "position": position}, prepare=False).fetchall()


_FROM_WHERE = """
    SELECT (SELECT first_position - 1 FROM log_minute WHERE minute = %(minute)s) AS within,
        (SELECT first_position - 1 FROM log_minute WHERE minute > %(minute)s ORDER BY minute LIMIT 1) AS later,
        (SELECT notification_id FROM notification_tracking WHERE application_name = %(name)s) AS folded"""


def position_at(connection: Connection[Any], read: Callable[[int, int], Sequence[Envelope]], instant: datetime) -> int:
    """Return the position that belongs to an instant: the greatest P such that every fact up to P happened by then.

    Facts are not quite in the order of their times, since several machines' clocks make them. What happened by the
    instant but stands behind a fact that happened after it is no part of that past.
    """
    values = {"minute": log_minute.minute_of(instant), "name": log_minute.NAME}
    place: dict[str, Any] = connection.execute(_FROM_WHERE, values).fetchone() or {}
    position: int = place["folded"] or 0
    if place["within"] is not None:
        position = place["within"]
    elif place["later"] is not None:
        return int(place["later"])
    while page := read(position, READ_AT_ONCE):
        for envelope in page:
            if envelope.at > instant:
                return envelope.position - 1
        position = page[-1].position
    return position


_REASONS = """
    SELECT min(s.from_position) AS position FROM status_interval s
    WHERE s.account_id = %(account)s AND s.partner_id = %(partner)s AND s.from_position <= %(position)s
        AND s.from_position > coalesce((SELECT max(w.from_position) FROM status_interval w
            WHERE w.account_id = s.account_id AND w.from_position <= %(position)s AND w.factor <> %(factor)s), 0)
    UNION
    SELECT min(p.from_position) FROM policy_interval p
    WHERE p.partner_id = %(partner)s AND p.from_position <= %(position)s
        AND p.from_position > coalesce((SELECT max(w.from_position) FROM policy_interval w
            WHERE w.partner_id = p.partner_id AND w.from_position <= %(position)s AND w.{demand} <> %(demanded)s), 0)"""


def reasons_at(
    connection: Connection[Any], account: dict[str, Any], demands: dict[str, Any], position: int
) -> list[int]:
    """Return where the account's factor and the demand upon it became what they were at a position."""
    demand = DEMANDS[f.Population.PARTNER_USERS if account["organization_id"] is None else f.Population.ORGANIZATIONS]
    values = {"account": account["account_id"], "partner": account["partner_id"], "position": position}
    values |= {"factor": account["factor"], "demanded": demands[demand]}
    rows = connection.execute(_REASONS.format(demand=demand), values).fetchall()  # one of our two column names
    return sorted(row["position"] for row in rows if row["position"])
