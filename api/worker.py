"""The notification worker: messages of the stream become mails that are owed, and mails that are due are sent."""

import asyncio
import logging
import os
from contextlib import suppress

from faststream import AckPolicy, FastStream
from faststream.exceptions import NackMessage, RejectMessage
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError

from api.bootstrap import NOTIFIER, STREAM, Watchword, envelope_of, mailer, stream
from handlers import notices
from handlers.ports import Unavailable

_log = logging.getLogger("watchword.worker")
_RETRY_SECONDS = 2
_IDLE_SECONDS = 0.5
"""How long a sender with nothing due waits before it looks again."""
_TIDY_SECONDS = 600
_SENDERS = 4
"""Mails in flight at once."""
_LOST = 75
"""Exit status for "begin again": the supervisor, or the container's restart policy, starts the worker anew."""


def create_worker(watchword: Watchword) -> FastStream:
    """Return the FastStream application of the worker."""
    stopping, owed = asyncio.Event(), asyncio.Event()

    async def gone() -> None:
        if not stopping.is_set():
            os._exit(_LOST)

    broker = NatsBroker(
        watchword.settings.need("nats_url"),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        ping_interval=5,
        max_outstanding_pings=2,
        graceful_timeout=3,
        closed_cb=gone,
        logger=_log,
    )

    @broker.subscriber(
        "watchword.>",
        durable=NOTIFIER,
        stream=JStream(STREAM, declare=False),
        pull_sub=PullSub(batch_size=1, timeout=1),
        max_workers=1,
        no_reply=True,
        decoder=_as_it_came,
    )
    async def notifier(body: bytes, message: NatsMessage) -> None:
        """React to one fact: what it calls for is owed, exactly once, before the message is acknowledged."""
        del body
        if await react_to(message, watchword):
            owed.set()

    app = FastStream(broker, logger=_log)
    tasks: list[asyncio.Task[None]] = []

    @app.on_startup
    async def declare() -> None:
        client, _ = await stream(watchword.settings)
        await client.close()

    @app.after_startup
    async def begin() -> None:
        tasks.append(asyncio.create_task(_watch(broker, stopping)))
        tasks.append(asyncio.create_task(_tidy(watchword)))
        tasks.extend(asyncio.create_task(_send(watchword, stopping, owed)) for _ in range(_SENDERS))

        for task in tasks:
            task.add_done_callback(_ended_loudly)

    @app.on_shutdown
    async def end() -> None:
        stopping.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return app


def _ended_loudly(task: asyncio.Task[None]) -> None:
    """Begin anew when a part of the worker died: half a worker would be silent about it."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.critical("a part of the worker died: %s", type(error).__name__)
        os._exit(_LOST)


async def _as_it_came(message: NatsMessage) -> bytes:
    return message.body


async def react_to(message: NatsMessage, watchword: Watchword) -> int:
    """Turn a message into its fact, react, and return how many mails that owes.

    The log is believed, not the message: what the log does not hold is refused for good, and what fails now comes again.
    """
    try:
        told = envelope_of(message.headers, message.body)
    except (KeyError, ValueError) as error:
        _log.exception("a message cannot be read: %s", type(error).__name__)
        raise RejectMessage from None
    try:
        known = await asyncio.to_thread(watchword.store.read, told.position - 1, 1)
        if not known or (known[0].position, known[0].stream) != (told.position, told.stream):
            _log.critical("a message says what the log does not: position %s", told.position)
            raise RejectMessage
        return await asyncio.to_thread(notices.react, known[0], watchword.sockets, watchword.queue)
    except Unavailable:
        raise NackMessage(delay=_RETRY_SECONDS) from None


async def _send(watchword: Watchword, stopping: asyncio.Event, owed: asyncio.Event) -> None:
    """Send what is due, one after the other, for ever."""
    post = mailer(watchword.settings)
    while not stopping.is_set():
        try:
            tried = await notices.send_next(watchword.sockets, watchword.queue, post)
        except Unavailable:
            tried = None
        if tried is not None:
            _log.info("mail %s: %s", tried.mail_id, tried.outcome)
            continue
        owed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(owed.wait(), timeout=_IDLE_SECONDS)


async def _tidy(watchword: Watchword) -> None:
    """Delete what has run out, now and then."""
    while True:
        with suppress(Unavailable):
            await asyncio.to_thread(watchword.tidy)
        await asyncio.sleep(_TIDY_SECONDS)


async def _watch(broker: NatsBroker, stopping: asyncio.Event) -> None:
    """Begin anew when the durable consumer is gone: a worker without it would wait for ever."""
    missed = 0
    while not stopping.is_set():
        await asyncio.sleep(1)
        try:
            await broker.connection.jetstream(timeout=3).consumer_info(STREAM, NOTIFIER)
            missed = 0
        except NotFoundError:
            missed += 1
        except (NatsError, APIError, TimeoutError) as error:
            # The broker is away; the connection comes back by itself, and only a missing consumer does not.
            _log.warning("the broker does not answer: %s", type(error).__name__)
        if missed >= 2:  # noqa: PLR2004 once may be a stream that is being made
            _log.critical("the consumer is gone: the worker begins anew")
            os._exit(_LOST)
