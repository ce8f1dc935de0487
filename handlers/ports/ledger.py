"""The ledger, as the handlers speak to it: facts as they are stored, the tree over them, and signed notes about it."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple, Protocol

from domain.merkle import Frontier, Node

LEAF_FORMAT = 1
"""The first byte of every leaf. Another encoding would be another number."""
_BEGINNING, _MIDDLE, _LENGTH = Struct(">BIqI").pack, Struct(">IqI").pack, Struct(">I").pack
"""What stands before the stream, between it and the topic, and before the state."""
_ABSENT = 0xFFFFFFFF
"""Stands for the length of a column that is NULL, which is not the same as an empty one."""


class LedgerBroken(Exception):
    """The key, the notes or the tree are not what was signed. The sentence says what to do; nothing was signed."""


class StoredFact(NamedTuple):
    """A row of the log, column by column, to the byte."""

    position: int
    stream: str
    version: int
    topic: str | None
    state: bytes | None

    def leaf(self) -> bytes:
        """Return what is hashed: the format's number, then each column in the order above. No two rows have the same leaf.

        A column is its length in 4 bytes and its content: numbers in 8 bytes, text in UTF-8, everything big-endian.
        """
        position, stream, version, topic, state = self
        name = stream.encode()
        kind = b"" if topic is None else topic.encode()
        beginning = _BEGINNING(LEAF_FORMAT, 8, position, len(name))
        middle = _MIDDLE(8, version, _ABSENT if topic is None else len(kind))
        length = _LENGTH(_ABSENT if state is None else len(state))
        return b"".join((beginning, name, middle, kind, length, state or b""))


class Leaf(NamedTuple):
    """A row of the tree: one fact's place in it."""

    number: int
    """From 0, without gaps, in the order of positions, which may have gaps."""
    position: int
    hashes: bytes
    """Of all full subtrees that end with this leaf, 32 bytes each, the leaf's own first."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The signed tree head: what the whole log was at one moment. Source: C2SP tlog-checkpoint."""

    origin: str
    """The lasting name of this log, the same as its key's."""
    size: int
    root: bytes

    def text(self) -> str:
        """Return what is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint with the text that was signed and its signature, as it is kept and handed out."""

    checkpoint: Checkpoint
    text: str


class Tree(Protocol):
    """The log's rows, and the tree over them, in the same database."""

    def extend(self, limit: int, grow: Callable[[Frontier, Sequence[StoredFact]], Sequence[Leaf]]) -> int:
        """Add the leaves that ``grow`` makes of the tree's end and the next facts; return how many.

        That is one transaction, which no other follower shares. The leaves themselves say how far the tree has come.
        """

    def tip(self) -> tuple[int, int]:
        """Return how many leaves the tree has, and the position of its last one; 0 and 0 for none."""

    def facts(self, after: int, until: int, limit: int) -> Sequence[StoredFact]:
        """Return the next rows of the log after a position, up to and with another."""

    def waiting(self, after: int) -> int:
        """Return how many facts stand after a position."""

    def count(self, until: int) -> int:
        """Return how many facts the log has from position 1 up to and with another."""

    def leaves(self, start: int, limit: int) -> Sequence[Leaf]:
        """Return the next leaves, from one number on."""

    def every_leaf(self, start: int, end: int, page: int) -> Iterator[Sequence[Leaf]]:
        """Return all leaves from one number on to before another, so many at once, as one moment saw them."""

    def every_fact(self, after: int, until: int, page: int) -> Iterator[Sequence[StoredFact]]:
        """Return all rows of the log after a position, up to and with another, so many at once, as one moment saw them."""

    def leaf_at(self, position: int) -> Leaf | None:
        """Return the leaf of the fact at a position, None when no fact of the tree stands there."""

    def fetch(self, nodes: Sequence[Node]) -> Mapping[Node, bytes]:
        """Look up the hashes of full subtrees; LedgerBroken when one is not there."""

    def before_the_first(self) -> int | None:
        """Return a position of a fact that stands where no fact can: before position 1."""

    def after_a_hole(self) -> tuple[int, str] | None:
        """Return the first position at which a stream goes on after a version that it lacks, and the stream."""

    def keep(self, note: Note) -> None:
        """Keep a copy of a note that was written down, so that its loss is noticed."""

    def kept(self) -> Iterator[tuple[int, str]]:
        """Return size and text of the notes that were kept, the smallest tree first."""


class Notes(Protocol):
    """Signed notes in a file outside the database."""

    @property
    def origin(self) -> str:
        """The lasting name of this log."""

    @property
    def verifier(self) -> str:
        """What a reviewer needs to check our signatures. It is no secret."""

    def alone(self) -> AbstractContextManager[None]:
        """Keep every other process from writing down a note meanwhile, and remove what a crash left unfinished."""

    def last(self) -> Note | None:
        """Return the newest note, None when there is none; LedgerBroken when it is not ours to the byte."""

    def sign(self, checkpoint: Checkpoint) -> Note:
        """Return the checkpoint as a signed note."""

    def seal(self, text: str) -> str:
        """Return another text as a signed note. Its first line says what it is, and is no log's name."""

    def read(self, text: str) -> Note | None:
        """Return a note that was handed out, None when it is not ours to the byte."""

    def append(self, note: Note) -> None:
        """Write a note down; it survives a crash from then on."""

    def all(self) -> Iterator[tuple[int, Note | None]]:
        """Return the number of each note's first line with the note, or with None when it is not ours to the byte."""

    def verified(self) -> Note | None:
        """Return the newest checkpoint up to which everything was found to be right, if it is ours to the byte."""

    def remember(self, note: Note) -> None:
        """Remember that everything up to this checkpoint was found to be right."""
