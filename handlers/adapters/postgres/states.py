"""What the last streams have led to, kept in this process: a state is brought up to date, not folded anew."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from types import CodeType
from typing import TypeVar

from domain.kernel import Fact

State = TypeVar("State")
STREAMS = 20_000
"""How many are remembered. Ours: some ten megabytes of small frozen values."""


class States:
    """The states of the streams that were used last. They are frozen, so nothing is copied; a lost one costs a fold."""

    def __init__(self, capacity: int = STREAMS) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, CodeType], tuple[object, object, int]] = OrderedDict()

    def known(self, stream: str, evolve: Callable[[State, Fact], State], initial: State) -> tuple[State, int]:
        """Return the state that is known and its version; the initial state and 0 for none."""
        with self._lock:
            found = self._kept.get((stream, evolve.__code__))
            if found is None or found[0] != initial:
                return initial, 0
            self._kept.move_to_end((stream, evolve.__code__))
            return found[1], found[2]  # type: ignore[return-value]

    def keep(
        self, stream: str, evolve: Callable[[State, Fact], State], initial: State, state: State, version: int
    ) -> None:
        """Remember a state, unless a newer one is known or its fold depends on more than the facts."""
        if evolve.__closure__ is not None:
            return
        key = (stream, evolve.__code__)
        with self._lock:
            found = self._kept.get(key)
            if found is None or found[2] < version or found[0] != initial:
                self._kept[key] = (initial, state, version)
                self._kept.move_to_end(key)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
