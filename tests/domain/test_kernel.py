"""What every fact, refusal and replay promises."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from domain.facts import Enabled, Purpose, Verified
from domain.kernel import FACTS, Envelope, Fact, Refused, replay

ENVELOPE = Envelope(
    fact=Enabled(),
    stream="user_mfa:acc-7",
    version=3,
    at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    actor="account:acc-7",
    tenant="par-1",
    command_id="cmd-1",
)


class TooLateInTheDay(Refused):
    """A refusal of this test."""


def test_a_fact_never_changes() -> None:
    with pytest.raises(ValidationError):
        Enabled().__setattr__("name", "x")


def test_a_fact_has_nothing_that_its_shape_does_not_name() -> None:
    with pytest.raises(ValidationError):
        Enabled.model_validate({"name": "x"})


def test_a_fact_is_stored_under_its_topic_and_version() -> None:
    assert Verified.versioned_topic() == "user_mfa.verified.v1"
    assert FACTS["user_mfa.verified.v1"] is Verified


def test_two_facts_cannot_have_one_name() -> None:
    before = dict(FACTS)
    with pytest.raises(TypeError, match=r"user_mfa\.enabled\.v1 already names"):
        type("Impostor", (Fact,), {"TOPIC": "user_mfa.enabled", "__module__": __name__})
    assert before == FACTS


def test_a_refusal_is_known_by_its_reason_and_says_what_a_person_may_know() -> None:
    refusal = TooLateInTheDay(until="23:00")
    assert TooLateInTheDay.reason() == str(refusal) == "too_late_in_the_day"
    assert refusal.because == {"until": "23:00"}


def test_a_history_is_told_from_its_beginning_to_its_end() -> None:
    seen: list[Fact] = []

    def remember(number: int, fact: Fact) -> int:
        seen.append(fact)
        return number + 1

    first, second = Enabled(), Verified(purpose=Purpose.SIGN_IN, time_step=100, gives_back=0)
    assert replay(remember, 7, iter([first, second])) == 9
    assert seen == [first, second]


def test_an_envelope_says_of_what_and_of_whom_its_fact_speaks() -> None:
    assert (ENVELOPE.aggregate, ENVELOPE.subject_id) == ("user_mfa", "acc-7")
    assert (ENVELOPE.originator_id, ENVELOPE.originator_version) == ("user_mfa:acc-7", 3)


def test_an_envelope_is_the_same_before_and_after_it_got_its_place_in_the_log() -> None:
    assert ENVELOPE.position == 0
    assert replace(ENVELOPE, position=41) == ENVELOPE
    assert replace(ENVELOPE, version=4) != ENVELOPE
