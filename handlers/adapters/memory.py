"""The log in memory: the whole contract of the EventStore socket in a page. It forgets everything with its process."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from domain.kernel import Envelope, Fact, replay
from handlers.ports import Change, Conflict, Known, MessageProcessed, Origin, Row
from handlers.ports.log import Ahead, State, check_watched, enveloped


class MemoryEventStore:
    """The EventStore socket's plug for tests. One lock stands for the transaction: an append is seen whole or not at all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._log: list[Envelope] = []
        self._streams: dict[str, list[Envelope]] = {}
        self._commands: dict[str, Known] = {}
        self.rows: list[Row] = []
        """Every row that was written with facts, in commit order."""

    def load(
        self, stream: str, evolve: Callable[[State, Fact], State], initial: State, _ahead: Ahead | None = None
    ) -> tuple[State, int]:
        """Return the stream's state and version; the initial state and 0 for a stream without facts."""
        history = self.history(stream)
        return replay(evolve, initial, (envelope.fact for envelope in history)), len(history)

    def append(
        self, *changes: Change, origin: Origin, rows: Sequence[Row] = (), unchanged: Sequence[tuple[str, int]] = ()
    ) -> int:
        """Store the facts and the rows at once and return the last position. Raises Conflict."""
        if not any(change.facts for change in changes):
            raise ValueError("an append needs at least one fact")
        check_watched(unchanged)
        with self._lock:
            known = self._commands.get(origin.command_id)
            if known is not None:
                return known.position
            # Everything that can be refused is refused before the first thing is written.
            self._check_versions(changes, unchanged)
            self._check_rows(rows)
            for position, bare in enumerate(enveloped(changes, origin), start=len(self._log) + 1):
                envelope = replace(bare, position=position)
                self._streams.setdefault(envelope.stream, []).append(envelope)
                self._log.append(envelope)
            self.rows += rows
            self._commands[origin.command_id] = Known(len(self._log), origin.fingerprint)
            return len(self._log)

    def _check_versions(self, changes: Sequence[Change], unchanged: Sequence[tuple[str, int]]) -> None:
        versions = {stream: len(history) for stream, history in self._streams.items()}
        for stream, version in unchanged:
            if versions.get(stream, 0) != version:
                raise Conflict(stream)
        for change in changes:
            if versions.get(change.stream, 0) != change.after:
                raise Conflict(change.stream)
            versions[change.stream] = change.after + len(change.facts)

    def _check_rows(self, rows: Sequence[Row]) -> None:
        """Refuse a message that had its effect. Other rows are not looked at here: their tables would refuse them."""
        processed = [row for row in (*self.rows, *rows) if isinstance(row, MessageProcessed)]
        if len(processed) != len(set(processed)):
            raise Conflict("the message had its effect")

    def history(self, stream: str) -> Sequence[Envelope]:
        """Return all of one stream."""
        with self._lock:
            return tuple(self._streams.get(stream, ()))

    def read(self, after: int, limit: int) -> Sequence[Envelope]:
        """Return the next envelopes of the whole log, in position order."""
        with self._lock:
            return tuple(self._log[after : after + limit])

    def at(self, positions: Sequence[int]) -> Sequence[Envelope]:
        """Return the envelopes at these positions, in position order."""
        with self._lock:
            return tuple(each for each in self._log if each.position in set(positions))

    def known(self, command_id: str) -> Known | None:
        """Return what a command led to, if it was stored."""
        with self._lock:
            return self._commands.get(command_id)

    def last_position(self) -> int:
        """Return the position of the newest fact, 0 in an empty log."""
        with self._lock:
            return len(self._log)
