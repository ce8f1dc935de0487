"""The schedule of owed mails, and the relay's position, in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from domain.facts import MailKind
from handlers.adapters.postgres.database import Database
from handlers.ports import Postponed, QueuedMail

_COLUMNS = "mail_id, kind, account_id, tenant, because, link_id, expires_at, owed_at, tries"

_TAKE = f"""
    WITH taken AS MATERIALIZED (
        SELECT mail_id FROM mail_queue WHERE state = 'pending' AND next_try <= %s ORDER BY next_try LIMIT %s
        FOR UPDATE SKIP LOCKED)
    UPDATE mail_queue SET next_try = %s WHERE mail_id IN (SELECT mail_id FROM taken) RETURNING {_COLUMNS}"""  # noqa: S608 our own names

_IN_ORDER = """
    WITH held AS MATERIALIZED (SELECT mail_id FROM mail_queue WHERE mail_id = ANY(%s) AND state = 'pending'
        ORDER BY mail_id COLLATE "C" FOR UPDATE)"""
"""Locks the rows in one order: two workers may hold the same mails when a lease ended, and none waits in a ring."""


def _mail(row: dict[str, Any]) -> QueuedMail:
    return QueuedMail(**{**row, "kind": MailKind(row["kind"])})


class PostgresMailQueue:
    """The MailQueue socket's plug."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def processed(self, consumer: str, message_ids: Sequence[str]) -> set[str]:
        """Return those of the messages that had their effect."""
        query = "SELECT message_id FROM processed_message WHERE consumer = %s AND message_id = ANY(%s)"
        return {row["message_id"] for row in self._database.all(query, (consumer, list(message_ids)))}

    def due(self, now: datetime, lease: timedelta, limit: int) -> Sequence[QueuedMail]:
        """Take the next mails that are due, so that no other worker takes them before the lease ends."""
        rows = self._database.all(_TAKE, (now, limit, now + lease))
        return sorted(map(_mail, rows), key=lambda mail: mail.because)

    def give_back(self, mail_ids: Sequence[str], now: datetime) -> None:
        """Let others take these mails at once."""
        statement = f"{_IN_ORDER} UPDATE mail_queue SET next_try = %s WHERE mail_id IN (SELECT mail_id FROM held)"  # noqa: S608
        self._database.run(statement, (list(mail_ids), now))

    def postpone(self, mails: Sequence[Postponed], now: datetime) -> None:
        """Try these again later, a tenth sooner or later than said, so that mails do not come in waves."""
        self._database.run(
            _IN_ORDER + " UPDATE mail_queue q SET tries = p.tries, last_error = p.error,"  # noqa: S608 our own words
            " next_try = p.until + (p.until - %s) * (random() - 0.5) / 5"
            " FROM held JOIN unnest(%s::text[], %s::integer[], %s::timestamptz[], %s::text[]) AS p (mail_id, tries, until, error)"
            " USING (mail_id) WHERE q.mail_id = held.mail_id",
            (
                [each.mail_id for each in mails],
                now,
                [each.mail_id for each in mails],
                [each.tries for each in mails],
                [each.until for each in mails],
                [each.error for each in mails],
            ),
        )

    def dead(self) -> Sequence[QueuedMail]:
        """Return the mails that were given up."""
        query = f"SELECT {_COLUMNS} FROM mail_queue WHERE state = 'dead' ORDER BY owed_at"  # noqa: S608 our own names
        return [_mail(row) for row in self._database.all(query)]


class PostgresRelayPosition:
    """Where the relay has come to."""

    def __init__(self, database: Database, name: str = "relay") -> None:
        self._database = database
        self._name = name

    def get(self) -> int:
        """Return the last position that was published for certain."""
        row = self._database.one("SELECT position FROM relay_position WHERE name = %s", (self._name,))
        return row["position"] if row else 0

    def set(self, position: int) -> None:
        """Remember it."""
        self._database.run(
            "INSERT INTO relay_position (name, position) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            (self._name, position),
        )
