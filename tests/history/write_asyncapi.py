"""Write docs/asyncapi.json, what consumers of the message stream read: ``python -m tests.history.write_asyncapi``."""

import json
from collections.abc import Mapping
from pathlib import Path

from domain.kernel import FACTS, Fact
from handlers.adapters.messages import STREAM
from tests.history.write_schemas import FOLDER, schema_of

FILE = FOLDER.parent / "asyncapi.json"

Shape = dict[str, object]

HEADERS: dict[str, str] = {
    "Nats-Msg-Id": "The id by which the stream knows a repeated message: as `ce-id`, with more after it where that was taken.",
    "content-type": "Always `application/json`.",
    "ce-id": "`watchword:<position>`: with `ce-leafhash`, keep it to recognise a message that comes twice.",
    "ce-source": "The deployment: its public address.",
    "ce-specversion": "Always `1.0`.",
    "ce-type": "`watchword.<topic>.v<version>`: names the shape of the body.",
    "ce-subject": "The stream to which the fact belongs, `<aggregate>:<id>`.",
    "ce-time": "When it happened, in UTC.",
    "ce-tenant": "The partner whose fact it is; left out where there is none.",
    "ce-sequence": "The position in the log, in commit order.",
    "ce-actor": "Who did it: `account:<id>`, `service:<id>`, `operator`, `system` or `anonymous`.",
    "ce-correlationid": "The request behind it (`X-Request-Id`); left out where there is none.",
    "ce-leafhash": "SHA-256 of the fact's leaf in the ledger (RFC 6962), hexadecimal: what `/events/range` hashes.",
    "ce-version": "The fact's number within its stream, from 1.",
}
"""What each message carries beside its body. Values are percent-encoded, but for ``:/.@+-_|*``."""
SOMETIMES = {"ce-tenant", "ce-correlationid"}


def document() -> Shape:
    """Return the whole document."""
    info = {
        "title": "Watchword",
        "version": "1",
        "description": "Every fact of the log, in commit order: CloudEvents 1.0 in binary mode on NATS JetStream.",
    }
    return {
        "asyncapi": "3.0.0",
        "info": info,
        "defaultContentType": "application/json",
        "channels": {topic: _channel(kind) for topic, kind in FACTS.items()},
        "operations": {f"publish.{topic}": _operation(topic) for topic in FACTS},
        "components": {
            "messages": {topic: _message(kind) for topic, kind in FACTS.items()},
            "messageTraits": {"cloudevent": {"contentType": "application/json", "headers": _headers()}},
        },
    }


def _channel(kind: type[Fact]) -> Shape:
    topic = kind.versioned_topic()
    return {
        "address": f"watchword.{kind.TOPIC}",
        "title": schema_of(kind)["title"],
        "messages": {topic: {"$ref": f"#/components/messages/{topic}"}},
        "bindings": {"nats": {"bindingVersion": "0.1.0"}},
    }


def _operation(topic: str) -> Shape:
    message = {"$ref": f"#/channels/{topic}/messages/{topic}"}
    summary = f"Watchword publishes the fact to the JetStream stream {STREAM}."
    return {"action": "send", "channel": {"$ref": f"#/channels/{topic}"}, "summary": summary, "messages": [message]}


def _message(kind: type[Fact]) -> Shape:
    topic = kind.versioned_topic()
    return {
        "name": f"watchword.{topic}",
        "title": schema_of(kind)["title"],
        "summary": schema_of(kind)["description"],
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "payload": {"$ref": f"events/{topic}.json"},
    }


def _headers() -> Mapping[str, object]:
    always = [name for name in HEADERS if name not in SOMETIMES]
    named = {name: {"type": "string", "description": said} for name, said in HEADERS.items()}
    return {"type": "object", "properties": named, "required": always}


def text() -> str:
    """Return the document as it stands in its file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main(file: Path = FILE) -> None:
    """Write it."""
    file.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
