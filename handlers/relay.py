"""The relay: the event log is the outbox, and each fact goes to the message stream once, in order, whatever is killed."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from handlers.ports import Broker, EventStore

BATCH = 500
"""Facts in flight at once."""
RETENTION = timedelta(days=7)
"""How long the stream keeps messages; a stream that was lost is filled again as far back."""


class Positions(Protocol):
    """Where the relay has come to, kept with the log."""

    def get(self) -> int:
        """Return the last position that was published for certain."""

    def set(self, position: int) -> None:
        """Remember it."""


class Relay:
    """Publishes what the stream lacks. The stream itself says where it ends, so that nothing is guessed after a crash."""

    def __init__(self, store: EventStore, broker: Broker, positions: Positions) -> None:
        self._store = store
        self._broker = broker
        self._positions = positions
        self.position: int | None = None
        """The last position in the stream; None: the stream has to be asked."""

    async def start(self, now: datetime) -> None:
        """Find where to go on: after the stream's last message; in a lost stream, from the start of the time it keeps."""
        tracked, found = self._positions.get(), await self._broker.last_position()
        if found is None:
            self.position = tracked
        elif found == 0 and tracked > 0:
            self.position = position_before(self._store, now - RETENTION)
        else:
            self.position = found
        self._chained = bool(found)

    async def publish_next(self, now: datetime) -> int:
        """Publish the next batch and return how many facts it held. On any failure the stream is asked again next time."""
        if self.position is None:
            await self.start(now)
        position = self.position or 0
        batch = self._store.read(position, BATCH)
        if not batch:
            return 0
        self.position = None
        await self._broker.publish(batch, after=position if self._chained else None)
        self.position, self._chained = batch[-1].position, True
        self._positions.set(self.position)
        return len(batch)

    async def follow(self, wait: Callable[[], Awaitable[None]], now: Callable[[], datetime]) -> None:
        """Publish for ever; ``wait`` returns when there may be more."""
        while True:
            if await self.publish_next(now()) == 0:
                await wait()


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
