"""The MFA Status column: how far each account has come, and everything else that stands in its row."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, Cursor

from domain import facts as f
from domain.kernel import Envelope
from projections.tables import Rows

NAME = "user_status"
TABLES = {NAME: ("account_id",)}
_COLUMNS = (
    *("account_id", "partner_id", "organization_id", "role", "account_state", "factor", "owed", "since"),
    *("last_verified_at", "locked_until", "position"),
)
_NO_LOCK_ENDS = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
"""Stands in the row of an authenticator that only a reset helps."""


class Fold(Rows):
    """The rows of the accounts that some facts touch."""

    def __init__(self, connection: Connection[Any]) -> None:
        super().__init__(connection, NAME, _COLUMNS)

    def add(self, envelopes: Iterable[Envelope]) -> None:
        """Take in what happened next."""
        happened = [(each.subject_id, each, changed) for each in envelopes if (changed := changes(each.fact, each.at))]
        self.know({account for account, _, _ in happened})
        for account, each, changed in happened:
            changed["position"] = each.position
            if type(each.fact) is f.AccountRegistered:
                self.put({"account_id": account, **changed})
            else:
                self.change(account, changed)


def changes(fact: Any, at: datetime) -> dict[str, object]:  # noqa: ANN401 each case knows the kind
    """Return the columns that a fact about an account sets; the registration sets all."""
    match type(fact):  # not the fact itself: a model takes three times as long to say that it is of another kind
        case f.Verified:  # by far the most frequent one
            if fact.purpose is f.Purpose.SETUP:
                return {"factor": "active", "owed": False, "since": at, "last_verified_at": at, "locked_until": None}
            return {"last_verified_at": at, "locked_until": None}
        case f.AccountRegistered:
            place = {"partner_id": fact.partner_id, "organization_id": fact.organization_id, "role": fact.role.value}
            begun = {"account_state": "open", "factor": "none", "owed": False, "since": at}
            return {**place, **begun, "last_verified_at": None, "locked_until": None}
        case f.AccountMoved:
            return {"organization_id": fact.organization_id, "role": fact.role.value}
        case f.RoleChanged:
            return {"role": fact.role.value}
        case f.AccountDisabled:
            return {"account_state": "disabled"}
        case f.AccountRestored:
            return {"account_state": "open"}
        case f.AccountErased:
            return {"account_state": "erased"}
        case f.Enabled:
            return {"factor": "pending", "since": at}
        case f.Locked:
            return {"locked_until": fact.until or _NO_LOCK_ENDS}
        case f.Unlocked:
            return {"locked_until": None}
        case f.Disabled:
            return {"factor": "none", "owed": False, "since": at}
        case f.ResetConfirmed:
            owed = fact.by is f.Initiator.ADMINISTRATOR
            return {"factor": "pending" if owed else "none", "owed": owed, "since": at, "locked_until": None}
        case _:
            return {}


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
    as_of: int | None = None
    """A position of the log: how the rows stood there, under the names of today; None: how they stand now."""


FEW = 10_000
"""So many matching rows are sorted by name; among more, the names are walked in order until the page is full."""
_WHOLE_TRIGRAM = 3
"""Shorter words are in no trigram index."""

_WORDS = "(lower(n.name) LIKE %(words)s OR n.mail_key LIKE %(words)s)"
_LIVE = """
    JOIN LATERAL (SELECT * FROM user_status WHERE account_id = n.account_id LIMIT 1) u
        ON u.account_state <> 'erased'"""
_PEOPLE_THEN = """(SELECT account_id, partner_id, name, mail_address, mail_key FROM person UNION ALL
    SELECT account_id, partner_id, 'erased account', '', '' FROM user_status e WHERE account_state = 'erased'
        AND NOT EXISTS (SELECT FROM person WHERE account_id = e.account_id)) n"""
"""Whose names there are today, and those who were erased since: the past has them as long as they were there."""
_LIVE_FEW = "SELECT u.account_id FROM user_status u WHERE u.partner_id = %(partner)s AND {conditions}"
_LIVE_REST = """
    JOIN partner_policy p ON p.partner_id = n.partner_id
    LEFT JOIN LATERAL (SELECT kind, state, settled_at, tries FROM mail_state WHERE account_id = n.account_id
        AND kind IN ('reset_requested', 'reset_by_administrator') ORDER BY because DESC LIMIT 1) m ON true"""
_PAST = """
    JOIN LATERAL (SELECT *, NULL::timestamptz AS last_verified_at FROM status_interval
        WHERE account_id = n.account_id AND from_position <= %(as_of)s ORDER BY from_position DESC LIMIT 1) u
        ON u.account_state <> 'erased'"""
_PAST_FEW = """
    (SELECT u.account_id FROM status_interval u WHERE u.partner_id = %(partner)s AND {conditions}
        AND u.from_position <= %(as_of)s AND u.to_position > %(as_of)s LIMIT %(more)s) UNION ALL
    (SELECT u.account_id FROM status_interval u WHERE u.partner_id = %(partner)s AND {conditions}
        AND u.from_position <= %(as_of)s AND u.to_position IS NULL LIMIT %(more)s)"""
_PAST_REST = """
    JOIN LATERAL (SELECT * FROM policy_interval WHERE partner_id = n.partner_id AND from_position <= %(as_of)s
        ORDER BY from_position DESC LIMIT 1) p ON true
    CROSS JOIN (SELECT NULL AS kind, NULL AS state, NULL::timestamptz AS settled_at, NULL::integer AS tries) m"""
"""The same columns at a position of the log; nothing is kept of when somebody verified last and what became of mails."""


def page(connection: Connection[Any], wanted: Filter) -> list[dict[str, Any]]:
    """Return one page of a partner's users."""
    return ask_page(connection, wanted).fetchall()


