"""From the log to the message stream beside bare JetStream, and from a fact to the mail server beside bare SMTP."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import aiosmtplib
import psycopg
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from api import bootstrap
from api.bootstrap import Watchword
from api.sending import Sending
from domain.facts import Enabled, ResetRequested
from domain.kernel import Envelope
from handlers import mailing, notices
from handlers.adapters.mailer import as_bytes
from handlers.adapters.messages import message_of
from handlers.relay import Relay
from tests.bench.figures import Figure
from tests.bench.ground import Sink, append, ground, p99, program, sink, sink_process

IN_FLIGHT = 1000
CONNECTIONS = 4
ROUNDS = 3
ALLOWED_MS = 150.0
"""What P10 allows a mail from its fact's commit to the mail server's word."""
_NUMBERS = count(1)
Answer = TypeVar("Answer")


def measure(folder: Path, facts: int, mails: int, looks: int) -> list[Figure]:
    """Measure P9 and P10; rates are medians of rounds in turn."""
    with ground(folder) as watchword:
        relayed, published = asyncio.run(_relaying(watchword, facts))
        figures = [Figure("P9", "relay beside 1,000 in flight", relayed, published, "facts/s", 0.7, facts)]
        with program(watchword, "relay"):
            ours, floor = asyncio.run(_arriving(watchword, looks))
        figures.append(Figure("P9", "commit to consumer, p99", p99(ours), p99(floor), "ms", 2.0))
        with sink_process() as url:
            sent, bare = _mailing(watchword, url, mails)
        figures.append(Figure("P10", "mails over 4 connections", sent, bare, "mails/s", 0.8, mails))
        with sink() as (taken, url), program(watchword, "relay", "worker", smtp_url=url):
            figures.append(
                Figure(
                    "P10", "commit to SMTP accepted, p99", p99(_mailed(watchword, taken, looks)), ALLOWED_MS, "ms", 1.0
                )
            )
    return figures


# ── The stream ──


async def _relaying(watchword: Watchword, facts: int) -> tuple[float, float]:
    client, broker = await bootstrap.stream(watchword.settings)
    await client.jetstream().add_stream(StreamConfig(name="BARE", subjects=["bare"], duplicate_window=7200))
    relay, ours, floor = Relay(watchword.store, broker, watchword.relay_position), [], []
    while await relay.publish_next(watchword.sockets.clock.now()):
        pass
    for _ in range(ROUNDS):
        before = watchword.store.last_position()
        for _ in range(0, facts, 500):
            append(watchword, [(f"user_mfa:bench-{next(_NUMBERS)}", [Enabled()] * 500)])
        started = time.perf_counter()
        while await relay.publish_next(watchword.sockets.clock.now()):
            pass
        ours.append(facts / (time.perf_counter() - started))
        floor.append(facts / await _publish(client, watchword.store.read(before, facts)))
    await client.close()
    return statistics.median(ours), statistics.median(floor)


async def _publish(client: Client, envelopes: Sequence[Envelope]) -> float:
    """Publish messages that are ready, with as many in flight as allowed, and return the seconds."""
    js = client.jetstream(timeout=10, publish_async_max_pending=IN_FLIGHT)
    ready = [message_of(each, "http://127.0.0.1:8000") for each in envelopes]
    started = time.perf_counter()
    for _, body, headers in ready:
        await js.publish_async("bare", body, headers=headers)
    await js.publish_async_completed()
    return time.perf_counter() - started


async def _arriving(watchword: Watchword, looks: int) -> tuple[list[float], list[float]]:
    """Return the seconds from a commit to a consumer by the relay, and those of a NOTIFY and a bare publish together."""
    client, _ = await bootstrap.stream(watchword.settings)
    js, ours, floor = client.jetstream(), [], []
    told = await js.subscribe("watchword.>", stream=bootstrap.STREAM, ordered_consumer=True)
    bare = await js.subscribe("bare", stream="BARE", ordered_consumer=True)
    await _drained(told)
    await _drained(bare)
    async with await psycopg.AsyncConnection.connect(watchword.settings.need("database_url"), autocommit=True) as ear:
        await ear.execute("LISTEN bench")
        for _ in range(looks):
            await asyncio.sleep(0.02)
            await asyncio.to_thread(append, watchword, [(f"user_mfa:bench-{next(_NUMBERS)}", [Enabled()])])
            started = time.perf_counter()
            await told.next_msg(timeout=10)
            ours.append(time.perf_counter() - started)
            await asyncio.to_thread(watchword.database.run, "NOTIFY bench")
            started = time.perf_counter()
            await _heard(ear)
            await js.publish("bare", b"{}")
            await bare.next_msg(timeout=10)
            floor.append(time.perf_counter() - started)
    await client.close()
    return ours, floor


async def _heard(ear: psycopg.AsyncConnection) -> None:
    async for _ in ear.notifies(timeout=10, stop_after=1):
        pass


async def _drained(subscription: JetStreamContext.PushSubscription) -> None:
    with suppress(NatsTimeout):
        while True:
            await subscription.next_msg(timeout=1)


# ── Mail ──


def _owe(watchword: Watchword, mails: int) -> None:
    """Let mails with a link be owed, as the intake does: 64 facts at once."""
    expires = watchword.sockets.clock.now() + timedelta(hours=1)
    first = watchword.store.last_position()
    for _ in range(mails):
        fact = ResetRequested(reset_id=str(uuid4()), expires_at=expires)
        append(watchword, [(f"reset:{next(_NUMBERS)}", [fact])])
    envelopes = [replace(each, stream="user_mfa:dist-owner") for each in watchword.store.read(first, mails)]
    for start in range(0, mails, 64):
        notices.react(envelopes[start : start + 64], watchword.sockets, watchword.queue)


def _mailing(watchword: Watchword, url: str, mails: int) -> tuple[float, float]:
    ours, floor = [], []
    for _ in range(ROUNDS):
        _owe(watchword, mails)
        taken = mailing.take(watchword.sockets, watchword.queue, mails)
        ready = [as_bytes(each.mail, "Watchword <no-reply@watchword.invalid>") for each in taken if each.mail]
        watchword.queue.give_back([each.queued.mail_id for each in taken], watchword.sockets.clock.now())
        floor.append(mails / asyncio.run(_hand_over(url, ready)))
        ours.append(mails / asyncio.run(_send(watchword, url)))
    return statistics.median(ours), statistics.median(floor)


async def _hand_over(url: str, ready: list[bytes]) -> float:
    """Send mails that are ready, by the library alone, and return the seconds."""
    port = int(url.rpartition(":")[2])
    started = time.perf_counter()

    async def one() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port) as smtp:
            while ready:
                await smtp.sendmail("no-reply@watchword.invalid", ["dist-owner@mail.example"], ready.pop())

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return time.perf_counter() - started


def _wait_until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.02)


async def _send(watchword: Watchword, url: str) -> float:
    """Send what is due as the worker does, until it is settled, and return the seconds."""
    settings = replace(watchword.settings, smtp_url=url)
    sending = Sending(watchword, [bootstrap.mailer(settings) for _ in range(CONNECTIONS)], asyncio.Event())
    started = time.perf_counter()
    task = asyncio.create_task(sending.run())
    query = "SELECT FROM mail_queue WHERE state = 'pending' LIMIT 1"
    await asyncio.to_thread(_wait_until, lambda: task.done() or watchword.database.one(query) is None)
    seconds = time.perf_counter() - started
    sending.end()
    await task
    return seconds


def _mailed(watchword: Watchword, taken: Sink, looks: int) -> list[float]:
    """Return the seconds from each commit of a fact to the mail server's word, one after the other."""
    seconds, expires = [], watchword.sockets.clock.now() + timedelta(hours=1)
    for look in range(looks + 1):
        before = taken.taken
        fact = ResetRequested(reset_id=str(uuid4()), expires_at=expires)
        version = len(watchword.store.history("user_mfa:dist-owner"))
        append(watchword, [("user_mfa:dist-owner", [fact])], after=version)
        started = time.perf_counter()
        while taken.taken == before:
            time.sleep(0.001)
        if look:  # the first one waits for the programs to start
            seconds.append(taken.at - started)
        time.sleep(0.05)
    return seconds
