"""A TCP proxy that breaks: it stands between Watchword and PostgreSQL, NATS or SMTP, and does what the test says."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal

from api.embedded.ports import LOOPBACK, free_port

Mode = Literal["pass", "refuse", "half-open"]
_HELD_SECONDS = 0.02


class FaultProxy:
    """One way to a server. `pass` and `refuse` mean what they say; `half-open` accepts, and never answers."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.mode: Mode = "pass"
        self.delay = 0.0
        """Seconds that each piece waits, in both directions."""
        self.drop_after: int | None = None
        """Bytes towards the server after which a connection breaks; None: never."""
        self.broken = 0
        """Connections that were refused, dropped or cut."""
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{target}", daemon=True)
        self._thread.start()
        self._server: asyncio.Server = self._do(asyncio.start_server(self._accepted, LOOPBACK, self.port))

    def pass_all(self) -> None:
        """Behave again."""
        self.mode, self.delay, self.drop_after = "pass", 0.0, None

    def cut(self) -> None:
        """Break every connection that is open, in the middle of whatever it carries."""

        async def cut() -> None:
            for writer in self._open:
                writer.transport.abort()
                self.broken += 1

        self._do(cut())

    def close(self) -> None:
        async def close() -> None:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._open:
                writer.transport.abort()
            await asyncio.sleep(0)

        self._do(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "refuse":
            self.broken += 1
            writer.transport.abort()
            return
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._held()
            back, there = await asyncio.open_connection(LOOPBACK, self.target)
            self._open.add(there)
            onwards = asyncio.ensure_future(self._pump(reader, there, self.drop_after))
            backwards = asyncio.ensure_future(self._pump(back, writer, None))
            try:
                await asyncio.wait({onwards, backwards}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in (onwards, backwards):
                    pump.cancel()
                await asyncio.gather(onwards, backwards, return_exceptions=True)
        except OSError:
            pass  # the server is away: so are we
        finally:
            for end in (writer, there):
                if end is not None:
                    self._open.discard(end)
                    end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._held()
                if self.delay:
                    await asyncio.sleep(self.delay)
                if left is not None:
                    left -= len(data)
                    if left < 0:
                        self.broken += 1
                        writer.transport.abort()
                        return
                writer.write(data)
                await writer.drain()

    async def _held(self) -> None:
        while self.mode == "half-open":  # noqa: ASYNC110 the mode is set from another thread
            await asyncio.sleep(_HELD_SECONDS)
