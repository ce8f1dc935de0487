"""The messages of the stream: each tells of one fact, as a CloudEvent 1.0 in binary mode."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from domain.kernel import FACTS, Envelope

STREAM = "WATCHWORD"
NOTIFIER = "notifier"
ID = "watchword:"
"""How the id of a message begins; the fact's position follows."""
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
        "ce-type": f"watchword.{envelope.fact.versioned_topic()}",
        "ce-sequence": str(envelope.position),
        "ce-version": str(envelope.version),
        **{name: value for name, value in written.items() if value},
        "content-type": "application/json",
        "Nats-Msg-Id": message_id,
    }
    return f"watchword.{envelope.fact.TOPIC}", envelope.fact.model_dump_json().encode(), headers


def envelope_of(headers: Mapping[str, Any], body: bytes) -> Envelope:
    """Return the envelope of a message. Raises KeyError or ValueError for one that is not ours."""
    given = {name.removeprefix("ce-"): unquote(str(value)) for name, value in headers.items() if name.startswith("ce-")}
    return Envelope(
        fact=FACTS[given["type"].removeprefix("watchword.")].model_validate_json(body),
        stream=given["subject"],
        version=int(given["version"]),
        at=datetime.fromisoformat(given["time"]),
        actor=given["actor"],
        tenant=given.get("tenant", ""),
        command_id="",
        correlation_id=given.get("correlationid", ""),
        position=int(given["sequence"]),
    )
