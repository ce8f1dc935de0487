"""What the delivery tests do: append facts, read the stream, and serve SMTP by a script."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes
from email.message import Message
from uuid import uuid4

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from api import bootstrap
from api.bootstrap import STREAM, Watchword
from api.embedded.ports import free_port
from domain import kernel
from domain.facts import ResetRequested
from domain.kernel import Fact
from handlers import mailing
from handlers.adapters.broker import NatsBroker
from handlers.mailing import Tried
from handlers.ports import Change, Origin, QueuedMail, Row
from handlers.relay import Relay
from tests import posting
from tests.posting import send_due

SECONDS = 30
"""How long a test waits for what has to happen."""


def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


async def sooner_or_later(holds: Callable[[], bool]) -> None:
    """Wait for what has to happen, while the tasks of this event loop go on."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def append(
    watchword: Watchword,
    stream: str,
    fact: Fact,
    *,
    tenant: str = "dist",
    actor: str = "system",
    rows: Sequence[Row] = (),
) -> kernel.Envelope:
    """Append one fact to a stream and return its envelope."""
    position = append_several(watchword, stream, [fact], tenant=tenant, actor=actor, rows=rows)
    return watchword.store.at([position])[0]


def append_several(
    watchword: Watchword,
    stream: str,
    facts: Sequence[Fact],
    *,
    tenant: str = "dist",
    actor: str = "system",
    rows: Sequence[Row] = (),
) -> int:
    """Append facts to a stream at once and return the last position."""
    history = watchword.store.history(stream)
    at = watchword.sockets.clock.now()
    asked = Origin(actor=actor, command_id=str(uuid4()), at=at, correlation_id=f"corr-{uuid4()}")
    return watchword.store.append(Change(stream, len(history), facts, tenant), origin=asked, rows=rows)


def ask_reset(watchword: Watchword, account_id: str = "dist-owner", *, minutes: float = 60) -> kernel.Envelope:
    """Append the fact of a reset that a person asked for."""
    expires = watchword.sockets.clock.now() + timedelta(minutes=minutes)
    fact = ResetRequested(reset_id=str(uuid4()), expires_at=expires)
    return append(watchword, f"user_mfa:{account_id}", fact, actor=f"account:{account_id}")


# ── The message stream ──────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def connected(watchword: Watchword, nats_url: str) -> AsyncIterator[tuple[Client, NatsBroker]]:
    client, broker = await bootstrap.stream(replace(watchword.settings, nats_url=nats_url))
    try:
        yield client, broker
    finally:
        await client.close()


async def publish_all(relay: Relay, watchword: Watchword) -> int:
    """Publish until nothing is left, and return how many facts that were."""
    count = 0
    while published := await relay.publish_next(watchword.sockets.clock.now()):
        count += published
    return count


def relay_for(watchword: Watchword, broker: NatsBroker) -> Relay:
    return Relay(watchword.store, broker, watchword.relay_position)


@asynccontextmanager
async def following(relay: Relay, watchword: Watchword) -> AsyncIterator[asyncio.Task[None]]:
    """Let the relay follow the log, and end it as its program does."""
    ended = asyncio.Event()

    async def soon() -> None:
        await asyncio.sleep(0.01)

    task = asyncio.create_task(relay.follow(soon, watchword.sockets.clock.now, ended.is_set))
    try:
        yield task
    finally:
        ended.set()
        task.cancel()
        done, _ = await asyncio.wait((task,), timeout=SECONDS)
        assert done, "a relay that was told to end goes on"


async def holds_messages(client: Client, count: int) -> None:
    """Wait until the stream holds so many messages."""
    deadline = time.monotonic() + SECONDS
    while (await client.jetstream().stream_info(STREAM)).state.messages < count:
        assert time.monotonic() < deadline, "the stream is not filled in time"
        await asyncio.sleep(0.01)


async def messages(client: Client) -> list[Msg]:
    """Return every message of the stream, in its order."""
    js = client.jetstream()
    count = (await js.stream_info(STREAM)).state.messages
    subscription = await js.subscribe(
        "watchword.>", stream=STREAM, ordered_consumer=True, deliver_policy=DeliverPolicy.ALL
    )
    found = [await subscription.next_msg(timeout=SECONDS) for _ in range(count)]
    await subscription.unsubscribe()
    return found


def positions(found: list[Msg]) -> list[int]:
    return [int((message.headers or {})["ce-sequence"]) for message in found]


def whole_log(watchword: Watchword) -> list[kernel.Envelope]:
    log: list[kernel.Envelope] = []
    while page := watchword.store.read(log[-1].position if log else 0, 5000):
        log += page
    return log


def in_the_log(watchword: Watchword) -> list[int]:
    return [envelope.position for envelope in whole_log(watchword)]


# ── Mail ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Post:
    """An SMTP server that answers what the test says: first the script, then 250."""

    answers: list[str] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    """Every mail whose text came in whole, whatever was answered."""
    port: int = field(default_factory=free_port)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        del session
        assert isinstance(envelope.content, bytes)
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer.startswith(("250", "lost")):
            self.taken.append(envelope.content)
        if answer == "lost":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return answer

    @property
    def mails(self) -> list[Message]:
        return [message_from_bytes(content) for content in self.taken]

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"


@contextmanager
def serving(post: Post) -> Iterator[Post]:
    controller = Controller(post, hostname="127.0.0.1", port=post.port)
    controller.start()
    try:
        yield post
    finally:
        controller.stop()


def send(watchword: Watchword, post: Post) -> str | None:
    """Try the next mail that is due, and return what became of it."""
    mailer = bootstrap.mailer(replace(watchword.settings, smtp_url=post.url))

    async def once() -> list[Tried]:
        try:
            return await send_due(watchword, mailer, 1)
        finally:
            await mailer.close()

    return next((tried.outcome for tried in asyncio.run(once())), None)


def react(watchword: Watchword, envelope: kernel.Envelope) -> int:
    return posting.react(watchword, [envelope])


def requeue_all(watchword: Watchword, mails: Sequence[QueuedMail] | None = None) -> None:
    """Put the given mails back, or all that were given up."""
    for mail in watchword.queue.dead() if mails is None else mails:
        mailing.requeue(mail, watchword.sockets)
