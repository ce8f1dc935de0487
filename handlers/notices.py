"""The notification process, first half: a fact that somebody has to hear of becomes a mail that is owed."""

import uuid
from collections.abc import Sequence

from domain.facts import MailOwed
from domain.kernel import Envelope
from domain.notices import Audience, Notice, notice_for
from handlers.ports import Change, Conflict, MailQueue, MessageProcessed, Origin, QueuedMail, Row, Sockets

CONSUMER = "notifier"
"""The lasting name under which processed messages are remembered."""
_MAILS = uuid.UUID("6f0f6a7e-6f3c-5d0a-9c38-6a3f1b1f1a52")
"""The namespace of mail ids: the same fact, kind and person always make the same mail."""


def react(envelopes: Sequence[Envelope], s: Sockets, queue: MailQueue) -> int:
    """Turn facts into the mails that they call for, exactly once, however often a message comes; return how many.

    All of them are owed in one transaction, or each fact by itself when somebody else was quicker with one.
    """
    called = {each.position: each for each in envelopes if notice_for(each.fact) is not None}
    done = queue.processed(CONSUMER, [str(position) for position in called]) if called else set()
    mails = {position: _mails(each, s) for position, each in called.items() if str(position) not in done}
    owed = {position: found for position, found in mails.items() if found}
    if not owed:
        return 0
    rows: list[Row] = [MessageProcessed(CONSUMER, str(position)) for position in owed]
    changes: list[Change] = []
    for position, found in owed.items():
        changes += [_change(mail, called[position].correlation_id) for mail in found]
        rows += found
    origin = Origin(actor="system", command_id="react:" + "+".join(map(str, owed)), at=s.clock.now())
    try:
        s.store.append(*changes, origin=origin, rows=rows)
    except Conflict:
        return sum(react([called[position]], s, queue) for position in owed) if len(owed) > 1 else 0
    return len(changes)


def _mails(envelope: Envelope, s: Sockets) -> list[QueuedMail]:
    notice = notice_for(envelope.fact)
    return [_mail(envelope, notice, person) for person in _people(envelope, notice, s)] if notice else []


def _people(envelope: Envelope, notice: Notice, s: Sockets) -> Sequence[str]:
    if notice.audience is Audience.ADMINISTRATORS:
        return s.people.administrators(envelope.tenant)
    return [envelope.subject_id]


def _mail(envelope: Envelope, notice: Notice, account_id: str) -> QueuedMail:
    return QueuedMail(
        mail_id=str(uuid.uuid5(_MAILS, f"{envelope.position}|{notice.kind}|{account_id}")),
        kind=notice.kind,
        account_id=account_id,
        tenant=envelope.tenant,
        because=envelope.position,
        link_id=notice.link_id,
        expires_at=notice.expires_at,
        owed_at=envelope.at,
    )


def _change(mail: QueuedMail, correlation_id: str) -> Change:
    fact = MailOwed(
        kind=mail.kind,
        account_id=mail.account_id,
        because=mail.because,
        link_id=mail.link_id,
        expires_at=mail.expires_at,
    )
    return Change(f"mail:{mail.mail_id}", 0, [fact], mail.tenant, correlation_id)