def ask_page(connection: Connection[Any], wanted: Filter) -> Cursor[Any]:
    """Ask for a page of users. Requirement and mail state are joined, so that enforcing rewrites no row."""
    key, order = _key(wanted), "DESC" if wanted.descending else "ASC"
    source, rest = (_LIVE, _LIVE_REST) if wanted.as_of is None else (_PAST, _PAST_REST)
    people = _people(wanted)
    query = f"""
        WITH {_chosen(wanted, source, f'ORDER BY {key} COLLATE "C" {order}, n.account_id {order}')}
        SELECT n.account_id, n.name, n.mail_address AS email, u.role, u.organization_id AS organization,
            o.name AS organization_name, u.factor, u.owed, u.since, u.last_verified_at, u.locked_until, u.account_state,
            {key} AS sort_key, CASE WHEN u.factor = 'active' THEN 'Active' ELSE 'Inactive' END AS mfa_status,
            CASE WHEN u.organization_id IS NULL THEN p.enforce_partner_users ELSE p.enforce_organizations END AS required,
            EXISTS (SELECT FROM audit_entry x WHERE x.topic = 'unknown' AND x.account_id = n.account_id) AS unreadable,
            m.kind AS mail_kind, m.state AS mail_state, m.settled_at AS mail_settled_at, m.tries AS mail_tries
        FROM chosen JOIN {people} USING (account_id) {source} {rest}
        LEFT JOIN organization_access o ON o.organization_id = u.organization_id
        ORDER BY {key} COLLATE "C" {order}, n.account_id {order}"""  # noqa: S608 our own words
    # Planned for these very values: what is quick for a small partner takes seconds for a large one.
    return connection.execute(query, _values(wanted), prepare=False)


def _chosen(wanted: Filter, source: str, order: str) -> str:
    """Return the tables in which the page's account ids are found, the last one named ``chosen``.

    Each way to few rows is tried when the one before it led to many.
    """
    of_status, of_person = _conditions(wanted)
    conditions = ["n.partner_id = %(partner)s", *of_person, *of_status]
    tables: list[str] = []
    found: list[str] = []
    many = "true"
    for number, way in enumerate(_ways(wanted, of_status)):
        few, count = f"few_{number}", f"(SELECT count(*) FROM few_{number})"  # noqa: S608 our own words
        tables.append(f"{few} AS MATERIALIZED (SELECT account_id FROM ({way}) w WHERE {many} LIMIT %(more)s), ")  # noqa: S608 our own words
        found.append(
            _found(
                f"{few} JOIN {_people(wanted)} USING (account_id) {source}", [*conditions, f"{count} <= {FEW}"], order
            )
        )
        many = f"{count} > {FEW}"
        conditions.append(many)
    found.append(_found(f"{_people(wanted)} {source}", conditions, order))
    return f"{''.join(tables)}chosen AS MATERIALIZED ({' UNION ALL '.join(found)})"


