"""The relay: each fact is in the message stream once, in order, whatever was killed or lost."""

import asyncio
import time
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from urllib.parse import unquote

import orjson
import psycopg
import pytest

from api.bootstrap import STREAM, Watchword, ledger, place_of
from domain.facts import Enabled, Initiator, ResetConfirmed
from domain.merkle import leaf_hash
from handlers import relay as relaying
from handlers.ports import Unavailable
from handlers.relay import position_before
from tests.delivery.steps import (
    append,
    append_several,
    connected,
    following,
    in_the_log,
    messages,
    positions,
    publish_all,
    relay_for,
)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test directory is many windows then."""
    monkeypatch.setattr(relaying, "WINDOW", 7)


def test_every_fact_is_published_once_and_in_order(watchword: Watchword, nats_url: str) -> None:
    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            relay = relay_for(watchword, broker)
            assert await publish_all(relay, watchword) == len(in_the_log(watchword))
            assert positions(await messages(client)) == in_the_log(watchword)
            assert await publish_all(relay, watchword) == 0
            append(watchword, "user_mfa:dist-owner", Enabled())
            assert await publish_all(relay, watchword) == 1
            assert positions(await messages(client)) == in_the_log(watchword)
            assert watchword.relay_position.get() == watchword.store.last_position() == relay.position

    asyncio.run(story())


def test_a_message_is_a_cloud_event_in_binary_mode(watchword: Watchword, nats_url: str) -> None:
    reset = ResetConfirmed(by="administrator", reset_id="reset-1", reason="verlor das Gerät — „weg“")  # type: ignore[arg-type]
    envelope = append(watchword, "user_mfa:dist-owner", reset, actor="account:dist-admin")

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            await publish_all(relay_for(watchword, broker), watchword)
            message = (await messages(client))[-1]
            headers = dict(message.headers or {})
            assert message.subject == "watchword.user_mfa.reset_confirmed"
            assert headers.pop("Nats-Msg-Id") == headers["ce-id"] == f"watchword:{envelope.position}"
            assert headers.pop("Nats-Expected-Last-Msg-Id", None) in {None, f"watchword:{envelope.position - 1}"}
            headers.pop("Nats-Expected-Last-Sequence", None)
            assert headers.pop("Nats-Expected-Stream") == STREAM
            assert datetime.fromisoformat(unquote(headers.pop("ce-time"))) == envelope.at
            assert headers == {
                "ce-id": f"watchword:{envelope.position}",
                "ce-source": watchword.settings.public_url,
                "ce-specversion": "1.0",
                "ce-type": "watchword.user_mfa.reset_confirmed.v1",
                "ce-subject": "user_mfa:dist-owner",
                "ce-tenant": "dist",
                "ce-sequence": str(envelope.position),
                "ce-actor": "account:dist-admin",
                "ce-correlationid": envelope.correlation_id,
                "ce-version": "1",
                "ce-leafhash": leaf_hash(
                    ledger(watchword).tree.facts(envelope.position - 1, envelope.position, 1)[0].leaf()
                ).hex(),
                "content-type": "application/json",
            }
            assert orjson.loads(message.data) == reset.model_dump(mode="json")
            assert place_of(message.headers) == (envelope.position, envelope.stream)

    asyncio.run(story())


@pytest.mark.parametrize("batches", [1, 3])
def test_a_relay_that_is_cancelled_at_any_moment_and_begins_anew_loses_and_repeats_nothing(
    watchword: Watchword, nats_url: str, batches: int
) -> None:
    """Cancelled at every turn of the event loop that a batch takes, one after the other."""

    async def turns(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            cancelled = 0
            for count in range(0, 60, 3):
                task = asyncio.create_task(publish_all(relay_for(watchword, broker), watchword))
                await turns(count * batches)
                cancelled += task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                append(watchword, "user_mfa:dist-owner", Enabled())
            assert cancelled > 3
            await publish_all(relay_for(watchword, broker), watchword)
            assert positions(await messages(client)) == in_the_log(watchword)

    asyncio.run(story())


def test_what_was_published_and_not_remembered_is_not_published_again(watchword: Watchword, nats_url: str) -> None:
    """Killed between the stream's word and the own note: the stream itself says where it ends."""

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            await relay_for(watchword, broker).publish_next(watchword.sockets.clock.now())
            watchword.relay_position.set(2)
            await publish_all(relay_for(watchword, broker), watchword)
            assert positions(await messages(client)) == in_the_log(watchword)

    asyncio.run(story())


