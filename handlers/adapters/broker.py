"""The way to the message stream: NATS JetStream, CloudEvents 1.0 in binary mode, each message chained to the one before."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

import nats
import orjson
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

from domain.kernel import FACTS, Envelope
from domain.notices import TOPICS

STREAM = "WATCHWORD"
NOTIFIER = "notifier"
_ID = "watchword:"
_DUPLICATES_SECONDS = 2 * 60 * 60
"""How long the stream itself recognises a message that comes twice."""
_ACK_WAIT_SECONDS = 20
"""How long a worker may be silent about a message before another gets it."""
_PUBLISH_TIMEOUT_SECONDS = 10


async def connect(url: str) -> Client:
    """Return a connection that never gives up and never prints."""

    async def quiet(_: Exception) -> None:
        """Failures show in what fails, and in readiness."""

    return await nats.connect(
        url, max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=quiet, connect_timeout=5, ping_interval=5
    )


async def declare(js: JetStreamContext, *, retention_seconds: float) -> None:
    """Make the stream and the notifier's durable consumer, or bring them to these settings."""
    stream = StreamConfig(
        name=STREAM, subjects=["watchword.>"], max_age=retention_seconds, duplicate_window=_DUPLICATES_SECONDS
    )
    try:
        await js.stream_info(STREAM)
        await js.update_stream(stream)
    except NotFoundError:
        await js.add_stream(stream)
    consumer = ConsumerConfig(
        durable_name=NOTIFIER,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=64,
        filter_subjects=sorted(f"watchword.{topic}" for topic in TOPICS),
    )
    await js.add_consumer(STREAM, consumer)


class NatsBroker:
    """The Broker socket's plug."""

    def __init__(self, client: Client, *, source: str) -> None:
        self._js = client.jetstream(timeout=_PUBLISH_TIMEOUT_SECONDS, publish_async_max_pending=4000)
        self._source = source

    async def last_position(self) -> int | None:
        """Return the newest position in the stream; 0 when it never held one; None when all of it aged out."""
        info = await self._js.stream_info(STREAM)
        if info.state.messages == 0:
            return None if info.state.last_seq else 0
        last = await self._js.get_msg(STREAM, seq=info.state.last_seq)
        return int((last.headers or {})["Nats-Msg-Id"].removeprefix(_ID))

    async def publish(self, envelopes: Sequence[Envelope], *, after: int | None) -> None:
        """Publish in order. Each message names the one before, so that two relays cannot disturb the order."""
        before = after
        sent = []
        for envelope in envelopes:
            headers = self._headers(envelope)
            if before is not None:
                headers["Nats-Expected-Last-Msg-Id"] = f"{_ID}{before}"
            body = orjson.dumps(envelope.fact.model_dump(mode="json"))
            subject = f"watchword.{envelope.fact.TOPIC}"
            sent.append(asyncio.ensure_future(self._js.publish(subject, body, headers=headers, stream=STREAM)))
            before = envelope.position
        results = await asyncio.gather(*sent, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _headers(self, envelope: Envelope) -> dict[str, str]:
        named = {
            "id": f"{_ID}{envelope.position}",
            "source": self._source,
            "specversion": "1.0",
            "type": f"watchword.{envelope.fact.versioned_topic()}",
            "subject": envelope.stream,
            "time": envelope.at.isoformat(),
            "tenant": envelope.tenant,
            "sequence": str(envelope.position),
            "actor": envelope.actor,
            "correlationid": envelope.correlation_id,
            "version": str(envelope.version),
        }
        headers = {f"ce-{name}": quote(value, safe=":/.@+-_|*") for name, value in named.items() if value}
        return {**headers, "content-type": "application/json", "Nats-Msg-Id": f"{_ID}{envelope.position}"}


def envelope_of(headers: Mapping[str, Any], body: bytes) -> Envelope:
    """Return the envelope of a message. Raises KeyError or ValueError for one that is not ours."""
    given = {name.removeprefix("ce-"): unquote(str(value)) for name, value in headers.items() if name.startswith("ce-")}
    return Envelope(
        fact=FACTS[given["type"].removeprefix("watchword.")].model_validate_json(body),
        stream=given["subject"],
        version=int(given["version"]),
        at=datetime.fromisoformat(given["time"]),
        actor=given["actor"],
        tenant=given.get("tenant", ""),
        command_id="",
        correlation_id=given.get("correlationid", ""),
        position=int(given["sequence"]),
    )
