"""What others put into the message stream, or take out of it, decides nothing: the relay and the worker believe the log."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import orjson
import psycopg
import pytest
from faststream.exceptions import RejectMessage
from nats.js import JetStreamContext

from api.bootstrap import STREAM, Watchword
from api.intake import Intake
from domain.facts import Enabled
from handlers import relay as relaying
from handlers.adapters.messages import message_of
from tests.delivery.steps import (
    append,
    append_several,
    ask_reset,
    connected,
    following,
    holds_messages,
    in_the_log,
    messages,
    publish_all,
    relay_for,
    sooner_or_later,
)

Prank = Callable[[JetStreamContext, Watchword], Awaitable[object]]


async def _without_headers(js: JetStreamContext, _: Watchword) -> None:
    await js.publish("watchword.test", b"hello")


async def _of_another_id(js: JetStreamContext, _: Watchword) -> None:
    await js.publish(
        "watchword.test", b"{}", headers={"Nats-Msg-Id": "somebody:1", "ce-sequence": "x", "ce-subject": "y"}
    )


async def _far_ahead(js: JetStreamContext, _: Watchword) -> None:
    headers = {"Nats-Msg-Id": "watchword:674114118", "ce-sequence": "674114118", "ce-subject": "user_mfa:dist-owner"}
    await js.publish("watchword.user_mfa.enabled", b"{}", headers=headers)


async def _a_few_of_them(js: JetStreamContext, watchword: Watchword) -> None:
    for prank in (_without_headers, _far_ahead, _of_another_id):
        await prank(js, watchword)


async def _a_copy_of_an_old_one(js: JetStreamContext, watchword: Watchword) -> None:
    subject, body, headers = message_of(watchword.store.at([1])[0], watchword.settings.public_url)
    await js.publish(subject, body, headers={**headers, "Nats-Msg-Id": "copy"})


async def _the_newest_deleted(js: JetStreamContext, _: Watchword) -> None:
    await js.delete_msg(STREAM, (await js.stream_info(STREAM)).state.last_seq)


PRANKS = [_without_headers, _of_another_id, _far_ahead, _a_few_of_them, _a_copy_of_an_old_one, _the_newest_deleted]


async def _genuine(client: object, watchword: Watchword) -> list[int]:
    """Return the positions of messages that tell of the fact that the log has there."""
    hashes = {each.position: message_of(each, "")[2]["ce-leafhash"] for each in watchword.store.read(0, 5_000)}
    found = []
    for message in await messages(client):  # type: ignore[arg-type]
        headers = message.headers or {}
        position = int(headers["ce-sequence"]) if headers.get("ce-sequence", "").isdigit() else 0
        if headers.get("ce-leafhash") and hashes.get(position) == headers["ce-leafhash"]:
            found.append(position)
    return found


@pytest.mark.parametrize("again", [False, True], ids=["the relay goes on", "another relay begins"])
@pytest.mark.parametrize("prank", PRANKS, ids=lambda prank: prank.__name__)
def test_x22_whatever_stands_at_the_end_of_the_stream_the_relay_goes_on_behind_it(
    watchword: Watchword, nats_url: str, prank: Prank, again: bool
) -> None:
    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            relay = relay_for(watchword, broker)
            await publish_all(relay, watchword)
            published = in_the_log(watchword)
            await prank(client.jetstream(), watchword)
            append_several(watchword, "user_mfa:dist-owner", [Enabled(), Enabled(), Enabled()])
            async with following(relay_for(watchword, broker) if again else relay, watchword):
                await sooner_or_later(lambda: watchword.relay_position.get() >= watchword.store.last_position())
            new = [each for each in in_the_log(watchword) if each not in published]
            genuine = await _genuine(client, watchword)
            assert [each for each in genuine if each in new] == new
            assert sorted(set(genuine) | {published[-1]}) == in_the_log(watchword)

    asyncio.run(story())


def test_x22_a_tracked_position_beyond_the_end_of_the_log_does_not_count(watchword: Watchword, nats_url: str) -> None:
    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            await publish_all(relay_for(watchword, broker), watchword)
            watchword.relay_position.set(674114118)
            append(watchword, "user_mfa:dist-owner", Enabled())
            await publish_all(relay_for(watchword, broker), watchword)
            assert await _genuine(client, watchword) == in_the_log(watchword)
            assert watchword.relay_position.get() == watchword.store.last_position()

    asyncio.run(story())


def test_x101_a_forged_message_that_takes_the_id_of_the_next_fact_does_not_keep_it_out(
    watchword: Watchword, nats_url: str
) -> None:
    """JetStream takes two messages of one id for one. The genuine one comes after it, with the hash of its leaf."""

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            relay = relay_for(watchword, broker)
            await publish_all(relay, watchword)
            ahead = watchword.store.last_position() + 1
            forged = {"Nats-Msg-Id": f"watchword:{ahead}", "ce-id": f"watchword:{ahead}", "ce-sequence": str(ahead)}
            await client.jetstream().publish("watchword.user_mfa.enabled", b'{"forged":true}', headers=forged)
            append_several(watchword, "user_mfa:dist-owner", [Enabled(), Enabled()])
            async with following(relay, watchword):
                await sooner_or_later(lambda: watchword.relay_position.get() >= watchword.store.last_position())
            assert await _genuine(client, watchword) == in_the_log(watchword)
            last = (await messages(client))[-1].headers or {}
            row = watchword.store.at([ahead + 1])[0]
            assert last["ce-id"] == f"watchword:{ahead + 1}"
            assert last["ce-leafhash"] == message_of(row, "")[2]["ce-leafhash"]

    asyncio.run(story())


def test_x102_a_stream_that_was_lost_is_filled_again_though_nothing_new_happens(
    watchword: Watchword, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "RETRY_SECONDS", 0.01)

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            relay = relay_for(watchword, broker)
            async with following(relay, watchword):
                await sooner_or_later(lambda: watchword.relay_position.get() >= watchword.store.last_position())
                await client.jetstream().delete_stream(STREAM)
                async with connected(watchword, nats_url):  # as each relay and worker does when it starts
                    await holds_messages(client, len(in_the_log(watchword)))
            assert await _genuine(client, watchword) == in_the_log(watchword)

    asyncio.run(story())


def test_x21_what_cannot_be_read_is_published_as_it_is_stored(watchword: Watchword, nats_url: str) -> None:
    unknown = append(watchword, "user_mfa:dist-owner", Enabled())
    damaged = append(watchword, "user_mfa:dist-admin", Enabled())
    after = append(watchword, "user_mfa:dist-support", Enabled())
    state = orjson.dumps({**orjson.loads(unknown.stored), "fact": {"colour": "blue"}})
    with psycopg.connect(watchword.settings.need("admin_database_url")) as owner:
        owner.execute("ALTER TABLE stored_events DISABLE TRIGGER USER")
        change = "UPDATE stored_events SET topic = %s, state = %s WHERE notification_id = %s"
        owner.execute(change, ("user_mfa.painted.v3", state, unknown.position))
        owner.execute(change, ("user_mfa.enabled.v1", b"\xff\x00", damaged.position))

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            await publish_all(relay_for(watchword, broker), watchword)
            *_, painted, broken, last = await messages(client)
            assert painted.subject == "watchword.user_mfa.painted"
            assert (painted.headers or {})["ce-type"] == "watchword.user_mfa.painted.v3"
            assert orjson.loads(painted.data) == {"colour": "blue"}
            assert (broken.subject, broken.data) == ("watchword.user_mfa.enabled", b"{}")
            assert (last.headers or {})["ce-sequence"] == str(after.position)

    asyncio.run(story())


@pytest.mark.parametrize("body", [b'{"an older":"shape"}', b"no JSON", b""])
def test_x23_the_worker_reads_position_and_stream_of_a_message_and_the_log_says_the_rest(
    watchword: Watchword, body: bytes
) -> None:
    asked = ask_reset(watchword)
    headers = {"ce-sequence": str(asked.position), "ce-subject": asked.stream, "ce-type": "watchword.user_mfa.older.v0"}

    async def story() -> None:
        intake = Intake(watchword)
        assert await intake.react_to(SimpleNamespace(headers=headers, body=body)) == 1  # type: ignore[arg-type]
        for wrong in ({}, {**headers, "ce-sequence": "x"}, {**headers, "ce-subject": "user_mfa:somebody"}):
            with pytest.raises(RejectMessage):
                await intake.react_to(SimpleNamespace(headers=wrong, body=body))  # type: ignore[arg-type]

    asyncio.run(story())
