"""The schedule of owed mails, and the relay's position, in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from domain.facts import MailKind
from handlers.adapters.postgres.database import Database
from handlers.ports import QueuedMail

_COLUMNS = "mail_id, kind, account_id, tenant, because, link_id, expires_at, owed_at, tries"


def _mail(row: dict[str, Any]) -> QueuedMail:
    return QueuedMail(**{**row, "kind": MailKind(row["kind"])})


class PostgresMailQueue:
    """The MailQueue socket's plug."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def processed(self, consumer: str, message_id: str) -> bool:
        """Say whether a message had its effect."""
        query = "SELECT FROM processed_message WHERE consumer = %s AND message_id = %s"
        return self._database.one(query, (consumer, message_id)) is not None

    def due(self, now: datetime, lease: timedelta) -> QueuedMail | None:
        """Take the next mail that is due, so that no other worker takes it before the lease ends."""
        row = self._database.one(
            f"UPDATE mail_queue SET next_try = %s WHERE mail_id = (SELECT mail_id FROM mail_queue"  # noqa: S608 our own names
            " WHERE state = 'pending' AND next_try <= %s ORDER BY next_try LIMIT 1 FOR UPDATE SKIP LOCKED)"
            f" RETURNING {_COLUMNS}",
            (now + lease, now),
        )
        return _mail(row) if row else None

    def postpone(self, mail_id: str, *, tries: int, now: datetime, until: datetime, error: str) -> None:
        """Try again later, a tenth sooner or later than said, so that mails do not come in waves."""
        self._database.run(
            "UPDATE mail_queue SET tries = %s, last_error = %s,"
            " next_try = %s::timestamptz + (%s::timestamptz - %s) * (random() - 0.5) / 5"
            " WHERE mail_id = %s AND state = 'pending'",
            (tries, error, until, until, now, mail_id),
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
