"""Mails that are owed, and messages about facts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from domain.facts import MailKind
from domain.kernel import Envelope
from handlers.ports.log import Row


@dataclass(frozen=True, slots=True)
class QueuedMail(Row):
    """A mail that is owed, with the schedule of its tries."""

    mail_id: str
    kind: MailKind
    account_id: str
    tenant: str
    because: int
    link_id: str | None
    expires_at: datetime | None
    owed_at: datetime
    tries: int = 0


@dataclass(frozen=True, slots=True)
class MessageProcessed(Row):
    """A message had its effect; seen again it has none. Conflict-free: a second row of the same message is a Conflict."""

    consumer: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a mail: it was taken, or given up."""

    mail_id: str
    sent: bool
    tries: int
    error: str


@dataclass(frozen=True, slots=True)
class MailsSettled(Row):
    """Mails leave the schedule. A Conflict when one of them is not in it any more."""

    mails: Sequence[Settled]


@dataclass(frozen=True, slots=True)
class MailReturned(Row):
    """A given-up mail is due again."""

    mail_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Postponed:
    """A try that failed for now."""

    mail_id: str
    tries: int
    until: datetime
    error: str


class MailQueue(Protocol):
    """The mails that are owed, and when each is tried next."""

    def processed(self, consumer: str, message_ids: Sequence[str]) -> set[str]:
        """Return those of the messages that had their effect."""

    def due(self, now: datetime, lease: timedelta, limit: int) -> Sequence[QueuedMail]:
        """Take the next mails that are due, so that no other worker takes them before the lease ends."""

    def give_back(self, mail_ids: Sequence[str], now: datetime) -> None:
        """Let others take these mails at once."""

    def postpone(self, mails: Sequence[Postponed], now: datetime) -> None:
        """Try these again later."""

    def dead(self) -> Sequence[QueuedMail]:
        """Return the mails that were given up."""


class MailRefused(Exception):
    """The mail server refused for good (5xx)."""


class MailDelayed(Exception):
    """The mail server cannot take the mail now; it may later."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail, ready to go; built twice it is the same to the byte."""

    message_id: str
    to: str
    subject: str
    text: str
    html: str
    kind: MailKind
    date: datetime


class Mailer(Protocol):
    """The way to the mail server."""

    async def send(self, mail: Mail) -> None:
        """Hand the mail over. Raises MailRefused or MailDelayed."""


class Broker(Protocol):
    """The way to the message stream."""

    async def last_position(self, tracked: int, fact_at: Callable[[int], Envelope | None]) -> int | None:
        """Return the newest position of the log that the stream's end tells of; 0 when the stream never held a message.

        None when nothing there tells of a fact of ours: all of it aged out, or is foreign. A message counts only if it
        says what ``fact_at`` its position is. ``tracked``: where publishing is believed to have come.
        """

    async def is_at_end(self) -> bool:
        """Say whether the stream still ends with the last message that was published here."""

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish in order after what the stream ends with. Raises Unavailable when somebody else wrote there meanwhile."""
