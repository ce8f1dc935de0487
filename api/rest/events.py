"""The log for programs of the portal: a feed to pull, and sums over ranges by which a consumer proves that it missed nothing.

What comes here is what the message stream carries, so that reading it is not recorded as a look into records.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from api.bootstrap import data_of, ledger
from api.doors import Admit, Asked
from api.export_proofs import tenant_of
from api.past import bad
from api.refusals import NotAmongThese
from api.rest import json_doors
from domain.kernel import Envelope
from domain.merkle import leaf_hash
from handlers.ports import StoredFact

router = json_doors("events")
WIDEST = 100_000
"""Positions of one range: about a second of hashing. Ours; the consumer's part asks for a longer one piece by piece."""
LOOKED_AT = 10_000
"""Facts that are read for one page of the feed; after so many of other partners the consumer asks again."""
_PAGE = 1_000
_EVERY_PARTNER = "*"
Consumer = Annotated[Asked, Depends(Admit((), service="audit"))]


class RangeAnswer(BaseModel):
    """How many facts stand in a range of positions, and one hash for all of them."""

    first: int = Field(serialization_alias="from")
    to: int
    count: int
    hash: str = Field(description="Hexadecimal.", examples=[hashlib.sha256(b"").hexdigest()])


class Event(BaseModel):
    """A fact as a CloudEvent, with the same names as on the message stream, and the hash of its leaf in the ledger."""

    specversion: str = "1.0"
    id: str = Field(examples=["watchword:42"])
    source: str
    type: str = Field(examples=["watchword.user_mfa.verified.v1"])
    subject: str = Field(examples=["user_mfa:acc-7"])
    time: datetime
    datacontenttype: str = "application/json"
    tenant: str
    sequence: str = Field(description="The position in the log.", examples=["42"])
    actor: str
    correlationid: str
    version: int = Field(description="The fact's number within its subject.")
    leafhash: str = Field(description="Hexadecimal; what `/events/range` hashes.")
    data: dict[str, Any]


class FeedAnswer(BaseModel):
    """One page of the feed, in the order of the log."""

    items: list[Event]
    next: int = Field(description="Ask for what comes after this position next time, whether or not there were items.")
    more: bool = Field(description="The log goes on after that: ask again at once.")
    position: int = Field(description="The newest position of the log.")


@router.get("/events/range")
def sums_of_a_range(
    asked: Consumer,
    first: Annotated[int, Query(alias="from", ge=1, le=2**62)],
    to: Annotated[int, Query(ge=1, le=2**62)],
) -> RangeAnswer:
    """Return count and hash of the facts at the positions from the one to the other, both of them included.

    The hash is SHA-256 over the leaf hashes of these facts, 32 bytes each, one after the other in position order. A
    leaf hash is SHA-256 over the byte 0 and the fact's leaf, as in the ledger (RFC 6962 section 2.1). A token that is
    bound to a partner gets count and hash of that partner's facts alone. Positions that were never used do not count.
    """
    last = asked.at(asked.s.store.last_position())
    if not first <= to <= last:
        raise bad("query", "to", f"end at {first} or later; the log has {last} positions so far")
    if to - first >= WIDEST:
        raise bad("query", "to", f"ask for {WIDEST} positions at most")
    total, count = hashlib.sha256(), 0
    for fact in _facts(asked, first - 1, to):
        if _may_see(asked, fact):
            total.update(leaf_hash(fact.leaf()))
            count += 1
    return RangeAnswer(first=first, to=to, count=count, hash=total.hexdigest())


@router.get("/events")
def feed(
    asked: Consumer,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> FeedAnswer:
    """Return the next facts after a position. A token that is bound to a partner gets that partner's facts alone."""
    last = asked.at(asked.s.store.last_position())
    if after > last:
        raise bad("query", "after", f"the log has {last} positions so far: take the next of the page before")
    found: list[StoredFact] = []
    end = after
    for number, fact in enumerate(_facts(asked, after, last)):
        if number == LOOKED_AT or len(found) == limit:
            break
        end = fact.position
        if _may_see(asked, fact):
            found.append(fact)
    envelopes = asked.s.store.at([fact.position for fact in found])
    items = [_event(fact, each, asked) for fact, each in zip(found, envelopes, strict=True)]
    return FeedAnswer(items=items, next=end, more=end < last, position=last)


def _facts(asked: Asked, after: int, until: int) -> Iterator[StoredFact]:
    """Return the rows of the log after a position, up to another one."""
    tree = ledger(asked.watchword).tree
    while page := tree.facts(after, until, _PAGE):
        yield from page
        after = page[-1].position


def _may_see(asked: Asked, fact: StoredFact) -> bool:
    if asked.caller.service is None:
        raise NotAmongThese
    return asked.caller.service.partner_id in {_EVERY_PARTNER, tenant_of(fact)}


def _event(fact: StoredFact, envelope: Envelope, asked: Asked) -> Event:
    return Event(
        id=f"watchword:{fact.position}",
        source=asked.watchword.settings.public_url,
        type=f"watchword.{envelope.topic}",
        subject=fact.stream,
        time=envelope.at,
        tenant=envelope.tenant,
        sequence=str(fact.position),
        actor=envelope.actor,
        correlationid=envelope.correlation_id,
        version=fact.version,
        leafhash=leaf_hash(fact.leaf()).hex(),
        data=data_of(envelope),
    )
