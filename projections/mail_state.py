"""What became of each mail: owed, sent, or given up. Administrators see it beside the person."""

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from domain import facts as f
from domain.kernel import Envelope
from projections.tables import Rows

NAME = "mail_state"
TABLES = {NAME: ("mail_id",)}
_COLUMNS = (
    *("mail_id", "account_id", "partner_id", "kind", "because", "state", "tries", "error", "owed_at", "settled_at"),
    "position",
)
_ABOUT = (f.MailOwed, f.MailSent, f.MailGivenUp, f.MailRequeued)


class Fold(Rows):
    """The rows of the mails that some facts touch."""

    def __init__(self, connection: Connection[Any]) -> None:
        super().__init__(connection, NAME, _COLUMNS)

    def add(self, envelopes: Iterable[Envelope]) -> None:
        """Take in what happened next."""
        happened = [each for each in envelopes if type(each.fact) in _ABOUT]
        self.know(each.subject_id for each in happened)
        for each in happened:
            fact = each.fact
            settled = {"settled_at": each.at, "position": each.position}
            match fact:
                case f.MailOwed():
                    self.put(_owed(each, fact))
                case f.MailSent():
                    self.change(each.subject_id, {"state": "sent", "tries": fact.tries, "error": "", **settled})
                case f.MailGivenUp():
                    tried = {"tries": fact.tries, "error": fact.error}
                    self.change(each.subject_id, {"state": "given_up", **tried, **settled})
                case f.MailRequeued():
                    anew = {"state": "owed", "tries": 0, "error": "", **settled, "settled_at": None}
                    self.change(each.subject_id, anew)


def _owed(envelope: Envelope, fact: f.MailOwed) -> dict[str, object]:
    whom = {"mail_id": envelope.subject_id, "account_id": fact.account_id, "partner_id": envelope.tenant}
    why = {"kind": fact.kind.value, "because": fact.because, "state": "owed", "tries": 0, "error": ""}
    return {**whom, **why, "owed_at": envelope.at, "settled_at": None, "position": envelope.position}
