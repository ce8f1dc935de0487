"""The MFA Status column: how far each account has come, and everything else that stands in its row."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, Cursor

from domain import facts as f
from domain.kernel import Envelope

NAME = "user_status"
TABLES = ("user_status",)
_NO_LOCK_ENDS = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
"""Stands in the row of an authenticator that only a reset helps."""

_REGISTERED = """
    INSERT INTO user_status (account_id, partner_id, organization_id, role, account_state, factor, owed, since, position)
    VALUES (%(account)s, %(partner)s, %(organization)s, %(role)s, 'open', 'none', false, %(at)s, %(position)s)"""


def fold(cursor: Cursor[Any], envelopes: Iterable[Envelope]) -> None:
    """Bring the rows to where the facts have led."""
    for envelope in envelopes:
        fact = envelope.fact
        if isinstance(fact, f.AccountRegistered):
            place = {"partner": fact.partner_id, "organization": fact.organization_id, "role": fact.role.value}
            stamp = {"account": envelope.subject_id, "at": envelope.at, "position": envelope.position}
            cursor.execute(_REGISTERED, {**place, **stamp})
        else:
            _update(cursor, envelope, _changes(fact, envelope.at))


def _changes(fact: object, at: datetime) -> dict[str, object]:
    """Return the columns that a fact changes."""
    match fact:
        case f.AccountMoved():
            return {"organization_id": fact.organization_id, "role": fact.role.value}
        case f.RoleChanged():
            return {"role": fact.role.value}
        case f.AccountDisabled():
            return {"account_state": "disabled"}
        case f.AccountRestored():
            return {"account_state": "open"}
        case f.AccountErased():
            return {"account_state": "erased"}
        case f.Enabled():
            return {"factor": "pending", "since": at}
        case f.Verified(purpose=f.Purpose.SETUP):
            active = {"factor": "active", "owed": False, "since": at}
            return {**active, "last_verified_at": at, "locked_until": None}
        case f.Verified():
            return {"last_verified_at": at, "locked_until": None}
        case f.Locked():
            return {"locked_until": fact.until or _NO_LOCK_ENDS}
        case f.Unlocked():
            return {"locked_until": None}
        case f.Disabled():
            return {"factor": "none", "owed": False, "since": at}
        case f.ResetConfirmed():
            owed = fact.by is f.Initiator.ADMINISTRATOR
            return {"factor": "pending" if owed else "none", "owed": owed, "since": at, "locked_until": None}
        case _:
            return {}


def _update(cursor: Cursor[Any], envelope: Envelope, changes: dict[str, object]) -> None:
    if changes:
        columns = ", ".join(f"{name} = %({name})s" for name in (*changes, "position"))
        values = {**changes, "position": envelope.position, "account": envelope.subject_id}
        cursor.execute(f"UPDATE user_status SET {columns} WHERE account_id = %(account)s", values)  # noqa: S608 our own names


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows of a partner are wanted, and in which order."""

    partner_id: str
    mfa_status: str | None = None
    """``Active`` or ``Inactive``."""
    organization_id: str | None = None
    role: str | None = None
    words: str | None = None
    """Part of a name or mail address."""
    by_address: bool = False
    descending: bool = False
    after: tuple[str, str] | None = None
    """The sort key and account id of the row before the page."""
    limit: int = 50


def page(connection: Connection[Any], wanted: Filter) -> list[dict[str, Any]]:
    """Return one page of a partner's users. Requirement and mail state are joined, so that enforcing rewrites no row."""
    key = "n.mail_key" if wanted.by_address else "lower(n.name)"
    order, than = ("DESC", "<") if wanted.descending else ("ASC", ">")
    conditions, values = _conditions(wanted)
    if wanted.after is not None:
        conditions.append(f'({key} COLLATE "C", n.account_id) {than} (%(after_key)s, %(after_id)s)')
        values |= {"after_key": wanted.after[0], "after_id": wanted.after[1]}
    query = f"""
        SELECT u.account_id, n.name, n.mail_address AS email, u.role, u.organization_id AS organization, u.factor,
            u.owed, u.since, u.last_verified_at, u.locked_until, u.account_state, {key} AS sort_key,
            CASE WHEN u.factor = 'active' THEN 'Active' ELSE 'Inactive' END AS mfa_status,
            CASE WHEN u.organization_id IS NULL THEN p.enforce_partner_users ELSE p.enforce_organizations END AS required,
            m.kind AS mail_kind, m.state AS mail_state, m.settled_at AS mail_settled_at, m.tries AS mail_tries
        FROM person n JOIN user_status u USING (account_id) JOIN partner_policy p ON p.partner_id = u.partner_id
        LEFT JOIN LATERAL (SELECT kind, state, settled_at, tries FROM mail_state WHERE account_id = u.account_id
            AND kind IN ('reset_requested', 'reset_by_administrator') ORDER BY because DESC LIMIT 1) m ON true
        WHERE {" AND ".join(conditions)}
        ORDER BY {key} COLLATE "C" {order}, n.account_id {order} LIMIT %(limit)s"""  # noqa: S608 our own words
    return connection.execute(query, values).fetchall()


def _conditions(wanted: Filter) -> tuple[list[str], dict[str, object]]:
    conditions = ["n.partner_id = %(partner)s", "u.partner_id = %(partner)s"]
    values: dict[str, object] = {"partner": wanted.partner_id, "limit": wanted.limit}
    if wanted.mfa_status is not None:
        conditions.append("u.factor = 'active'" if wanted.mfa_status == "Active" else "u.factor <> 'active'")
    if wanted.organization_id is not None:
        conditions.append("u.organization_id = %(organization)s")
        values["organization"] = wanted.organization_id
    if wanted.role is not None:
        conditions.append("u.role = %(role)s")
        values["role"] = wanted.role
    if wanted.words:
        conditions.append("(lower(n.name) LIKE %(words)s OR n.mail_key LIKE %(words)s)")
        escaped = wanted.words.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values["words"] = f"%{escaped}%"
    return conditions, values


def sums(connection: Connection[Any], partner_id: str) -> list[dict[str, Any]]:
    """Return how many accounts of a partner stand where, by population and factor."""
    query = """
        SELECT CASE WHEN u.organization_id IS NULL THEN 'partner_users' ELSE 'organizations' END AS population,
            u.factor, count(*) AS accounts,
            CASE WHEN u.organization_id IS NULL THEN p.enforce_partner_users ELSE p.enforce_organizations END AS required
        FROM user_status u JOIN partner_policy p USING (partner_id)
        WHERE u.partner_id = %s AND u.account_state = 'open' GROUP BY 1, 2, 4 ORDER BY 1, 2"""
    return connection.execute(query, (partner_id,)).fetchall()
