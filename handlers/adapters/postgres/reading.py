"""Stored bytes to envelopes, without checking again what was checked when it was written.

A fact is told by its topic, and each topic's bytes have one shape: msgspec decodes them straight into the fact's own
values, several times as fast as a model that checks them. What does not have the shape of its topic is refused.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import asdict
from pydantic import BaseModel

from domain.kernel import FACTS, Envelope, Fact

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


def envelopes(stored: Iterable[Stored]) -> list[Envelope]:
    """Return the envelopes of stored facts, each fact in its newest shape."""
    found = []
    for position, stream, version, topic, state in stored:
        fact_of, decode = _shape(topic)
        told = decode(state)
        found.append(_envelope(fact_of(told.fact), stream, version, told, position))
    return found


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
_put_fact = _slot(Envelope, "fact")
_put_stream = _slot(Envelope, "stream")
_put_version = _slot(Envelope, "version")
_put_at = _slot(Envelope, "at")
_put_actor = _slot(Envelope, "actor")
_put_tenant = _slot(Envelope, "tenant")
_put_command_id = _slot(Envelope, "command_id")
_put_correlation_id = _slot(Envelope, "correlation_id")
_put_ip_prefix = _slot(Envelope, "ip_prefix")
_put_session = _slot(Envelope, "session")
_put_position = _slot(Envelope, "position")


def _envelope(fact: Fact, stream: str, version: int, told: _Told, position: int) -> Envelope:
    """Return an envelope: what its own ``__init__`` gives, which is half as fast since each value passes a guard."""
    envelope: Envelope = object.__new__(Envelope)
    _put_fact(envelope, fact)
    _put_stream(envelope, stream)
    _put_version(envelope, version)
    _put_at(envelope, told.at)
    _put_actor(envelope, told.actor)
    _put_tenant(envelope, told.tenant)
    _put_command_id(envelope, told.command_id)
    _put_correlation_id(envelope, told.correlation_id)
    _put_ip_prefix(envelope, told.ip_prefix)
    _put_session(envelope, told.session)
    _put_position(envelope, position)
    return envelope