def _found(tables: str, conditions: list[str], order: str) -> str:
    return f"(SELECT n.account_id FROM {tables} WHERE {' AND '.join(conditions)} {order} LIMIT %(limit)s)"  # noqa: S608 our own words


def _ways(wanted: Filter, of_status: list[str]) -> list[str]:
    """Return what an index can tell of the accounts that match."""
    ways = []
    if wanted.mfa_status or wanted.role or (wanted.organization_id and wanted.as_of is None):
        way = _LIVE_FEW if wanted.as_of is None else _PAST_FEW
        ways.append(way.format(conditions=" AND ".join(of_status)))
    if wanted.words and len(wanted.words) >= _WHOLE_TRIGRAM:
        ways.append(f"SELECT n.account_id FROM {_people(wanted)} WHERE n.partner_id = %(partner)s AND {_WORDS}")  # noqa: S608 our own words
    return ways


def _people(wanted: Filter) -> str:
    """Return the table of people, as ``n``."""
    return "person n" if wanted.as_of is None else _PEOPLE_THEN


def _key(wanted: Filter) -> str:
    return "n.mail_key" if wanted.by_address else "lower(n.name)"


def _conditions(wanted: Filter) -> tuple[list[str], list[str]]:
    """Return what is asked of the account's status, and what of the person."""
    of_status, of_person = [], []
    if wanted.mfa_status is not None:
        of_status.append("u.factor = 'active'" if wanted.mfa_status == "Active" else "u.factor IN ('none', 'pending')")
    if wanted.organization_id is not None:
        of_status.append("u.organization_id = %(organization)s")
    if wanted.role is not None:
        of_status.append("u.role = %(role)s")
    if wanted.words:
        of_person.append(_WORDS)
    if wanted.after is not None:
        than = "<" if wanted.descending else ">"
        of_person.append(f'({_key(wanted)} COLLATE "C", n.account_id) {than} (%(after_key)s, %(after_id)s)')
    return of_status, of_person


def _values(wanted: Filter) -> dict[str, object]:
    words = (wanted.words or "").lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    after_key, after_id = wanted.after or (None, None)
    return {
        "partner": wanted.partner_id,
        "organization": wanted.organization_id,
        "role": wanted.role,
        "words": f"%{words}%",
        "after_key": after_key,
        "after_id": after_id,
        "limit": wanted.limit,
        "more": FEW + 1,
        "as_of": wanted.as_of,
    }


def overdue(connection: Connection[Any], partner_id: str, *, partner_users: bool, limit: int) -> list[dict[str, Any]]:
    """Return those of one population who have no active authenticator, the longest waiting first."""
    query = """
        SELECT u.account_id, coalesce(n.name, '') AS name, u.role, o.name AS organization_name, u.since
        FROM user_status u LEFT JOIN person n USING (account_id)
            LEFT JOIN organization_access o ON o.organization_id = u.organization_id
        WHERE u.partner_id = %s AND (u.organization_id IS NULL) = %s AND u.factor <> 'active' AND u.account_state = 'open'
        ORDER BY u.since, u.account_id LIMIT %s"""
    return connection.execute(query, (partner_id, partner_users, limit)).fetchall()


_ORGANIZATIONS = """
    SELECT CASE WHEN NOT EXISTS (SELECT FROM organization_access WHERE partner_id = %s OFFSET %s) THEN (SELECT
        coalesce(array_agg(ARRAY[organization_id, name] ORDER BY lower(name) COLLATE "C", organization_id), '{}')
        FROM organization_access WHERE partner_id = %s) END AS found"""


def ask_organizations(connection: Connection[Any], partner_id: str, most: int) -> Cursor[Any]:
    """Ask for id and name of a partner's organizations, by name, as ``found``; None when there are more than so many."""
    return connection.execute(_ORGANIZATIONS, (partner_id, most, partner_id))
