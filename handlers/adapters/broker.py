"""The way to the message stream: NATS JetStream, each message chained to the one before."""

import asyncio
from collections.abc import Sequence

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

from domain.kernel import Envelope
from domain.notices import TOPICS
from handlers.adapters.messages import ID, NOTIFIER, STREAM, message_of
from handlers.ports import Unavailable

_DUPLICATES_SECONDS = 2 * 60 * 60
"""How long the stream itself recognises a message that comes twice."""
_ACK_WAIT_SECONDS = 20
"""How long a worker may be silent about a message before another gets it."""
_PUBLISH_TIMEOUT_SECONDS = 5
_BREATH = 64
"""Messages after which the connection may write, so that the stream works while the next ones are made."""


async def connect(url: str) -> Client:
    """Return a connection that never gives up and never prints; a cluster's addresses are separated by commas."""

    async def quiet(_: Exception) -> None:
        """Failures show in what fails, and in readiness."""

    return await nats.connect(
        url.split(","),
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        error_cb=quiet,
        connect_timeout=5,
        ping_interval=5,
    )


async def declare(js: JetStreamContext, *, retention_seconds: float, replicas: int = 1) -> None:
    """Make the stream and the notifier's durable consumer, or bring them to these settings."""
    stream = StreamConfig(
        name=STREAM,
        subjects=["watchword.>"],
        max_age=retention_seconds,
        duplicate_window=_DUPLICATES_SECONDS,
        num_replicas=replicas,
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
        max_ack_pending=512,
        filter_subjects=sorted(f"watchword.{topic}" for topic in TOPICS),
    )
    await js.add_consumer(STREAM, consumer)


class NatsBroker:
    """The Broker socket's plug."""

    def __init__(self, client: Client, *, source: str) -> None:
        self._client = client
        self._js = client.jetstream(timeout=_PUBLISH_TIMEOUT_SECONDS)
        self._source = source
        self._last_sequence = 0

    async def last_position(self) -> int | None:
        """Return the newest position in the stream; 0 when it never held one; None when all of it aged out."""
        try:
            info = await self._js.stream_info(STREAM)
            self._last_sequence = info.state.last_seq
            if info.state.messages == 0:
                return None if info.state.last_seq else 0
            last = await self._js.get_msg(STREAM, seq=info.state.last_seq)
        except NotFoundError:
            raise
        except (nats.errors.Error, TimeoutError) as error:
            raise Unavailable("the message stream does not say where it ends") from error
        return int((last.headers or {})["Nats-Msg-Id"].removeprefix(ID))

    async def publish(self, envelopes: Sequence[Envelope], *, after: int | None) -> None:
        """Publish in order, all in flight at once, and return when the stream holds the last one, and so every one.

        Each message names the one before, and the first of all what the stream then ended with. So the stream takes
        none after one that it did not take, two relays cannot disturb the order, and its word for the last message
        is its word for all.
        """
        before = {"Nats-Expected-Last-Sequence": str(self._last_sequence)} if after is None else _following(after)
        *others, last = envelopes
        try:
            for number, envelope in enumerate(others, start=1):
                subject, body, headers = message_of(envelope, self._source)
                await self._client.publish(subject, body, headers={**headers, **before})
                before = _following(envelope.position)
                if number % _BREATH == 0:
                    await asyncio.sleep(0)
            subject, body, headers = message_of(last, self._source)
            await self._js.publish(subject, body, headers={**headers, **before}, stream=STREAM)
        except (nats.errors.Error, TimeoutError) as error:
            raise Unavailable("the message stream did not take a fact") from error


def _following(position: int) -> dict[str, str]:
    return {"Nats-Expected-Last-Msg-Id": f"{ID}{position}"}
