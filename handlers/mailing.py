"""The notification process, second half: a mail that is owed is written, tried, and settled as sent or given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.facts import Enforced, MailGivenUp, MailKind, MailRequeued, MailSent, Population
from domain.kernel import Fact
from handlers.letters import letter
from handlers.ports import (
    AccountEntry,
    Change,
    Conflict,
    Link,
    Mail,
    MailDelayed,
    Mailer,
    MailQueue,
    MailRefused,
    MailReturned,
    MailsSettled,
    Origin,
    Postponed,
    QueuedMail,
    Row,
    Settled,
    Sockets,
    StreamUnreadable,
)

DELAYS = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 300, 1800, 7200))
"""How long a mail waits after each failed try; after the last it is given up. Source: the product's platform findings, F."""
UNREADABLE = "stream_unreadable"
"""Noted as the error of a mail whose own facts cannot be read by this release."""
PARKED = timedelta(days=30)
"""How long a mail waits whose own facts cannot be read by this release: it may have been sent, and is not sent again."""
LEASE = timedelta(minutes=2)
"""How long a worker may be busy with a mail before another takes it over."""
_OWED = 1
"""The version of a mail's stream that was never given up: that it is owed, and nothing else."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail that is due and ours alone for a while: what is to be sent, or why it cannot be."""

    queued: QueuedMail
    at: datetime
    mail: Mail | None
    error: str = ""

    def is_ours(self, now: datetime) -> bool:
        """Say whether there is time to send it before another worker may take it over."""
        return now < self.at + LEASE / 2


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one try."""

    queued: QueuedMail
    fact: MailSent | MailGivenUp | None
    """None: it is tried again later."""
    error: str = ""

    @property
    def mail_id(self) -> str:
        """Which mail."""
        return self.queued.mail_id

    @property
    def outcome(self) -> str:
        """``sent``, ``postponed`` or ``given_up``."""
        return "postponed" if self.fact is None else "sent" if isinstance(self.fact, MailSent) else "given_up"


def take(s: Sockets, queue: MailQueue, limit: int) -> list[Taken]:
    """Take mails that are due, and write them. Killed anywhere, they are taken again, the same to the byte."""
    at = s.clock.now()
    due = queue.due(at, LEASE, limit)
    people = {each.account_id: each for each in s.people.accounts([mail.account_id for mail in due])} if due else {}
    taken = [_written(each, people.get(each.account_id), at, s) for each in due]
    s.links.keep([_link(each.queued, s) for each in taken if each.mail and each.queued.link_id])
    return taken


def _written(queued: QueuedMail, account: AccountEntry | None, at: datetime, s: Sockets) -> Taken:
    if account is None or not account.mail_address:
        return Taken(queued, at, None, "no_mail_address")
    if queued.link_id and queued.kind is not MailKind.LOCKED and queued.expires_at and at >= queued.expires_at:
        return Taken(queued, at, None, "link_expired")
    secret = s.keys.link_secret(queued.account_id, queued.link_id) if queued.link_id else None
    return Taken(queued, at, letter(queued, account, secret, s.rules, _population(queued, s)))


def _population(queued: QueuedMail, s: Sockets) -> Population | None:
    """Return of whom MFA is demanded, for the mail that says so."""
    facts = s.store.at([queued.because]) if queued.kind is MailKind.ENFORCED else ()
    return next((each.fact.population for each in facts if isinstance(each.fact, Enforced)), None)


def _link(queued: QueuedMail, s: Sockets) -> Link:
    link_id = queued.link_id or ""
    secret = s.keys.link_secret(queued.account_id, link_id)
    return Link(link_id, queued.account_id, s.keys.digest("link hash", secret), wrong=0)


async def attempt(taken: Taken, mailer: Mailer) -> Tried:
    """Try one mail."""
    queued, tries = taken.queued, taken.queued.tries + 1
    if taken.mail is None:
        return Tried(queued, MailGivenUp(tries=tries, error=taken.error))
    try:
        await mailer.send(taken.mail)
    except MailRefused as error:
        return Tried(queued, MailGivenUp(tries=tries, error=str(error)))
    except MailDelayed as error:
        used_up = tries > len(DELAYS)
        return Tried(queued, MailGivenUp(tries=tries, error=str(error)) if used_up else None, str(error))
    return Tried(queued, MailSent(tries=tries))


def settle(tries: Sequence[Tried], s: Sockets, queue: MailQueue) -> None:
    """Write down what became of these tries, in one transaction; a mail of which more is told settles by itself."""
    now = s.clock.now()
    later = [each for each in tries if each.fact is None]
    if later:
        queue.postpone([_postponed(each, now) for each in later], now)
    settled = [(each.queued, each.fact, _settled(each.queued, each.fact)) for each in tries if each.fact is not None]
    changes = [Change(f"mail:{mail.mail_id}", _OWED, [fact], mail.tenant) for mail, fact, _ in settled]
    if not settled:
        return
    try:
        s.store.append(*changes, origin=_origin("system", s), rows=[MailsSettled([each for _, _, each in settled])])
    except Conflict:
        # One was put back before, or another worker settled it after this one's lease had ended.
        for mail, fact, each in settled:
            try:
                _append(mail, fact, MailsSettled([each]), s)
            except StreamUnreadable:
                queue.postpone([Postponed(mail.mail_id, fact.tries, now + PARKED, UNREADABLE)], now)


def _postponed(tried: Tried, now: datetime) -> Postponed:
    queued = tried.queued
    return Postponed(queued.mail_id, queued.tries + 1, now + DELAYS[queued.tries], tried.error)


def _settled(queued: QueuedMail, fact: MailSent | MailGivenUp) -> Settled:
    error = "" if isinstance(fact, MailSent) else fact.error
    return Settled(queued.mail_id, sent=isinstance(fact, MailSent), tries=fact.tries, error=error)


def requeue(mail: QueuedMail, s: Sockets) -> int:
    """Put a given-up mail back, due at once."""
    return _append(mail, MailRequeued(), MailReturned(mail.mail_id, s.clock.now()), s, actor="operator")


def _append(mail: QueuedMail, fact: Fact, row: Row, s: Sockets, actor: str = "system") -> int:
    stream = f"mail:{mail.mail_id}"
    _, version = s.store.load(stream, lambda count, _: count + 1, 0)
    try:
        return s.store.append(Change(stream, version, [fact], mail.tenant), origin=_origin(actor, s), rows=[row])
    except Conflict:
        # Another worker settled the same mail after this one's lease had ended.
        return s.store.last_position()


def _origin(actor: str, s: Sockets) -> Origin:
    return Origin(actor=actor, command_id=s.chance.new_id(), at=s.clock.now())
