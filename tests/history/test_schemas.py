"""The published shape of each fact is that of the code, and the stored facts have it."""

import json
from typing import Any

import jsonschema_rs
import pytest

from domain.kernel import FACTS
from tests.history.test_goldens import GOLDENS
from tests.history.write_schemas import FOLDER, text_of

AGAIN = "the published schemas differ from the facts; write them again: python -m tests.history.write_schemas"


def published(topic: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{topic}.json").read_text(encoding="utf-8")))


def test_every_fact_is_published_and_nothing_else() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(FACTS), AGAIN


@pytest.mark.parametrize("topic", FACTS)
def test_the_published_schema_is_that_of_the_fact(topic: str) -> None:
    assert (FOLDER / f"{topic}.json").read_text(encoding="utf-8") == text_of(FACTS[topic]), AGAIN


@pytest.mark.parametrize("topic", FACTS)
def test_a_published_schema_is_valid_and_says_what_happened(topic: str) -> None:
    schema = published(topic)
    jsonschema_rs.meta.validate(schema)
    assert schema["$id"] == f"watchword:events/{topic}"
    assert schema["title"]
    assert schema["description"].startswith(schema["title"])


@pytest.mark.parametrize("topic", GOLDENS)
def test_a_stored_fact_has_the_published_shape(topic: str) -> None:
    stored = json.loads(GOLDENS[topic].read_text(encoding="utf-8"))
    validator = jsonschema_rs.validator_for(published(topic), validate_formats=True)
    validator.validate(stored)
    assert not validator.is_valid(stored | {"something_else": 1})
