"""Envelopes to stored bytes, and those back to envelopes without checking again what was checked when it was written.

A fact is told by its topic, and each topic's bytes have one shape: msgspec decodes them straight into the fact's own
values, several times as fast as a model that checks them. What does not have the shape of its topic is an unknown fact.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
import orjson
from eventsourcing.persistence import Mapper, Notification, StoredEvent
from msgspec.structs import asdict
from pydantic import BaseModel

from domain.kernel import FACTS, NO_TIME, Envelope, Fact, Unknown

UPCASTS: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {}
"""For each older versioned topic: its fact as data, to the next versioned topic and that fact as data."""
Stored = tuple[int, str, int, str, bytes | str]
"""Position, stream, version, versioned topic, bytes or the text that they are."""
COLUMNS = "notification_id, originator_id, originator_version, topic, state"
"""The same, as the table of the log names them."""


class _Told(msgspec.Struct, gc=False):
    """What the bytes hold beside the fact, under the names of the envelope."""

    fact: Any
    at: datetime
    actor: str
    tenant: str
    command_id: str
    correlation_id: str = ""
    ip_prefix: str = ""
    session: str = ""


class EnvelopeMapper(Mapper[str]):
    """Turns envelopes into stored bytes and back. The topic outlives every file and class."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """Return the stored form of an envelope."""
        envelope: Envelope = domain_event
        state = {
            "fact": envelope.fact.model_dump(mode="json"),
            "at": envelope.at,
            "actor": envelope.actor,
            "tenant": envelope.tenant,
            "command_id": envelope.command_id,
            "correlation_id": envelope.correlation_id,
            "ip_prefix": envelope.ip_prefix,
            "session": envelope.session,
        }
        return StoredEvent(
            originator_id=envelope.stream,
            originator_version=envelope.version,
            topic=envelope.fact.versioned_topic(),
            state=orjson.dumps(state),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Return the envelope of stored bytes, its fact brought to the newest shape."""
        position = stored_event.id if isinstance(stored_event, Notification) else 0
        stream, version = str(stored_event.originator_id), stored_event.originator_version
        return envelopes([(position, stream, version, stored_event.topic, stored_event.state)])[0]


def envelopes(stored: Iterable[Stored]) -> list[Envelope]:
    """Return the envelopes of stored facts, each fact in its newest shape."""
    found = []
    for row in stored:
        *_, topic, state = row
        try:
            fact_of, decode = _shape(topic)
            told = decode(state)
            fact = fact_of(told.fact)
        except UNREADABLE:
            fact, told = UNKNOWN, _what_can_be_read(state)
        found.append(_envelope(fact, told, row))
    return found


UNKNOWN = Unknown()
UNREADABLE = (KeyError, TypeError, ValueError, msgspec.MsgspecError)
"""Raised where a fact's topic is unknown, or its bytes do not have the shape of their topic."""


def _what_can_be_read(state: bytes | str) -> _Told:
    """Return what stands beside a fact that cannot be read; of damaged bytes nothing."""
    try:
        return msgspec.json.decode(state, type=_Told)
    except UNREADABLE:
        return _Told(fact=None, at=NO_TIME, actor="", tenant="", command_id="")


@cache
def _shape(topic: str) -> tuple[Callable[[Any], Fact], Callable[[bytes | str], Any]]:
    """Return how the bytes under a topic are read, and how their fact is made."""
    if topic in UPCASTS:
        return lambda data: _upcast(topic, data), msgspec.json.Decoder(_Told).decode
    kind = FACTS[topic]
    values = [
        (name, field.annotation) if field.is_required() else (name, field.annotation, field.default)
        for name, field in kind.model_fields.items()
    ]
    shape = msgspec.defstruct(kind.__name__, values, kw_only=True, forbid_unknown_fields=True)
    told = msgspec.defstruct("Told", [("fact", shape)], bases=(_Told,), kw_only=True, gc=False)
    return _maker(kind), msgspec.json.Decoder(told).decode


def _upcast(topic: str, data: dict[str, Any]) -> Fact:
    while topic in UPCASTS:
        topic, data = UPCASTS[topic](data)
    return FACTS[topic].model_validate(data)


def _maker(kind: type[Fact]) -> Callable[[Any], Fact]:
    """Return what makes a fact of values that have its shape, in the way in which pydantic makes one of a pickle."""
    new, fields = object.__new__, set(kind.model_fields)

    def made(values: Any) -> Fact:
        fact = new(kind)
        _put_values(fact, asdict(values))
        _put_fields(fact, fields)
        _put_extra(fact, None)
        _put_private(fact, None)
        return fact

    return made


def _slot(owner: type, name: str) -> Callable[[object, object], None]:
    put: Callable[[object, object], None] = owner.__dict__[name].__set__
    return put


_put_values = _slot(BaseModel, "__dict__")
_put_fields = _slot(BaseModel, "__pydantic_fields_set__")
_put_extra = _slot(BaseModel, "__pydantic_extra__")
_put_private = _slot(BaseModel, "__pydantic_private__")


class _Open:
    """An envelope that is still being filled. A frozen one lets each value pass a guard, which takes four times as long."""

    __slots__ = Envelope.__slots__


def _envelope(fact: Fact, told: _Told, row: Stored) -> Envelope:
    """Return an envelope: what its own ``__init__`` gives. The filled one turns into it: both have one layout."""
    envelope: Any = _Open()
    envelope.fact = fact
    envelope.position, envelope.stream, envelope.version, envelope.stored_topic, state = row
    envelope.at = told.at
    envelope.actor = told.actor
    envelope.tenant = told.tenant
    envelope.command_id = told.command_id
    envelope.correlation_id = told.correlation_id
    envelope.ip_prefix = told.ip_prefix
    envelope.session = told.session
    envelope.stored = state if isinstance(state, bytes) else state.encode()
    envelope.__class__ = Envelope
    closed: Envelope = envelope
    return closed
