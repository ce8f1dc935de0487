"""Stored bytes are read without a model's checks, and yet what is read is what a model would have made of them."""

from dataclasses import fields
from typing import Any

import orjson
import psycopg
import pytest

from domain.facts import Purpose, Verified
from domain.kernel import FACTS, Envelope, Fact, Unknown
from handlers.adapters.postgres import event_store
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.adapters.postgres.reading import EnvelopeMapper, envelopes
from handlers.ports.log import StreamUnreadable
from tests.contract.plugs import NOON, change, collect, origin
from tests.history.test_goldens import GOLDENS
from tests.servers import Database

NONE: tuple[int, ...] = ()


def stored(fact: Fact) -> tuple[Envelope, tuple[int, str, int, str, bytes]]:
    """Return an envelope with every field filled in, and how it is stored."""
    words = ("account:acc-1", "dist", "cmd-1", "corr-1", "192.0.2.0/24", "sess-1")
    envelope = Envelope(fact, "user_mfa:acc-7", 3, NOON, *words, position=41)
    written = EnvelopeMapper.to_stored_event(EnvelopeMapper.__new__(EnvelopeMapper), envelope)
    return envelope, (41, str(written.originator_id), written.originator_version, written.topic, written.state)


def of(state: dict[str, Any]) -> Envelope:
    return envelopes([(1, "user_mfa:acc-7", 1, "user_mfa.verified.v1", orjson.dumps(state))])[0]


@pytest.mark.parametrize("topic", GOLDENS)
def test_every_fact_is_read_as_its_model_reads_it(topic: str) -> None:
    fact = FACTS[topic].model_validate_json(GOLDENS[topic].read_text(encoding="utf-8"))
    for each in (fact, *_without_what_may_be_missing(fact)):
        envelope, row = stored(each)
        (read,) = envelopes([row])
        expected = {field.name: getattr(envelope, field.name) for field in fields(envelope)}
        expected |= {"stored_topic": row[3], "stored": row[4]}
        assert {field.name: getattr(read, field.name) for field in fields(read)} == expected
        assert type(read.fact) is type(each)
        assert [type(value) for value in vars(read.fact).values() if not hasattr(value, "tzinfo")] == [
            type(value) for value in vars(each).values() if not hasattr(value, "tzinfo")
        ]
        assert read.fact.model_dump_json() == each.model_dump_json()
        assert (hash(read), hash(read.fact)) == (hash(envelope), hash(each))
        with pytest.raises(ValueError, match="frozen"):
            read.fact.anything = 1  # type: ignore[attr-defined]


def _without_what_may_be_missing(fact: Fact) -> list[Fact]:
    optional = {name for name, field in type(fact).model_fields.items() if not field.is_required()}
    return [type(fact).model_validate(fact.model_dump(exclude=optional))] if optional else []


def test_what_was_not_stored_yet_has_its_default() -> None:
    fact = {"purpose": "setup", "time_step": 7, "gives_back": 0}
    read = of({"fact": fact, "at": NOON.isoformat(), "actor": "system", "tenant": "dist", "command_id": "c"})
    expected = Verified(purpose=Purpose.SETUP, time_step=7, gives_back=0)
    assert read == Envelope(expected, "user_mfa:acc-7", 1, NOON, "system", "dist", "c")


@pytest.mark.parametrize(
    "fact",
    [
        {"purpose": "setup", "time_step": 7},
        {"purpose": "setup", "time_step": "7", "gives_back": 0},
        {"purpose": "else", "time_step": 7, "gives_back": 0},
        {"purpose": "setup", "time_step": 7, "gives_back": 0, "more": 1},
    ],
)
def test_x21_bytes_without_the_shape_of_their_topic_are_an_unknown_fact(fact: dict[str, Any]) -> None:
    read = of({"fact": fact, "at": NOON.isoformat(), "actor": "system", "tenant": "dist", "command_id": "c"})
    assert isinstance(read.fact, Unknown)
    assert (read.at, read.tenant, read.topic) == (NOON, "dist", "user_mfa.verified.v1")


@pytest.mark.parametrize("many", [1, 4])
def test_many_facts_are_the_same_as_a_few_at_a_time(
    postgres: PostgresEventStore, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    for number in range(9):
        postgres.append(change(f"user_mfa:{number % 2}", number // 2, number), origin=origin())
    few = [each for after in range(0, 9, 3) for each in postgres.read(after, 3)]
    assert [each.position for each in few] == list(range(1, 10))
    monkeypatch.setattr(event_store, "_MANY", many)
    monkeypatch.setattr(event_store, "_AT_ONCE", 2)
    assert postgres.read(0, 100) == few
    assert [each.position for each in postgres.read(0, 100)] == list(range(1, 10))
    assert postgres.read(2, 5) == few[2:7]
    assert postgres.read(8, 5) == few[8:]


def test_x21_a_fact_that_cannot_be_read_among_many_is_unknown_and_nothing_is_decided_on_its_stream(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_store, "_MANY", 2)
    monkeypatch.setattr(event_store, "_AT_ONCE", 2)
    store = PostgresEventStore(database.app_url, pool_size=1)
    for number in range(9):
        store.append(change("user_mfa:1", number, number), origin=origin())
    store.append(change("user_mfa:2", 0, 9), origin=origin())
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("ALTER TABLE stored_events DISABLE TRIGGER USER")
        owner.execute("UPDATE stored_events SET topic = 'user_mfa.unheard_of.v1' WHERE notification_id = 5")
        owner.execute("UPDATE stored_events SET state = 'broken' WHERE notification_id = 7")
    for after in (0, 4, 5):
        read = store.read(after, 100)
        assert [each.position for each in read] == list(range(after + 1, 11))
        assert {each.position for each in read if isinstance(each.fact, Unknown)} == {5, 7} - set(range(after + 1))
    heard, damaged = store.at([5, 7])
    assert (heard.topic, heard.tenant) == ("user_mfa.unheard_of.v1", store.at([1])[0].tenant)
    assert (damaged.topic, damaged.tenant, damaged.stored) == ("user_mfa.verified.v1", "", b"broken")
    fresh = PostgresEventStore(database.app_url, pool_size=1)
    with pytest.raises(StreamUnreadable, match="user_mfa:1"):
        fresh.load("user_mfa:1", collect, NONE)
    assert fresh.load("user_mfa:2", collect, NONE)[1] == 1
    fresh.close()
    store.close()
