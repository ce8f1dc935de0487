"""How long rows are kept that stand beside the log and are needed for a while only."""

from datetime import datetime, timedelta

from handlers.adapters.postgres.database import Database

COMMANDS_KEPT = timedelta(days=7)
"""The life of an ``Idempotency-Key``: a command that is sent again within it is carried out once. Ours: longer than any
client goes on trying."""
MESSAGES_KEPT = timedelta(days=90)
"""How long a message and the mail that it called for are known, so that the same message calls for nothing again. Ours:
far longer than the message stream keeps a message (7 days)."""
LINKS_KEPT = timedelta(days=30)
"""How long the hash of a mailed link is kept. Ours: every link ends within days, and is answered as an old one until then."""
_RULES = (
    ("command", "at < %s", COMMANDS_KEPT),
    ("processed_message", "at < %s", MESSAGES_KEPT),
    ("mail_queue", "state = 'sent' AND owed_at < %s", MESSAGES_KEPT),
    ("mailed_link", "at < %s", LINKS_KEPT),
)


def forget_old(database: Database, now: datetime) -> int:
    """Delete what is kept no longer, and return how many rows."""
    return sum(database.forget(table, condition, (now - kept,)) for table, condition, kept in _RULES)
