"""The notification process: a fact that somebody has to hear of becomes a mail that is owed, and then one that was sent."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.facts import MailGivenUp, MailKind, MailOwed, MailRequeued, MailSent
from domain.kernel import Envelope, Fact
from domain.notices import Audience, notice_for
from handlers.letters import letter
from handlers.ports import (
    Change,
    Conflict,
    MailDelayed,
    Mailer,
    MailQueue,
    MailRefused,
    MailReturned,
    MailSettled,
    MessageProcessed,
    Origin,
    QueuedMail,
    Row,
    Sockets,
)

CONSUMER = "notifier"
"""The lasting name under which processed messages are remembered."""
DELAYS = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 300, 1800, 7200))
"""How long a mail waits after each failed try; after the last it is given up. Source: the product's platform findings, F."""
LEASE = timedelta(minutes=2)
"""How long a worker may be busy with a mail before another takes it over."""

_MAILS = uuid.UUID("6f0f6a7e-6f3c-5d0a-9c38-6a3f1b1f1a52")
"""The namespace of mail ids: the same fact, kind and person always make the same mail."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one try."""

    mail_id: str
    outcome: str
    """``sent``, ``postponed`` or ``given_up``."""


def react(envelope: Envelope, s: Sockets, queue: MailQueue) -> int:
    """Turn a fact into the mails that it calls for, exactly once, however often the message comes; return how many."""
    notice = notice_for(envelope.fact)
    message_id = str(envelope.position)
    if notice is None or queue.processed(CONSUMER, message_id):
        return 0
    people = [envelope.subject_id]
    if notice.audience is Audience.ADMINISTRATORS:
        people = list(s.people.administrators(envelope.tenant))
    if not people:
        return 0
    at = s.clock.now()
    changes: list[Change] = []
    rows: list[Row] = [MessageProcessed(CONSUMER, message_id)]
    for account_id in people:
        mail_id = str(uuid.uuid5(_MAILS, f"{envelope.position}|{notice.kind}|{account_id}"))
        mail = QueuedMail(
            mail_id=mail_id,
            kind=notice.kind,
            account_id=account_id,
            tenant=envelope.tenant,
            because=envelope.position,
            link_id=notice.link_id,
            expires_at=notice.expires_at,
            owed_at=envelope.at,
        )
        fact = MailOwed(
            kind=mail.kind,
            account_id=account_id,
            because=mail.because,
            link_id=mail.link_id,
            expires_at=mail.expires_at,
        )
        changes.append(Change(f"mail:{mail_id}", 0, [fact], envelope.tenant))
        rows.append(mail)
    try:
        s.store.append(*changes, origin=_origin(f"react:{message_id}", at, envelope.correlation_id), rows=rows)
    except Conflict:
        return 0
    return len(people)


async def send_next(s: Sockets, queue: MailQueue, mailer: Mailer) -> Tried | None:
    """Try the next mail that is due; None when there is none. Killed anywhere, the mail is tried again, the same to the byte."""
    at = s.clock.now()
    mail = queue.due(at, LEASE)
    if mail is None:
        return None
    tries = mail.tries + 1
    account = s.people.account(mail.account_id)
    if account is None or not account.mail_address:
        return _settle(mail, MailGivenUp(tries=tries, error="no_mail_address"), s)
    if mail.expires_at is not None and mail.link_id and mail.kind is not MailKind.LOCKED and at >= mail.expires_at:
        return _settle(mail, MailGivenUp(tries=tries, error="link_expired"), s)
    secret = None
    if mail.link_id:
        secret = s.keys.link_secret(mail.account_id, mail.link_id)
        s.links.keep(mail.link_id, mail.account_id, s.keys.digest("link hash", secret))
    try:
        await mailer.send(letter(mail, account, secret, s.rules))
    except MailRefused as error:
        return _settle(mail, MailGivenUp(tries=tries, error=str(error)), s)
    except MailDelayed as error:
        if tries > len(DELAYS):
            return _settle(mail, MailGivenUp(tries=tries, error=str(error)), s)
        queue.postpone(mail.mail_id, tries=tries, now=at, until=at + DELAYS[tries - 1], error=str(error))
        return Tried(mail.mail_id, "postponed")
    return _settle(mail, MailSent(tries=tries), s)


def _settle(mail: QueuedMail, fact: MailSent | MailGivenUp, s: Sockets) -> Tried:
    sent = isinstance(fact, MailSent)
    error = "" if isinstance(fact, MailSent) else fact.error
    _append(mail, fact, MailSettled(mail.mail_id, sent=sent, tries=fact.tries, error=error), s)
    return Tried(mail.mail_id, "sent" if sent else "given_up")


def requeue(mail: QueuedMail, s: Sockets) -> int:
    """Put a given-up mail back, due at once."""
    return _append(mail, MailRequeued(), MailReturned(mail.mail_id, s.clock.now()), s, actor="operator")


def _append(mail: QueuedMail, fact: Fact, row: Row, s: Sockets, actor: str = "system") -> int:
    stream = f"mail:{mail.mail_id}"
    _, version = s.store.load(stream, lambda count, _: count + 1, 0)
    change = Change(stream, version, [fact], mail.tenant)
    origin = Origin(actor=actor, command_id=s.chance.new_id(), at=s.clock.now())
    try:
        return s.store.append(change, origin=origin, rows=[row])
    except Conflict:
        # Another worker settled the same mail after this one's lease had ended.
        return s.store.last_position()


def _origin(command_id: str, at: datetime, correlation_id: str) -> Origin:
    return Origin(actor="system", command_id=command_id, at=at, correlation_id=correlation_id)
