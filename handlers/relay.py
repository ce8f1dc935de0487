"""The relay: the event log is the outbox, and each fact goes to the message stream once, in order, whatever is killed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from domain.kernel import Envelope
from handlers.ports import Broker, EventStore, Unavailable

WINDOW = 1000
"""Facts in flight at once."""
RETRY_SECONDS = 0.5
"""How long the relay waits when the stream or the log does not answer."""
RETENTION = timedelta(days=7)
"""How long the stream keeps messages; a stream that was lost is filled again as far back."""
_log = logging.getLogger("watchword.relay")


class Positions(Protocol):
    """Where the relay has come to, kept with the log."""

    def get(self) -> int:
        """Return the last position that was published for certain."""

    def set(self, position: int) -> None:
        """Remember it."""


class Relay:
    """Publishes what the stream lacks. The log says what is right; the stream only how far it agrees with the log."""

    def __init__(self, store: EventStore, broker: Broker, positions: Positions) -> None:
        self._store = store
        self._broker = broker
        self._positions = positions
        self.position: int | None = None
        """The last position in the stream; None: the stream has to be asked."""
        self._keeping: asyncio.Future[None] | None = None
        self._reading: asyncio.Future[Sequence[Envelope]] | None = None

    async def start(self, now: datetime) -> None:
        """Find where to go on: after the stream's last fact; in a lost stream, from the start of the time it keeps.

        A tracked position beyond the end of the log cannot be: it counts as none.
        """
        tracked, end = await asyncio.to_thread(lambda: (self._positions.get(), self._store.last_position()))
        if tracked > end:
            _log.error("the tracked position %s is beyond the end of the log, %s: it does not count", tracked, end)
        found = await self._broker.last_position(min(tracked, end), self._fact_at)
        if found is None and tracked <= end:
            self.position = tracked
        elif found:
            self.position = found
        elif tracked > 0:
            self.position = await asyncio.to_thread(position_before, self._store, now - RETENTION)
        else:
            self.position = 0

    def _fact_at(self, position: int) -> Envelope | None:
        return next(iter(self._store.at([position])), None)

    async def publish_next(self, now: datetime) -> int:
        """Publish the next window and return how many facts it held. After any failure the stream is asked again."""
        if self.position is None:
            await self.start(now)
        position = self.position or 0
        # In a thread: a database that hangs must not keep the stream's client from answering its pings.
        self._reading = asyncio.ensure_future(asyncio.to_thread(self._store.read, position, WINDOW))
        window = await asyncio.shield(self._reading)
        if not window:
            await self._remember(position, wait=True)
            return 0
        self.position = None
        await self._broker.publish(window)
        self.position = window[-1].position
        await self._remember(self.position, wait=False)
        return len(window)

    async def look_at_the_stream(self) -> None:
        """Ask the stream again where it ends, if it no longer ends with what was published here: it may be lost."""
        if self.position is not None and not await self._broker.is_at_end():
            _log.warning("the stream was changed by somebody else, or is lost: it is compared with the log")
            self.position = None

    async def _remember(self, position: int, *, wait: bool) -> None:
        """Keep the position beside the publishing, so that no window waits for a commit."""
        if self._keeping is not None:
            if not (wait or self._keeping.done()):
                return
            keeping, self._keeping = self._keeping, None
            await keeping
        self._keeping = asyncio.ensure_future(asyncio.to_thread(self._keep, position))
        if wait:
            await self._keeping

    def _keep(self, position: int) -> None:
        if self._positions.get() != position:  # looked up each time: another relay may have noted an older one last
            self._positions.set(position)

    async def follow(
        self, wait: Callable[[], Awaitable[None]], now: Callable[[], datetime], ended: Callable[[], bool]
    ) -> None:
        """Publish until it is to end; ``wait`` returns when there may be more. What does not answer is asked again.

        To cancel it is not enough: ``asyncio.wait_for`` before Python 3.12, through which the stream's client waits, loses
        a cancellation that comes in the moment of the answer.
        """
        try:
            while not ended():
                try:
                    published = await self.publish_next(now())
                    if published == 0:
                        await self.look_at_the_stream()
                except Unavailable as error:
                    _log.warning("%s", error)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if published == 0 and self.position is not None:
                    await wait()
        finally:
            under_way = [each for each in (self._keeping, self._reading) if each is not None]
            await asyncio.gather(
                *under_way, return_exceptions=True
            )  # they need the database, which is let go after this


def position_before(store: EventStore, instant: datetime) -> int:
    """Return the position before the first fact that is not older than the instant, in about 20 reads of a large log."""
    low, high = 0, store.last_position()
    while low < high:
        middle = (low + high) // 2
        found = store.read(middle, 1)
        if not found or found[0].at >= instant:
            high = middle
        else:
            low = found[0].position
    return low
