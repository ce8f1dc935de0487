"""Which facts somebody has to hear of by mail."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.facts import (
    Disabled,
    Enforced,
    Factor,
    Initiator,
    Locked,
    MailKind,
    Purpose,
    ResetConfirmed,
    ResetMailRepeated,
    ResetRequested,
    SignInLocked,
    Verified,
)
from domain.kernel import Fact


class Audience(StrEnum):
    """Who is told."""

    PERSON = "person"
    """The account of which the fact speaks."""
    ADMINISTRATORS = "administrators"
    """The owners, super admins and admins of the partner."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One mail that a fact calls for."""

    kind: MailKind
    audience: Audience = Audience.PERSON
    link_id: str | None = None
    expires_at: datetime | None = None


TOPICS = frozenset(
    {
        ResetRequested.TOPIC,
        ResetConfirmed.TOPIC,
        ResetMailRepeated.TOPIC,
        Verified.TOPIC,
        Disabled.TOPIC,
        Locked.TOPIC,
        SignInLocked.TOPIC,
        Enforced.TOPIC,
    }
)
"""The only facts that a notifier has to read."""


def notice_for(fact: Fact) -> Notice | None:
    """Return the mail that the fact calls for, or None."""
    match fact:
        case ResetRequested():
            return Notice(MailKind.RESET_REQUESTED, link_id=fact.reset_id, expires_at=fact.expires_at)
        case ResetConfirmed(by=Initiator.ADMINISTRATOR):
            return Notice(MailKind.RESET_BY_ADMINISTRATOR, link_id=fact.reset_id, expires_at=fact.expires_at)
        case ResetConfirmed():
            return Notice(MailKind.MFA_RESET)
        case ResetMailRepeated():
            by_person = fact.by is Initiator.PERSON
            kind = MailKind.RESET_REQUESTED if by_person else MailKind.RESET_BY_ADMINISTRATOR
            return Notice(kind, link_id=fact.reset_id, expires_at=fact.expires_at)
        case Verified(purpose=Purpose.SETUP):
            return Notice(MailKind.MFA_ACTIVATED)
        case Disabled(was=Factor.ACTIVE):
            return Notice(MailKind.MFA_SWITCHED_OFF)
        case Locked():
            return Notice(MailKind.LOCKED)
        case SignInLocked():
            return Notice(MailKind.LOCKED, link_id=fact.unlock_id, expires_at=fact.until)
        case Enforced():
            return Notice(MailKind.ENFORCED, audience=Audience.ADMINISTRATORS)
        case _:
            return None