@pytest.mark.parametrize("made_anew", ["before the relay sees it", "after it"])
def test_a_stream_that_was_deleted_under_the_relay_is_filled_again(
    watchword: Watchword, nats_url: str, made_anew: str
) -> None:
    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            relay = relay_for(watchword, broker)
            await publish_all(relay, watchword)
            await client.jetstream().delete_stream(STREAM)
            append(watchword, "user_mfa:dist-owner", Enabled())
            if made_anew == "after it":
                with pytest.raises(Unavailable):
                    await publish_all(relay, watchword)
            async with connected(watchword, nats_url):  # the worker, say, declares it
                if made_anew != "after it":
                    with pytest.raises(Unavailable):
                        await publish_all(relay, watchword)
                await publish_all(relay, watchword)
            assert positions(await messages(client)) == in_the_log(watchword)

    asyncio.run(story())


def test_a_lost_stream_is_filled_as_far_back_as_it_keeps(watchword: Watchword, nats_url: str) -> None:
    old = watchword.store.last_position()

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            await publish_all(relay_for(watchword, broker), watchword)
            watchword.sockets.clock.advance(days=8)  # type: ignore[attr-defined]
            append(watchword, "user_mfa:dist-owner", Enabled())
            append(watchword, "user_mfa:dist-admin", Enabled())
            await client.jetstream().delete_stream(STREAM)
        async with connected(watchword, nats_url) as (client, broker):
            await publish_all(relay_for(watchword, broker), watchword)
            assert positions(await messages(client)) == [p for p in in_the_log(watchword) if p > old]

    asyncio.run(story())


def test_a_stream_that_aged_out_goes_on_after_the_last_published_fact(watchword: Watchword, nats_url: str) -> None:
    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            await publish_all(relay_for(watchword, broker), watchword)
            await client.jetstream().purge_stream(STREAM)
            envelope = append(watchword, "user_mfa:dist-owner", Enabled())
            await publish_all(relay_for(watchword, broker), watchword)
            assert positions(await messages(client)) == [envelope.position]

    asyncio.run(story())


def test_a_window_whose_middle_the_stream_refuses_ends_before_it_and_goes_on_from_there(
    watchword: Watchword, nats_url: str
) -> None:
    """Those after the refused one are in flight already; the stream must not take them."""
    large = ResetConfirmed(by=Initiator.ADMINISTRATOR, reset_id="reset-1", reason="x" * 400)

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            relay, js = relay_for(watchword, broker), client.jetstream()
            await publish_all(relay, watchword)
            published = watchword.store.last_position()
            append_several(watchword, "user_mfa:dist-owner", [Enabled(), Enabled(), large, Enabled(), Enabled()])
            config = (await js.stream_info(STREAM)).config
            await js.update_stream(replace(config, max_msg_size=800))
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await relay.publish_next(watchword.sockets.clock.now())
                assert positions(await messages(client)) == [p for p in in_the_log(watchword) if p <= published + 2]
                assert watchword.relay_position.get() <= published + 2
            await js.update_stream(replace(config, max_msg_size=-1))
            await publish_all(relay, watchword)
            assert positions(await messages(client)) == in_the_log(watchword)

    asyncio.run(story())


