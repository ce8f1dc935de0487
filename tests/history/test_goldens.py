"""What was ever stored is read as it was meant. A golden is never edited: a new shape is a new version beside it."""

import json
from pathlib import Path

import pytest

import domain.facts  # noqa: F401  (fills FACTS)
from domain.kernel import FACTS
from domain.notices import TOPICS, notice_for

GOLDENS = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.json"))}


def test_every_fact_has_a_golden_and_every_golden_a_fact() -> None:
    forgotten, orphaned = set(FACTS) - set(GOLDENS), set(GOLDENS) - set(FACTS)
    assert not forgotten, "write tests/history/<topic>.json with every field filled in"
    assert not orphaned, "stored facts of this shape can no longer be read: keep the shape, or upcast it"


@pytest.mark.parametrize("topic", GOLDENS)
def test_a_stored_fact_is_read_and_written_again_unchanged(topic: str) -> None:
    stored = GOLDENS[topic].read_text(encoding="utf-8")
    fact = FACTS[topic].model_validate_json(stored)
    assert json.loads(fact.model_dump_json()) == json.loads(stored)
    assert FACTS[topic].model_validate_json(fact.model_dump_json()) == fact


@pytest.mark.parametrize("topic", GOLDENS)
def test_a_golden_fills_in_every_field(topic: str) -> None:
    stored = json.loads(GOLDENS[topic].read_text(encoding="utf-8"))
    assert list(stored) == list(FACTS[topic].model_fields)
    assert None not in stored.values()


@pytest.mark.parametrize("topic", GOLDENS)
def test_a_golden_is_invented_and_names_no_mail_address(topic: str) -> None:
    assert "@" not in GOLDENS[topic].read_text(encoding="utf-8")


@pytest.mark.parametrize("topic", GOLDENS)
def test_no_fact_is_mailed_that_the_notifier_does_not_read(topic: str) -> None:
    fact = FACTS[topic].model_validate_json(GOLDENS[topic].read_text(encoding="utf-8"))
    assert notice_for(fact) is None or fact.TOPIC in TOPICS
