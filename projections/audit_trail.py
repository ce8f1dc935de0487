"""Which fact concerns whom: the reviewers' index over the whole log. What happened itself is read from the log."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from domain import facts as f
from domain.kernel import Envelope
from projections.tables import insert, looked_up

NAME = "audit_trail"
TABLES = {"audit_entry": ("position",)}
_COLUMNS = ("position", "partner_id", "account_id", "actor", "topic", "stream")
UNKNOWN = "unknown"
"""The topic in the entry of a fact that could not be read when it was folded. Nothing is decided on its stream."""
_LATER_OF_A_MAIL = (f.MailSent, f.MailGivenUp, f.MailRequeued)
"""Only the first fact of a mail says whom it is for."""


class Fold:
    """An entry for each fact."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._entries: list[tuple[object, ...]] = []
        self._mails: dict[str, tuple[str, str | None]] = {}
        """Partner and account of each mail."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, envelopes: Iterable[Envelope]) -> None:
        """Take in what happened next."""
        happened = [(each, type(each.fact)) for each in envelopes]
        self._know(each.stream for each, kind in happened if kind in _LATER_OF_A_MAIL)
        for each, kind in happened:
            whom: tuple[str, str | None] | None = (each.tenant, _account(each))
            if kind in _LATER_OF_A_MAIL:
                whom = self._mails.get(each.stream)
            elif whom and kind is f.MailOwed:
                self._mails[each.stream] = whom
            if whom:
                self._entries.append((each.position, *whom, each.actor, kind.TOPIC or UNKNOWN, each.stream))

    def _know(self, streams: Iterable[str]) -> None:
        missing = set(streams) - self._mails.keys()
        columns = ("stream", "partner_id", "account_id")
        for row in looked_up(self._connection, "audit_entry", columns, missing, "topic = 'mail.owed'"):
            self._mails[row["stream"]] = (row["partner_id"], row["account_id"])

    def write(self) -> None:
        """Bring the table to where the facts have led."""
        insert(self._connection, "audit_entry", _COLUMNS, self._entries)


def _account(envelope: Envelope) -> str | None:
    """Return the account that a fact concerns."""
    fact = envelope.fact
    if type(fact) in _WITH_ACCOUNT:
        account: str | None = fact.account_id  # type: ignore[attr-defined]
        return account
    aggregate, _, subject = envelope.stream.partition(":")
    return subject if aggregate in {"account", "user_mfa"} else None


_WITH_ACCOUNT = (f.AttemptRefused, f.MailOwed)
"""They say themselves whom they concern."""


def unreadable(connection: Connection[Any], limit: int) -> list[dict[str, Any]]:
    """Return position and stream of the first facts of all partners that could not be read when they were folded."""
    query = "SELECT position, stream FROM audit_entry WHERE topic = 'unknown' ORDER BY position LIMIT %s"
    return connection.execute(query, (limit,)).fetchall()


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
