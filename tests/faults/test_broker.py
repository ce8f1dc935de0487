"""NATS dies, forgets everything, is slow, or answers no more; and messages that nobody sent, twice, or in disorder."""

import asyncio
import shutil
import uuid
from random import Random

import pytest
from nats.aio.client import Client

from api.bootstrap import STREAM
from tests.delivery.steps import connected
from tests.faults.load import SEED
from tests.faults.report import LONG
from tests.faults.scenario import Stage

pytestmark = pytest.mark.timeout(400)
DOWN_SECONDS = 5 if LONG else 1.5


def test_a_killed_broker_loses_nothing(stage: Stage) -> None:
    with stage.under_load("kill -9 NATS") as running:
        for _ in range(running.rounds):
            server = stage.deployment.nats
            assert server.process is not None
            server.process.kill()
            server.process.wait(30)
            running.row.kills += 1
            running.go_on(DOWN_SECONDS)
            server.start()
            running.recovered()


def test_a_broker_whose_store_is_deleted_is_filled_again(stage: Stage) -> None:
    with stage.under_load("JetStream store deleted") as running:
        for _ in range(running.rounds):
            server = stage.deployment.nats
            server.stop()
            shutil.rmtree(server.data_dir / "nats" / "jetstream")
            running.row.kills += 1
            server.start()
            running.recovered()
            running.go_on()


@pytest.mark.parametrize("how", ["refuse", "half-open", "slow", "cut"])
def test_a_broker_behind_a_bad_way_loses_nothing(stage: Stage, how: str) -> None:
    way = stage.deployment.ways["nats"]
    with stage.under_load(f"NATS: {how}") as running:
        for _ in range(running.rounds):
            if how == "refuse":
                way.mode = "refuse"
            elif how == "half-open":
                way.mode = "half-open"
            elif how == "slow":
                way.delay = 0.3
            if how in {"refuse", "cut"}:
                way.cut()
            running.go_on(DOWN_SECONDS)
            way.pass_all()
            running.recovered()


def test_messages_that_are_poison_twice_or_in_disorder_change_nothing(stage: Stage) -> None:
    """Published beside the stream's order, under other message ids, as somebody with the broker's password could."""
    nats_url = stage.deployment.watchword.settings.need("nats_url")
    with stage.under_load("poison, duplicates, disorder") as running:
        for _ in range(running.rounds):
            asyncio.run(_disturb(stage, nats_url))
            running.go_on()
        forget_stream(stage, nats_url)
        running.recovered()


async def _disturb(stage: Stage, nats_url: str) -> None:
    async with connected(stage.deployment.watchword, nats_url) as (client, _):
        await _poison(client)
        log = stage.deployment.watchword.store.read(max(0, stage.deployment.watchword.store.last_position() - 100), 100)
        again = list(log) * 2
        Random(SEED).shuffle(again)
        js = client.jetstream()
        for envelope in again:
            headers = {
                "ce-type": f"watchword.{envelope.fact.versioned_topic()}",
                "ce-subject": envelope.stream,
                "ce-sequence": str(envelope.position),
                "ce-version": str(envelope.version),
                "ce-time": envelope.at.isoformat(),
                "ce-actor": envelope.actor,
                "ce-tenant": envelope.tenant,
                "Nats-Msg-Id": f"again-{uuid.uuid4().hex}",
            }
            body = envelope.fact.model_dump_json().encode()
            await js.publish(f"watchword.{envelope.fact.TOPIC}", body, headers=headers, stream=STREAM)


async def _poison(client: Client) -> None:
    js = client.jetstream()
    subject = "watchword.user_mfa.reset_requested"
    await js.publish(subject, b"\xff\x00 no JSON", stream=STREAM)
    await js.publish(subject, b"{}", headers={"ce-type": "watchword.user_mfa.reset_requested.v9"}, stream=STREAM)
    forged = {"ce-type": "watchword.user_mfa.reset_requested.v1", "ce-subject": "user_mfa:quokka-owner"}
    forged |= {"ce-sequence": "999999999", "ce-version": "1", "ce-time": "2026-01-01T00:00:00+00:00", "ce-actor": "x"}
    body = b'{"reset_id":"forged","expires_at":"2030-01-01T00:00:00Z"}'
    await js.publish(subject, body, headers=forged, stream=STREAM)


def forget_stream(stage: Stage, nats_url: str) -> None:
    """The disturbed stream is deleted, as an operator would, and the relay fills it again."""

    async def delete() -> None:
        async with connected(stage.deployment.watchword, nats_url) as (client, _):
            await client.jetstream().delete_stream(STREAM)

    asyncio.run(delete())
