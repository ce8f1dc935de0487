"""The way to the message stream: NATS JetStream, each message chained to the one before."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

from domain.kernel import Envelope
from domain.notices import TOPICS
from handlers.adapters.messages import LEAF_HASH, NOTIFIER, STREAM, message_of, place_of, tells_the_same
from handlers.ports import Unavailable

_DUPLICATES_SECONDS = 2 * 60 * 60
"""How long the stream itself recognises a message that comes twice."""
_ACK_WAIT_SECONDS = 20
"""How long a worker may be silent about a message before another gets it."""
_PUBLISH_TIMEOUT_SECONDS = 5
_TAIL = 1_000
"""Messages at the end of the stream that are looked at for the newest one of ours."""
_log = logging.getLogger("watchword.relay")
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
    """The Broker port's adapter for JetStream. What is in the stream decides nothing: it is compared with the log."""

    def __init__(self, client: Client, *, source: str) -> None:
        self._client = client
        self._js = client.jetstream(timeout=_PUBLISH_TIMEOUT_SECONDS)
        self._source = source
        self._last_sequence = 0
        self._last_id: str | None = None
        """Of the message that we published last; None: the stream's end was looked up, and the sequence counts."""

    async def last_position(self, tracked: int, fact_at: Callable[[int], Envelope | None]) -> int | None:
        """Return the newest position that the stream's end tells of; 0 when the stream never held a message.

        Foreign and deleted messages are passed over, `_TAIL` at most. Who finds an older fact than was tracked looks
        on: it may be a copy of an old message, or the stream may have lost its end.
        """
        self._last_id = None
        try:
            state = (await self._js.stream_info(STREAM)).state
            self._last_sequence, found = state.last_seq, None
            if state.messages == 0:
                return None if state.last_seq else 0
            for sequence in range(state.last_seq, max(state.first_seq, state.last_seq - _TAIL) - 1, -1):
                position = await self._told_at(sequence, fact_at)
                found = max(found or 0, position) if position else found
                if found and found >= tracked:
                    break
        except (nats.errors.Error, TimeoutError) as error:
            raise Unavailable("the message stream does not say where it ends") from error
        return found

    async def _told_at(self, sequence: int, fact_at: Callable[[int], Envelope | None]) -> int | None:
        """Return the position of the fact that a message tells of; None when it tells of none, or is no longer there."""
        try:
            message = await self._js.get_msg(STREAM, seq=sequence)
        except NotFoundError:
            return None
        try:
            position, _ = place_of(message.headers)
            fact = await asyncio.to_thread(fact_at, position)
        except ValueError:
            fact = None
        if fact is None or not tells_the_same(message.headers, message.data or b"", fact):
            _log.error(
                "message %s of the stream is not ours: it tells of nothing in the log, and is passed over", sequence
            )
            return None
        return fact.position

    async def is_at_end(self) -> bool:
        """Say whether the stream still ends with the last message that was published here."""
        try:
            return (await self._js.stream_info(STREAM)).state.last_seq == self._last_sequence
        except (nats.errors.Error, TimeoutError) as error:
            raise Unavailable("the message stream does not say where it ends") from error

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish in order, and return when the stream holds the last one, and so every one.

        Each message names the one before, and the first after a look at the stream its sequence. So the stream takes none
        after one that it did not take, two relays cannot disturb the order, and its answer for the last message is its
        answer for all. The first is answered before the others go: a message of its id that is there already is
        compared with it.
        """
        first, *others = envelopes
        try:
            await self._publish_first(first)
            for number, envelope in enumerate(others, start=1):
                subject, body, headers = message_of(envelope, self._source)
                headers |= {"Nats-Expected-Last-Msg-Id": self._last_id or ""}
                if number == len(others):
                    answer = await self._js.publish(subject, body, headers=headers, stream=STREAM)
                    self._last_sequence = answer.seq
                else:
                    await self._client.publish(subject, body, headers=headers)
                self._last_id = headers["Nats-Msg-Id"]
                if number % _BREATH == 0:
                    await asyncio.sleep(0)
        except (nats.errors.Error, TimeoutError) as error:
            raise Unavailable("the message stream did not take a fact") from error

    async def _publish_first(self, envelope: Envelope) -> None:
        """Publish one fact. Where a message that is not ours took its id, publish it under an id of its own."""
        subject, body, headers = message_of(envelope, self._source)
        if self._last_id is None:
            headers |= {"Nats-Expected-Last-Sequence": str(self._last_sequence)}
        else:
            headers |= {"Nats-Expected-Last-Msg-Id": self._last_id}
        answer = await self._js.publish(subject, body, headers=headers, stream=STREAM)
        if answer.duplicate and not await self._holds(answer.seq, envelope):
            _log.critical("position %s: a message that is not ours had taken its id", envelope.position)
            headers |= {"Nats-Msg-Id": f"{headers['Nats-Msg-Id']}:{headers.get(LEAF_HASH, '')}"}
            answer = await self._js.publish(subject, body, headers=headers, stream=STREAM)
        if not answer.duplicate:
            self._last_sequence = answer.seq
        self._last_id = headers["Nats-Msg-Id"]

    async def _holds(self, sequence: int, envelope: Envelope) -> bool:
        """Say whether the message at a sequence tells of this fact."""
        try:
            message = await self._js.get_msg(STREAM, seq=sequence)
        except NotFoundError:
            return False
        return tells_the_same(message.headers, message.data or b"", envelope)
