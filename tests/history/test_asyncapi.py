"""The published description of the message stream is that of the code, and nothing in it leads nowhere."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.kernel import FACTS, Envelope
from handlers.adapters.messages import message_of
from tests.history.test_goldens import GOLDENS
from tests.history.write_asyncapi import FILE, HEADERS, SOMETIMES, text

PUBLISHED: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))


def references(node: object) -> Iterator[str]:
    """Return every reference in a part of the document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolved(reference: str) -> Any:
    """Return what a reference leads to, in this file or in one beside it. A topic has dots, and no slash or tilde."""
    file, _, path = reference.partition("#")
    found: Any = json.loads((FILE.parent / file).read_text(encoding="utf-8")) if file else PUBLISHED
    for name in path.strip("/").split("/") if path else ():
        found = found[name]
    return found


def test_the_description_is_that_of_the_code() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "write it again: python -m tests.history.write_asyncapi"


def test_every_reference_leads_somewhere() -> None:
    found = set(references(PUBLISHED))
    assert {f"events/{topic}.json" for topic in FACTS} <= found
    for reference in found:
        assert isinstance(resolved(reference), dict), reference


@pytest.mark.parametrize("topic", FACTS)
def test_each_fact_has_a_channel_with_its_subject_and_its_shape(topic: str) -> None:
    channel = PUBLISHED["channels"][topic]
    assert channel["address"] == f"watchword.{FACTS[topic].TOPIC}"
    message = resolved(channel["messages"][topic]["$ref"])
    assert message["name"] == f"watchword.{topic}"
    assert resolved(message["payload"]["$ref"])["$id"] == f"watchword:events/{topic}"


def envelope(topic: str, *, tenant: str = "", correlation_id: str = "") -> Envelope:
    return Envelope(
        fact=FACTS[topic].model_validate_json(GOLDENS[topic].read_text(encoding="utf-8")),
        stream="user_mfa:acc-7",
        version=3,
        at=datetime(2026, 11, 24, 12, tzinfo=UTC),
        actor="account:acc-7",
        tenant=tenant,
        command_id="c",
        correlation_id=correlation_id,
        position=41,
    )


def test_the_headers_are_those_that_are_sent() -> None:
    source = "https://mfa.example"
    told = envelope("user_mfa.enabled.v1", tenant="dist", correlation_id="r-1"), envelope("user_mfa.enabled.v1")
    (_, _, full), (_, _, bare) = (message_of(replace(each, stored=b"{}"), source) for each in told)
    assert set(full) == set(HEADERS)
    assert set(full) - set(bare) == SOMETIMES
    described = resolved("#/components/messageTraits/cloudevent")["headers"]
    assert set(described["properties"]) == set(full)
    assert set(described["required"]) == set(bare)
