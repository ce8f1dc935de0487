"""The ledger: every fact is a leaf of one tree, and what the tree was is signed and kept outside the database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from domain.merkle import Frontier, consistency_proof, frontier, inclusion_proof, leaf_hash
from handlers.ports import Checkpoint, Leaf, LedgerBroken, Note, Notes, StoredFact, Tree

PAGE = 1000
"""Facts that become leaves in one transaction."""
SIGN_FACTS = 1000
SIGN_AFTER = timedelta(seconds=60)
"""A checkpoint is signed after so many new facts, or so long after the one before if there is a new fact at all."""
POLL_SECONDS = 1.0
"""How long the ledger sleeps when there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Proves that the fact at a position is part of what a checkpoint signs."""

    number: int
    """The leaf's, from 0; not the position, which may have gaps."""
    leaf: bytes
    """What is hashed: the fact's row to the byte."""
    proof: Sequence[bytes]


class Ledger:
    """Follows the log into the tree, signs what it has become, and proves what is in it."""

    def __init__(self, tree: Tree, notes: Notes) -> None:
        self.tree = tree
        self.notes = notes
        self._signed: int | None = None
        self._signed_at: datetime | None = None

    def extend(self) -> int:
        """Make leaves of the next page of facts and return how many."""
        return self.tree.extend(PAGE, grown)

    def checkpoint(self) -> Note:
        """Bring the tree up to the newest fact, and return its signed head. Who goes on writing does not hold it up."""
        while self.extend() == PAGE:
            pass
        return self.sign()

    def sign(self) -> Note:
        """Sign the tree's head, write it down, and return it; a head that was signed before is returned as it was.

        Two heads of which one does not continue the other are never signed: whoever restored an old database, or
        changed the tree, gets LedgerBroken.
        """
        with self.notes.alone():
            note, size = self.notes.last(), self.tree.tip()[0]
            if note is not None:
                self._check_continues(note.checkpoint, size)
                self.tree.keep(note)  # again, if a crash came between writing it down and keeping its copy
            if note is None or note.checkpoint.size < size:
                note = self.notes.sign(Checkpoint(self.notes.origin, size, self._root(size)))
                self.notes.append(note)
            self.tree.keep(note)
        return note

    def step(self, now: datetime) -> int:
        """Make leaves of the next page of facts, sign when it is time, and return how many facts there were."""
        count = self.extend()
        if self._signed is None:
            with self.notes.alone():
                last = self.notes.last()
            self._signed = last.checkpoint.size if last else 0
        new = self.tree.tip()[0] - self._signed
        waited = self._signed_at is None or now - self._signed_at >= SIGN_AFTER
        if new >= SIGN_FACTS or (new != 0 and waited):
            self._signed_at = now
            self._signed = self.sign().checkpoint.size
        return count

    def follow(self, wait: Callable[[float], bool], now: Callable[[], datetime]) -> None:
        """Step for ever; ``wait`` waits for so many seconds, and says when it is over."""
        pause = 0.0
        while not wait(pause):
            pause = 0.0 if self.step(now()) else POLL_SECONDS

    def inclusion(self, position: int, checkpoint: Checkpoint) -> Inclusion | None:
        """Return the proof for the fact at a position; None when the checkpoint does not sign any fact there."""
        leaf = self.tree.leaf_at(position)
        if leaf is None or leaf.number >= checkpoint.size:
            return None
        facts = self.tree.facts(position - 1, position, 1)
        if not facts:
            return None
        proof = inclusion_proof(leaf.number, checkpoint.size, self.tree.fetch)
        return Inclusion(leaf.number, facts[0].leaf(), proof)

    def consistency(self, old: Checkpoint, new: Checkpoint) -> Sequence[bytes]:
        """Return the proof that one checkpoint continues another."""
        return consistency_proof(old.size, new.size, self.tree.fetch)

    def _root(self, size: int) -> bytes:
        return frontier(size, self.tree.fetch).root()

    def _check_continues(self, signed: Checkpoint, size: int) -> None:
        if size < signed.size:
            raise LedgerBroken(
                f"the database's tree has {size} facts, but {signed.size} were signed: it was cut or rolled back"
            )
        if self._root(signed.size) != signed.root:
            raise LedgerBroken(f"the first {signed.size} facts of the database's tree are not those that were signed")


def grown(end: Frontier, facts: Sequence[StoredFact]) -> list[Leaf]:
    """Return the leaves of these facts after the tree's end."""
    numbers = count(end.size)
    hashes = end.extend([leaf_hash(fact.leaf()) for fact in facts])
    return [Leaf(number, fact.position, each) for number, fact, each in zip(numbers, facts, hashes, strict=False)]
