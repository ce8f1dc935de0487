"""Sends the mails that are due: several at once, each on a connection of its own that is kept, and settled together."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from api.bootstrap import Watchword
from handlers import mailing
from handlers.mailing import Taken, Tried
from handlers.ports import Mail, Unavailable

_log = logging.getLogger("watchword.worker")
_IDLE_SECONDS = 0.5
"""How long it waits with nothing due before it looks again."""
_GATHER_SECONDS = 0.02
"""How long tries gather before they are settled: a commit for many costs little more than one for each alone."""
_AWAY_SECONDS = 1.0
"""How long what was tried is kept before the database is asked again to take it."""
_WARN_SECONDS = 60.0
"""Between two warnings about mails that could not be handed over."""
_END_SECONDS = 1.5
"""How long mails that are on their way have when the worker ends."""
_TAKEN = 32
"""Mails that are taken at once; of a killed worker twice as many wait at most until its lease ends."""


class Connection(Protocol):
    """A way to the mail server that is used for one mail after the other."""

    async def send(self, mail: Mail) -> None:
        """Hand a mail over."""

    async def close(self) -> None:
        """Take leave."""


class Sending:
    """Takes mails ahead of the connections and settles them behind, so that no connection waits for the database."""

    def __init__(self, watchword: Watchword, connections: Sequence[Connection], owed: asyncio.Event) -> None:
        self._w = watchword
        self._connections = connections
        self._owed = owed
        """Set when there may be more that is due."""
        self._ready: asyncio.Queue[Taken | None] = asyncio.Queue(_TAKEN)
        self._unsent: list[Taken] = []
        self._tried: list[Tried] = []
        self._some = asyncio.Event()
        self._stopping = asyncio.Event()
        self._warn_after = 0.0

    async def run(self) -> None:
        """Send until it is told to end; then finish what is on its way, and give back what is not."""
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(self._take()), group.create_task(self._settle())]
            senders = [group.create_task(self._send(each)) for each in self._connections]
            await self._stopping.wait()
            await asyncio.wait(senders, timeout=_END_SECONDS)
            for task in (*senders, *others):
                task.cancel()
        while not self._ready.empty():
            self._keep_unsent(self._ready.get_nowait())
        now = self._w.sockets.clock.now()
        with suppress(Unavailable):
            await self._settle_tried()
            await asyncio.to_thread(self._w.queue.give_back, [each.queued.mail_id for each in self._unsent], now)

    def end(self) -> None:
        """Let it end."""
        self._stopping.set()
        self._owed.set()

    async def _take(self) -> None:
        while not self._stopping.is_set():
            self._owed.clear()
            taken: list[Taken] = []
            with suppress(Unavailable):
                taken = await asyncio.to_thread(mailing.take, self._w.sockets, self._w.queue, _TAKEN)
            for each in taken:
                await self._ready.put(each)
            if len(taken) < _TAKEN and not self._stopping.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._owed.wait(), timeout=_IDLE_SECONDS)
        for _ in self._connections:
            await self._ready.put(None)

    async def _send(self, connection: Connection) -> None:
        try:
            while (taken := await self._ready.get()) is not None:
                if self._stopping.is_set():
                    self._keep_unsent(taken)
                elif taken.is_ours(self._w.sockets.clock.now()):
                    tried = await mailing.attempt(taken, connection)
                    self._tried.append(tried)
                    self._some.set()
        finally:
            await connection.close()

    def _keep_unsent(self, taken: Taken | None) -> None:
        if taken is not None:
            self._unsent.append(taken)

    async def _settle(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._some.clear()
            try:
                await self._settle_tried()
            except Unavailable:
                await asyncio.sleep(_AWAY_SECONDS)
                self._some.set()

    async def _settle_tried(self) -> None:
        tried, self._tried = self._tried, []
        if not tried:
            return
        try:
            await asyncio.to_thread(mailing.settle, tried, self._w.sockets, self._w.queue)
        except Unavailable:
            self._tried = tried + self._tried
            raise
        for each in tried:
            _log.info("mail %s: %s", each.mail_id, each.outcome)
        self._warn([each.error for each in tried if each.outcome == "postponed"])

    def _warn(self, errors: Sequence[str]) -> None:
        """Say that mails could not be handed over, and why: by class and code alone, and not for each mail anew."""
        if errors and time.monotonic() >= self._warn_after:
            self._warn_after = time.monotonic() + _WARN_SECONDS
            _log.warning("mail cannot be handed over now, and is tried again later: %s", ", ".join(sorted({*errors})))
