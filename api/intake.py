"""Messages of the stream become mails that are owed: all that wait at once, and each is acknowledged after the commit."""

import asyncio
import logging

from faststream.exceptions import NackMessage, RejectMessage
from faststream.nats import NatsMessage

from api.bootstrap import Watchword, place_of
from handlers import notices
from handlers.ports import Unavailable

_log = logging.getLogger("watchword.worker")
_RETRY_SECONDS = 2

Place = tuple[int, str]
"""Position and stream of a fact."""
Waiting = tuple[Place, asyncio.Future[int]]
"""The place that a message names, and how many mails its batch requests."""


class Intake:
    """Reacts to messages in batches: while one is committed, the next one gathers."""

    def __init__(self, watchword: Watchword) -> None:
        self._w = watchword
        self._waiting: list[Waiting] = []
        self._alone = asyncio.Lock()

    async def react_to(self, message: NatsMessage) -> int:
        """Turn a message into its fact, react, and return how many mails are owed, by those beside it included.

        The log is believed, not the message: what the log does not hold is refused for good, and what fails now comes
        again.
        """
        try:
            place = place_of(message.headers)
        except ValueError as error:
            _log.error("%s", error)
            raise RejectMessage from None
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, answer))
        async with self._alone:
            if not answer.done():
                waiting, self._waiting = self._waiting, []
                await self._react(waiting)
        return await answer

    async def _react(self, waiting: list[Waiting]) -> None:
        try:
            known, count = await asyncio.to_thread(self._owe, [place for place, _ in waiting])
            for place, answer in waiting:
                if place in known:
                    answer.set_result(count)
                else:
                    _log.critical("a message says what the log does not: position %s", place[0])
                    answer.set_exception(RejectMessage())
        except Unavailable:
            for _, answer in waiting:
                answer.set_exception(NackMessage(delay=_RETRY_SECONDS))
        except Exception as error:  # noqa: BLE001 it is the message's own, and raised to its handler alone
            if len(waiting) == 1:
                waiting[0][1].set_exception(error)
            else:
                for each in waiting:
                    await self._react([each])
        finally:
            for _, answer in waiting:
                answer.cancel()  # of those that have no answer because this is cancelled

    def _owe(self, places: list[Place]) -> tuple[set[Place], int]:
        """Return the places that the log confirms, and how many mails their facts request."""
        named = set(places)
        facts = [each for each in self._w.store.at([at for at, _ in places]) if (each.position, each.stream) in named]
        return {(each.position, each.stream) for each in facts}, notices.react(facts, self._w.sockets, self._w.queue)
