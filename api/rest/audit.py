"""The log of one partner, for reviewers: ``/partners/{id}/audit``."""

from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel

from api.auditing import AuditEntry, entries
from api.doors import SIGNED_IN, Admit, Asked
from api.past import AsOf, bad, moment_of
from api.rest import json_doors
from api.rest.answers import MinPosition
from domain.kernel import FACTS
from domain.permissions import Action
from handlers import policy
from handlers.shapes import Id
from projections import audit_trail, status_history

router = json_doors("audit")
VIEWS = (audit_trail.NAME, status_history.NAME)
TOPICS = sorted({kind.TOPIC for kind in FACTS.values()})


class AuditAnswer(BaseModel):
    """One page of the log, newest first."""

    items: list[AuditEntry]
    next_cursor: str | None
    position: int
    lag_ms: int


@router.get("/partners/{partner_id}/audit")
def read_audit(
    partner_id: Id,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="audit"))],
    *,
    account: Id | None = None,
    actor: Annotated[str | None, Query(max_length=120, pattern=r"^[^\x00-\x1f]*$", examples=["account:acc-7"])] = None,
    topic: Annotated[str | None, Query(max_length=60, examples=["user_mfa.reset_confirmed", "user_mfa."])] = None,
    from_: Annotated[AsOf, Query(alias="from")] = None,
    to: AsOf = None,
    cursor: Annotated[str | None, Query(max_length=19)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    min_position: MinPosition = None,
) -> AuditAnswer:
    """Return what happened at a partner in words and in data, refused attempts and readings included."""
    policy.allowed(partner_id, Action.SEE_AUDIT, asked.caller, asked.s)
    wanted = audit_trail.Filter(
        partner_id,
        account_id=account,
        actor=actor,
        topic=known_topic(topic),
        after=after_of(from_, asked),
        until=until_of(to, cursor, asked),
        limit=limit + 1,
    )
    position, lag = asked.wait(min_position, *VIEWS)
    found = entries(asked.watchword, wanted)
    following = str(found[limit - 1].position - 1) if len(found) > limit else None
    return AuditAnswer(items=found[:limit], next_cursor=following, position=position, lag_ms=lag)


def known_topic(topic: str | None) -> str | None:
    """Return the topic, or refuse one that no fact has."""
    if topic is None or topic in TOPICS or (topic.endswith(".") and any(each.startswith(topic) for each in TOPICS)):
        return topic
    raise bad("query", "topic", "give the topic of a fact such as user_mfa.verified, or its first part with the dot")


def after_of(text: str | None, asked: Asked) -> int:
    """Return the position behind which a span begins."""
    moment = moment_of(text, asked, "from", begins=True)
    return moment.position if moment else 0


def until_of(text: str | None, cursor: str | None, asked: Asked) -> int | None:
    """Return the position at which a page ends."""
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal()):
        raise bad("query", "cursor", "take the next_cursor of the page before")
    moment = moment_of(text, asked, "to")
    ends = [int(cursor)] if cursor else []
    return min([*ends, *([moment.position] if moment else [])], default=None)
