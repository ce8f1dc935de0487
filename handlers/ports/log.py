"""The one log, as the handlers speak to it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from domain.kernel import Envelope, Fact

State = TypeVar("State")


WATCHED = "partner_policy:"
"""How the streams begin on which a decision about another stream may stand; whoever adds to one waits for such decisions."""


def check_watched(unchanged: Sequence[tuple[str, int]]) -> None:
    """Refuse to let a decision stand on a stream that nobody watches."""
    for stream, _ in unchanged:
        if not stream.startswith(WATCHED):
            raise ValueError(f"no decision can stand on {stream}: only streams of {WATCHED} are watched")


class Conflict(Exception):
    """Somebody else wrote to the stream since it was read: decide again, never append again."""


class Unavailable(Exception):
    """Something outside does not answer. Nothing was let in, and what was asked may be asked again."""


class StreamUnreadable(Unavailable):
    """A fact of the stream is of a kind that only a newer release knows, or damaged: nothing is decided on the stream."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks, from where, and under which name the wish can be found again."""

    actor: str
    command_id: str
    at: datetime
    correlation_id: str = ""
    ip_prefix: str = ""
    session: str = ""
    fingerprint: str = ""
    """A hash of what was asked, so that one command id is never used for two wishes."""


@dataclass(frozen=True, slots=True)
class Change:
    """New facts for one stream, decided on after the given version of it."""

    stream: str
    after: int
    facts: Sequence[Fact]
    tenant: str
    correlation_id: str = ""
    """What these facts belong to, if it is something else than what the whole append belongs to."""


def enveloped(changes: Sequence[Change], origin: Origin) -> Iterator[Envelope]:
    """Return the envelopes of what is to be stored, each with its version."""
    for change in changes:
        for number, fact in enumerate(change.facts, start=change.after + 1):
            yield Envelope(
                fact=fact,
                stream=change.stream,
                version=number,
                at=origin.at,
                actor=origin.actor,
                tenant=change.tenant,
                command_id=origin.command_id,
                correlation_id=change.correlation_id or origin.correlation_id,
                ip_prefix=origin.ip_prefix,
                session=origin.session,
            )


class Row:
    """Something that is not a fact and is written in the facts' own transaction."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Known:
    """A command that is already part of the log."""

    position: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a code is judged by, read by the statement that found the sign-in which waits for it.

    The store and the vault know its form. It counts once: whoever decides again reads again.
    """

    facts: Sequence[Sequence[str]]
    secrets: Sequence[Sequence[str]]


class EventStore(Protocol):
    """The one log."""

    def load(
        self, stream: str, evolve: Callable[[State, Fact], State], initial: State, ahead: Ahead | None = None
    ) -> tuple[State, int]:
        """Return the stream's state and version; the initial state and 0 for a stream without facts.

        ``ahead``: the stream as it was read a moment ago, so that it need not be read now.
        """

    def append(
        self, *changes: Change, origin: Origin, rows: Sequence[Row] = (), unchanged: Sequence[tuple[str, int]] = ()
    ) -> int:
        """Store the facts and the rows in one transaction and return the last position.

        A command id that is already stored is answered with its position and stores nothing. Raises Conflict when a
        stream has moved on, or one that was to stay ``unchanged``; Unavailable when the log does not answer. Of all
        streams only those of ``WATCHED`` can be asked to stay.
        """

    def history(self, stream: str) -> Sequence[Envelope]:
        """Return all of one stream, each envelope with its position."""

    def read(self, after: int, limit: int) -> Sequence[Envelope]:
        """Return the next envelopes of the whole log, in position order."""

    def at(self, positions: Sequence[int]) -> Sequence[Envelope]:
        """Return the envelopes at these positions, in position order."""

    def known(self, command_id: str) -> Known | None:
        """Return what a command led to, if it was stored."""

    def last_position(self) -> int:
        """Return the position of the newest fact, 0 in an empty log."""
