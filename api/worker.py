"""The notification worker: messages of the stream become mails that are owed, and mails that are due are sent."""

import asyncio
import logging
import os
from contextlib import suppress
from dataclasses import replace

from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError

from api.bootstrap import NOTIFIER, STREAM, Watchword, connect, mailer, stream
from api.intake import Intake
from api.sending import Sending
from api.settings import Settings
from handlers.ports import Unavailable

_log = logging.getLogger("watchword.worker")
_TIDY_SECONDS = 600
_CONNECTIONS = 4
"""To the mail server: so many mails are on their way at once."""
_BATCH = 64
"""Messages that are reacted to at once. Each is fetched alone: nats-py ends an idle fetch of several by a TimeoutError that is
not its own, and FastStream then restarts its task, and keeps the old one, every second."""
_LOST = 75
"""Exit status for "begin again": the supervisor, or the container's restart policy, starts the worker anew."""


def create_worker(watchword: Watchword) -> FastStream:
    """Return the FastStream application of the worker."""
    stopping, owed = asyncio.Event(), asyncio.Event()
    intake = Intake(watchword)
    sending = Sending(watchword, [mailer(watchword.settings) for _ in range(_CONNECTIONS)], owed)

    async def gone() -> None:
        if not stopping.is_set():
            os._exit(_LOST)

    broker = NatsBroker(
        watchword.settings.need("nats_url").split(","),
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
        max_workers=_BATCH,
        no_reply=True,
        decoder=_as_it_came,
    )
    async def notifier(body: bytes, message: NatsMessage) -> None:
        """React to one fact: what it calls for is owed, exactly once, before the message is acknowledged."""
        del body
        if await intake.react_to(message):
            owed.set()

    app = FastStream(broker, logger=_log)
    tasks: list[asyncio.Task[None]] = []

    @app.on_startup
    async def wait_for_consumer() -> None:
        await _consumer_is_there(watchword.settings)

    @app.after_startup
    async def begin() -> None:
        tasks.append(asyncio.create_task(_watch(broker, stopping)))
        tasks.append(asyncio.create_task(_tidy(watchword)))
        tasks.append(asyncio.create_task(sending.run()))
        for task in tasks:
            task.add_done_callback(_ended_loudly)

    @app.on_shutdown
    async def end() -> None:
        stopping.set()
        sending.end()
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return app


async def _consumer_is_there(settings: Settings) -> None:
    """Wait until the stream and our consumer are there. The relay makes them; who has the right to, makes them here."""
    while True:
        client = await connect(settings.need("nats_url"))
        try:
            await client.jetstream(timeout=1).consumer_info(STREAM, NOTIFIER)
        except NotFoundError:
            with suppress(NatsError, APIError, TimeoutError):
                maker, _ = await asyncio.wait_for(stream(replace(settings, relay_nats_url=None)), _MAKE_SECONDS)
                await maker.close()
        except (NatsError, APIError, TimeoutError) as error:
            _log.warning("the broker does not answer: %s", type(error).__name__)
        else:
            return
        finally:
            await client.close()
        await asyncio.sleep(_LOOK_SECONDS)


_MAKE_SECONDS, _LOOK_SECONDS = 3.0, 0.2
"""How long making the stream may take before the right to is held to be missing, and between two looks for it."""


def _ended_loudly(task: asyncio.Task[None]) -> None:
    """Begin anew when a part of the worker died: half a worker would be silent about it."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.critical("a part of the worker died: %s", type(error).__name__)
        os._exit(_LOST)


async def _as_it_came(message: NatsMessage) -> bytes:
    return message.body


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
