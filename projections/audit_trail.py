"""Which fact concerns whom: the reviewers' index over the whole log. What happened itself is read from the log."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, Cursor

from domain import facts as f
from domain.kernel import Envelope

NAME = "audit_trail"
TABLES = ("audit_entry",)

_ENTRY = """
    INSERT INTO audit_entry (position, partner_id, account_id, actor, topic, stream)
    VALUES (%(position)s, %(partner)s, %(account)s, %(actor)s, %(topic)s, %(stream)s)"""
_OF_A_MAIL = """
    INSERT INTO audit_entry (position, partner_id, account_id, actor, topic, stream)
    SELECT %(position)s, partner_id, account_id, %(actor)s, %(topic)s, stream FROM audit_entry
    WHERE stream = %(stream)s AND topic = 'mail.owed'"""
"""Only the first fact of a mail says whom it is for."""


def fold(cursor: Cursor[Any], envelopes: Iterable[Envelope]) -> None:
    """Bring the rows to where the facts have led."""
    for envelope in envelopes:
        fact = envelope.fact
        values = {
            "position": envelope.position,
            "partner": envelope.tenant,
            "account": _account(envelope),
            "actor": envelope.actor,
            "topic": fact.TOPIC,
            "stream": envelope.stream,
        }
        later_of_mail = isinstance(fact, f.MailSent | f.MailGivenUp | f.MailRequeued)
        cursor.execute(_OF_A_MAIL if later_of_mail else _ENTRY, values)


def _account(envelope: Envelope) -> str | None:
    """Return the account that a fact concerns."""
    fact = envelope.fact
    if isinstance(fact, f.AttemptRefused | f.MailOwed):
        return fact.account_id
    return envelope.subject_id if envelope.aggregate in {"account", "user_mfa"} else None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries of a partner are wanted, newest first."""

    partner_id: str
    account_id: str | None = None
    """Whom it concerns."""
    actor: str | None = None
    """Who did it, such as ``account:acc-7``."""
    topic: str | None = None
    """A topic, or the beginning of topics with a dot at its end."""
    after: int = 0
    until: int | None = None
    """Positions after the one, and up to the other."""
    limit: int = 50


def page(connection: Connection[Any], wanted: Filter) -> list[dict[str, Any]]:
    """Return positions, newest first, with whom they concern and the version of the policy that held then."""
    conditions = ["e.partner_id = %(partner)s", "e.position > %(after)s"]
    values: dict[str, object] = {"partner": wanted.partner_id, "after": wanted.after, "limit": wanted.limit}
    for name, value, condition in (
        ("until", wanted.until, "e.position <= %(until)s"),
        ("account", wanted.account_id, "e.account_id = %(account)s"),
        ("actor", wanted.actor, "e.actor = %(actor)s"),
        (
            "topic",
            wanted.topic,
            "e.topic LIKE %(topic)s" if (wanted.topic or "").endswith(".") else "e.topic = %(topic)s",
        ),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = (
                f"{value.replace('_', chr(92) + '_')}%" if "LIKE" in condition and isinstance(value, str) else value
            )
    query = f"""
        SELECT e.position, e.account_id, e.topic, p.version AS policy_version
        FROM audit_entry e LEFT JOIN LATERAL (SELECT version FROM policy_interval
            WHERE partner_id = e.partner_id AND from_position <= e.position ORDER BY from_position DESC LIMIT 1) p ON true
        WHERE {" AND ".join(conditions)} ORDER BY e.position DESC LIMIT %(limit)s"""  # noqa: S608 our own words
    return connection.execute(query, values, prepare=False).fetchall()
