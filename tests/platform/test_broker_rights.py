"""X22: who may publish facts to the embedded broker, and who may only take and acknowledge them."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nats
import pytest
from nats.errors import Error, NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from api.bootstrap import NOTIFIER, STREAM, Watchword
from api.embedded.nats import EmbeddedNats
from tests.delivery.steps import ask_reset, connected, in_the_log, publish_all, relay_for


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path / "nats", sync_always=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_x22_the_worker_takes_and_acknowledges_and_cannot_publish(watchword: Watchword, broker: EmbeddedNats) -> None:
    refused: list[str] = []
    ask_reset(watchword)

    async def note(error: Exception) -> None:
        refused.append(str(error).lower())

    async def story() -> None:
        watching = replace(watchword, settings=replace(watchword.settings, relay_nats_url=broker.relay_url))
        async with connected(watching, broker.worker_url) as (client, published):
            await publish_all(relay_for(watching, published), watching)
            before = await client.jetstream().stream_info(STREAM)
            worker = await nats.connect(broker.worker_url, error_cb=note)
            js = worker.jetstream(timeout=1)
            subscription = await js.pull_subscribe_bind(NOTIFIER, STREAM)
            for message in await subscription.fetch(1, timeout=5):
                await message.ack_sync(timeout=5)
            for forbidden in (js.publish("watchword.x.y", b""), js.delete_stream(STREAM), js.purge_stream(STREAM)):
                with pytest.raises((NatsTimeout, NoRespondersError, Error)):
                    await forbidden
            await worker.flush()
            await worker.close()
            after = await client.jetstream().stream_info(STREAM)
            assert after.state.last_seq == before.state.last_seq == len(in_the_log(watchword))

    asyncio.run(story())
    assert [text for text in refused if "permissions violation" in text]
