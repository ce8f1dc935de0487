"""Whoever comes while others write shares the next transaction with them: one commit for many."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Work = TypeVar("Work")
Answer = TypeVar("Answer")
TOGETHER = 64
"""The most that share a transaction. Ours: past it, a commit costs little beside the rows."""
LEADERS = 4
"""Transactions of one process under way at once on a slow disk: while it takes one, PostgreSQL gathers the others for its
next turn. On a quick one there is one at a time, and more share it."""
SLOW_SECONDS = 0.002
"""A disk is slow when even the shortest of the last transactions took longer."""


def _locked() -> threading.Lock:
    """Return what whoever waits takes once it is let go: half the cost of an Event, which is most of what waiting costs."""
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Entry(Generic[Work, Answer]):
    work: Work
    woken: threading.Lock = field(default_factory=_locked)
    leads: bool = False
    answer: Answer | None = None
    error: BaseException | None = None


class GroupCommit(Generic[Work, Answer]):
    """The first who comes writes at once; those who come meanwhile wait, and one of them writes for all."""

    def __init__(
        self, write: Callable[[Sequence[Work]], Sequence[Answer]], silence: tuple[type[Exception], ...]
    ) -> None:
        """``write`` stores all of them or none.

        After an error each is tried alone, so that nobody hears of another's; but after one of ``silence``, when nothing
        answers, everybody hears of it.
        """
        self._write = write
        self._silence = silence
        self._lock = threading.Lock()
        self._waiting: list[_Entry[Work, Answer]] = []
        """Who neither leads nor is being written, the first who came first."""
        self._leaders = 0
        self._shortest = 0.0
        """Seconds that the shortest of the last transactions took which were alone: beside others one may share a flush that
        has begun. It is forgotten by and by, so that some fifty slow ones in a row make a slow disk: a busy machine has
        quick ones among them."""

    def __call__(self, work: Work) -> Answer:
        """Store it, perhaps together with others, and return its answer or raise its own error."""
        entry: _Entry[Work, Answer] = _Entry(work)
        with self._lock:
            if self._leaders < self._most():
                self._leaders += 1
                entry.leads = True
            else:
                self._waiting.append(entry)
        if not entry.leads:
            entry.woken.acquire()
        if entry.leads:
            self._lead(entry)
        if entry.error is not None:
            raise entry.error
        return entry.answer  # type: ignore[return-value]

    def _lead(self, entry: _Entry[Work, Answer]) -> None:
        """Write for oneself, and for those who wait."""
        with self._lock:
            batch = [entry, *self._waiting[: TOGETHER - 1]]
            del self._waiting[: TOGETHER - 1]
            alone, start = self._leaders == 1, time.monotonic()
        try:
            self._answer(batch)
        finally:
            took = time.monotonic() - start if alone else None
            for each in batch:
                each.woken.release()
            self._hand_over(took)

    def _most(self) -> int:
        return LEADERS if self._shortest > SLOW_SECONDS else 1

    def _hand_over(self, took: float | None) -> None:
        """Let the next who waits lead, or nobody."""
        with self._lock:
            self._shortest = self._shortest * 0.999 if took is None else min(took, self._shortest * 1.02 + 0.00002)
            heir = self._waiting.pop(0) if self._waiting and self._leaders <= self._most() else None
            if heir is None:
                self._leaders -= 1
        if heir is not None:
            heir.leads = True
            heir.woken.release()

    def _answer(self, batch: list[_Entry[Work, Answer]]) -> None:
        try:
            for entry, answer in zip(batch, self._write([entry.work for entry in batch]), strict=True):
                entry.answer = answer
        except BaseException as error:  # noqa: BLE001 each who waits has to hear of it
            if len(batch) > 1 and isinstance(error, Exception) and not isinstance(error, self._silence):
                for entry in batch:
                    self._answer([entry])
            else:
                for entry in batch:
                    entry.error = error
