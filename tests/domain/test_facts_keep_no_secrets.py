"""The log is read by many and kept for ever: what its facts may be called, and what they may never hold."""

import re
from types import NoneType
from typing import get_args

import pytest
from pydantic import ValidationError

from domain import facts
from domain.kernel import FACTS, Fact

WHAT_HAPPENED = {
    "partner": ["registered", "renamed", "domain_proved", "domain_withdrawn"],
    "identity_provider": ["added", "removed", "mfa_credited", "mfa_uncredited"],
    "organization": ["registered", "renamed"],
    "account": [
        "registered",
        "moved",
        "role_changed",
        "mail_address_changed",
        "renamed",
        "password_changed",
        "disabled",
        "restored",
        "erased",
        "sign_in_locked",
        "sign_in_unlocked",
        "attempt_refused",
        "identity_invited",
        "identity_linked",
        "identity_unlinked",
        "identity_proved",
    ],
    "audit": ["read", "exported"],
    "partner_policy": ["enforced", "enforcement_lifted", "everyone_signed_out"],
    "user_mfa": [
        "enabled",
        "setup_started",
        "verified",
        "verification_failed",
        "locked",
        "unlocked",
        "disabled",
        "reset_requested",
        "reset_confirmed",
        "reset_mail_repeated",
    ],
    "mail": ["owed", "sent", "given_up", "requeued"],
}
"""Names in the log are for ever: a word may be added here, and none may change or go."""
TOPICS = sorted(f"{aggregate}.{word}" for aggregate, words in WHAT_HAPPENED.items() for word in words)

IRREGULAR_PARTICIPLES = ("sent", "given_up", "signed_out", "read", "withdrawn")

TELLTALE = re.compile(
    r"secret|seed|key|code|token|password|passphrase|credential|cookie|hash|otp|pin\b|e_?mail|address|phone|ip\b|person"
)
HARMLESS = {
    (
        "user_mfa.setup_started.v1",
        "secret_ref",
    ): "It names the sealed secret; the secret itself is kept outside the log.",
}
"""Fields that sound like a secret, each with the reason why it is none."""

PLAIN_TYPES = {"str", "int", "bool", "datetime"}
FIELDS = [(topic, name, field.annotation) for topic, kind in FACTS.items() for name, field in kind.model_fields.items()]
EACH_FACT = pytest.mark.parametrize("kind", FACTS.values(), ids=FACTS)


def test_the_names_in_the_log_are_for_ever() -> None:
    assert sorted(kind.TOPIC for kind in FACTS.values()) == TOPICS
    assert sorted(FACTS) == [f"{topic}.v1" for topic in TOPICS]


@EACH_FACT
def test_a_fact_is_named_after_whom_it_concerns_and_what_has_happened(kind: type[Fact]) -> None:
    aggregate, _, happened = kind.TOPIC.partition(".")
    assert aggregate in WHAT_HAPPENED
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", happened)
    assert happened.endswith(("ed", *IRREGULAR_PARTICIPLES))


@EACH_FACT
def test_a_fact_never_changes_and_holds_nothing_unnamed(kind: type[Fact]) -> None:
    assert kind.model_config["frozen"]
    assert kind.model_config["extra"] == "forbid"
    with pytest.raises(ValidationError):
        kind.model_validate({"surely_no_field": 1})


@EACH_FACT
def test_a_fact_says_in_a_sentence_what_happened(kind: type[Fact]) -> None:
    assert kind.__doc__
    assert kind.__doc__ != Fact.__doc__
    assert kind.__doc__.strip().endswith(".")


@EACH_FACT
def test_a_fact_stands_in_the_one_file_that_is_read_first(kind: type[Fact]) -> None:
    assert kind.__module__ == facts.__name__


@pytest.mark.parametrize(("topic", "name", "_type"), FIELDS)
def test_no_field_is_named_like_a_secret_or_an_address(topic: str, name: str, _type: object) -> None:
    assert (topic, name) in HARMLESS or not TELLTALE.search(name)


@pytest.mark.parametrize(("topic", "name", "kind"), FIELDS)
def test_no_field_has_the_type_of_a_secret_or_an_address(topic: str, name: str, kind: type) -> None:
    """Plain words, numbers, instants and our own enumerations; no SecretStr, EmailStr, bytes or free-form mapping."""
    for part in set(get_args(kind) or (kind,)) - {NoneType}:
        assert part.__name__ in PLAIN_TYPES or part.__module__ == facts.__name__, (topic, name, part)


def test_what_sounds_like_a_secret_and_is_none_still_exists() -> None:
    assert set(HARMLESS) <= {(topic, name) for topic, name, _ in FIELDS}
    assert all(HARMLESS.values())
