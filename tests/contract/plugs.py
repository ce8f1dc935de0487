"""What the contract tests write, and how they look behind a plug."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeVar
from uuid import uuid4

from domain.facts import Purpose, Verified
from domain.kernel import Fact
from handlers.ports import Change, Conflict, EventStore, Origin

NOON = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
Answer = TypeVar("Answer")
NOTHING: tuple[int, ...] = ()
"""What a stream without facts has led to."""


@dataclass(frozen=True)
class Plug:
    """A store, and the ids of the messages that were processed according to its rows."""

    store: EventStore
    processed: Callable[[], set[str]]


def fact(number: int) -> Verified:
    """Return a fact that can be told from the others."""
    return Verified(purpose=Purpose.SIGN_IN, time_step=number, gives_back=0)


def step_of(stored: Fact) -> int:
    assert isinstance(stored, Verified)
    return stored.time_step


def change(stream: str, after: int, *numbers: int) -> Change:
    return Change(stream, after, [fact(number) for number in numbers], "dist")


def origin(command_id: str = "", **more: str) -> Origin:
    return Origin(actor="account:acc-1", command_id=command_id or str(uuid4()), at=NOON, **more)


def collect(seen: tuple[int, ...], new: Fact) -> tuple[int, ...]:
    """Remember every number, in order: the simplest fold that loses nothing."""
    return (*seen, step_of(new))


def numbers_in(store: EventStore, stream: str) -> tuple[int, ...]:
    return store.load(stream, collect, NOTHING)[0]


def append_deciding_again(store: EventStore, stream: str, number: int) -> int:
    """Append a fact after whatever the stream holds, as every handler does."""
    command = origin()
    while True:
        _, version = store.load(stream, collect, NOTHING)
        try:
            return store.append(change(stream, version, number), origin=command)
        except Conflict:
            continue


def at_once(count: int, act: Callable[[int], Answer]) -> list[Answer]:
    """Call it from so many threads that start together, and return what each got."""
    gate = threading.Barrier(count)

    def one(number: int) -> Answer:
        gate.wait(20)
        return act(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def read_all(store: EventStore, page: int) -> list[tuple[int, str, int]]:
    """Follow the log to its end in pages; return position, stream and number of each fact."""
    found: list[tuple[int, str, int]] = []
    while True:
        envelopes = store.read(found[-1][0] if found else 0, page)
        if not envelopes:
            return found
        assert len(envelopes) <= page
        found += [(envelope.position, envelope.stream, step_of(envelope.fact)) for envelope in envelopes]


def rising(positions: Sequence[int]) -> bool:
    return all(before < after for before, after in pairwise(positions))
