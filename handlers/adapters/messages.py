"""The messages of the stream: each tells of one fact, as a CloudEvent 1.0 in binary mode."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import orjson

from domain.kernel import Envelope
from domain.merkle import leaf_hash
from handlers.ports import StoredFact

STREAM = "WATCHWORD"
NOTIFIER = "notifier"
ID = "watchword:"
"""How the id of a message begins; the fact's position follows."""
LEAF_HASH = "ce-leafhash"
"""The header with the hash of the fact's leaf in the ledger: by it a consumer tells the fact from a forged message."""
_SAFE = ":/.@+-_|*"
_PLAIN = re.compile(r"[A-Za-z0-9:/.@+\-_|*~]*")
"""What stays as it is in a header of a CloudEvent; everything else is percent-encoded."""


def message_of(envelope: Envelope, source: str) -> tuple[str, bytes, dict[str, str]]:
    """Return subject, body and headers of the message that tells of a fact."""
    message_id = f"{ID}{envelope.position}"
    written = {
        "ce-subject": envelope.stream,
        "ce-time": envelope.at.isoformat(),
        "ce-tenant": envelope.tenant,
        "ce-actor": envelope.actor,
        "ce-correlationid": envelope.correlation_id,
    }
    if not _PLAIN.fullmatch("".join(written.values())):
        written = {name: quote(value, safe=_SAFE) for name, value in written.items()}
    headers = {
        "ce-id": message_id,
        "ce-source": quote(source, safe=_SAFE),
        "ce-specversion": "1.0",
        "ce-type": f"watchword.{envelope.topic}",
        "ce-sequence": str(envelope.position),
        "ce-version": str(envelope.version),
        **{name: value for name, value in written.items() if value},
        **({LEAF_HASH: leaf_hash_of(envelope)} if envelope.stored else {}),
        "content-type": "application/json",
        "Nats-Msg-Id": message_id,
    }
    return f"watchword.{_subject(envelope)}", _body(envelope), headers


def _subject(envelope: Envelope) -> str:
    """Return the topic without its version, in the words that a subject may have."""
    return envelope.kind if re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", envelope.kind) else "unknown"


def _body(envelope: Envelope) -> bytes:
    """Return the fact as JSON."""
    return envelope.fact.model_dump_json().encode() if envelope.fact.TOPIC else orjson.dumps(data_of(envelope))


def data_of(envelope: Envelope) -> dict[str, Any]:
    """Return the fact's own fields; of one that this release cannot read as they are stored, none where it is damaged."""
    if envelope.fact.TOPIC:
        return envelope.fact.model_dump(mode="json")
    try:
        data = orjson.loads(envelope.stored)["fact"]
    except (ValueError, KeyError, TypeError):
        return {}
    return data if isinstance(data, dict) else {}


def leaf_hash_of(envelope: Envelope) -> str:
    """Return the hash of the fact's leaf in the ledger, hexadecimal: SHA-256 over the byte 0 and the fact's row."""
    row = StoredFact(envelope.position, envelope.stream, envelope.version, envelope.stored_topic, envelope.stored)
    return leaf_hash(row.leaf()).hex()


def place_of(headers: Mapping[str, str] | None) -> tuple[int, str]:
    """Return the position and the stream that a message names; the log says the rest. Raises ValueError without them.

    Nothing else is read, so that messages of older and newer releases are understood.
    """
    given = headers or {}
    position, stream = given.get("ce-sequence", ""), unquote(given.get("ce-subject", ""))
    if not re.fullmatch(r"[0-9]{1,18}", position) or not stream:
        raise ValueError("a message names no position and stream of the log")
    return int(position), stream


def tells_the_same(headers: Mapping[str, str] | None, body: bytes, envelope: Envelope) -> bool:
    """Say whether a message tells of this fact, and of nothing else; messages of older releases have no leaf hash."""
    given, (_, right_body, right) = headers or {}, message_of(envelope, "")
    names = ("ce-id", "ce-subject", "ce-sequence", "ce-version", "ce-type")
    same_fact = all(given.get(name) == right[name] for name in names) and body == right_body
    return same_fact and given.get(LEAF_HASH) in {None, right.get(LEAF_HASH)}
