"""What became of each mail: owed, sent, or given up. Administrators see it beside the person."""

from collections.abc import Iterable
from typing import Any

from psycopg import Cursor

from domain import facts as f
from domain.kernel import Envelope

NAME = "mail_state"
TABLES = ("mail_state",)

_OWED = """
    INSERT INTO mail_state (mail_id, account_id, partner_id, kind, because, state, tries, error, owed_at, position)
    VALUES (%s, %s, %s, %s, %s, 'owed', 0, '', %s, %s)"""
_SETTLED = "UPDATE mail_state SET state = %s, tries = %s, error = %s, settled_at = %s, position = %s WHERE mail_id = %s"


def fold(cursor: Cursor[Any], envelopes: Iterable[Envelope]) -> None:
    """Bring the rows to where the facts have led."""
    for envelope in envelopes:
        fact, stamp = envelope.fact, (envelope.at, envelope.position, envelope.subject_id)
        match fact:
            case f.MailOwed():
                owed = (envelope.subject_id, fact.account_id, envelope.tenant, fact.kind.value, fact.because)
                cursor.execute(_OWED, (*owed, envelope.at, envelope.position))
            case f.MailSent():
                cursor.execute(_SETTLED, ("sent", fact.tries, "", *stamp))
            case f.MailGivenUp():
                cursor.execute(_SETTLED, ("given_up", fact.tries, fact.error, *stamp))
            case f.MailRequeued():
                cursor.execute(_SETTLED, ("owed", 0, "", None, envelope.position, envelope.subject_id))