def test_a_relay_that_waits_out_a_stream_that_does_not_answer_goes_on(
    watchword: Watchword, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "RETRY_SECONDS", 0.01)

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            relay, js = relay_for(watchword, broker), client.jetstream()
            config = (await js.stream_info(STREAM)).config
            await js.update_stream(replace(config, max_msg_size=10))
            async with following(relay, watchword) as task:
                await asyncio.sleep(0.2)
                assert await messages(client) == []
                await js.update_stream(replace(config, max_msg_size=-1))
                while watchword.relay_position.get() < watchword.store.last_position():
                    await asyncio.sleep(0.01)
                    assert not task.done()
            assert positions(await messages(client)) == in_the_log(watchword)

    asyncio.run(story())


def test_a_relay_ends_in_whatever_moment_it_is_told_to(watchword: Watchword, nats_url: str) -> None:
    """Also in the few turns of the event loop in which the stream's answer is there and the relay has not yet seen it.

    Nothing of it goes on: the database, which its position is written to, is let go next.
    """

    async def story() -> None:
        async with connected(watchword, nats_url) as (_, broker):
            await publish_all(relay_for(watchword, broker), watchword)
            for sending, taking in product(range(1, 4), range(7)):
                relay = relay_for(watchword, broker)
                await relay.start(watchword.sockets.clock.now())
                append(watchword, "user_mfa:dist-owner", Enabled())
                others = asyncio.all_tasks()
                async with following(relay, watchword):
                    while relay.position is not None:  # noqa: ASYNC110 these are turns of the loop, and no waiting
                        await asyncio.sleep(0)
                    for _ in range(sending):
                        await asyncio.sleep(0)
                    time.sleep(0.03)  # noqa: ASYNC251 the answer comes, and the loop has not yet taken it
                    for _ in range(taking):
                        await asyncio.sleep(0)
                assert asyncio.all_tasks() <= others

    asyncio.run(story())


def test_two_relays_at_once_do_not_disturb_the_order(watchword: Watchword, nats_url: str) -> None:
    async def to_the_end(one: relaying.Relay) -> None:
        while watchword.relay_position.get() < watchword.store.last_position():
            try:
                await one.publish_next(watchword.sockets.clock.now())
            except Unavailable:
                continue

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, one), connected(watchword, nats_url) as (_, two):
            for _ in range(5):
                await asyncio.gather(*(to_the_end(relay_for(watchword, broker)) for broker in (one, two)))
                for _ in range(20):
                    append(watchword, "user_mfa:dist-owner", Enabled())
            await publish_all(relay_for(watchword, one), watchword)
            assert positions(await messages(client)) == in_the_log(watchword)

    asyncio.run(story())


def test_the_start_of_a_span_of_time_is_found(watchword: Watchword) -> None:
    before = watchword.store.last_position()
    watchword.sockets.clock.advance(days=3)  # type: ignore[attr-defined]
    late = [append(watchword, "user_mfa:dist-owner", Enabled()) for _ in range(5)]
    now = watchword.sockets.clock.now()
    assert position_before(watchword.store, late[0].at) == before
    assert position_before(watchword.store, late[2].at) == late[1].position
    assert position_before(watchword.store, now + timedelta(days=1)) == late[-1].position
    assert position_before(watchword.store, now - timedelta(days=9)) == 0


def test_x24_the_event_loop_goes_on_while_the_log_is_read(watchword: Watchword, nats_url: str) -> None:
    """A database that hangs: the log's table is locked, and other work of the loop goes on meanwhile."""

    async def story() -> None:
        async with connected(watchword, nats_url) as (_, broker):
            relay = relay_for(watchword, broker)
            await publish_all(relay, watchword)
            append(watchword, "user_mfa:dist-owner", Enabled())
            with psycopg.connect(watchword.settings.need("admin_database_url")) as owner:
                owner.execute("LOCK TABLE stored_events IN ACCESS EXCLUSIVE MODE")
                publishing = asyncio.create_task(publish_all(relay, watchword))
                for _ in range(20):
                    await asyncio.sleep(0.01)
                assert not publishing.done()
            assert await publishing == 1

    asyncio.run(story())
