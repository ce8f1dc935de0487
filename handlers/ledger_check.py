"""What an auditor asks of the ledger: is every fact what was signed, and if not, which is the first that is not."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, zip_longest

from domain.kernel import CLOCK_TOLERANCE
from domain.merkle import HASH_BYTES, Frontier, frontier, leaf_hash
from handlers.ports import Leaf, LedgerBroken, Note, Notes, StoredFact, Tree

PAGE = 250
"""Rows that are held at once, however long the log is: few enough to stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong."""

    what: str
    position: int | None = None
    """The first bad one; the first that can be bad where a span is all that is known."""
    line: int | None = None
    """In the checkpoint file."""


@dataclass(slots=True)
class Verified:
    """What was looked at, and what is wrong."""

    start: int = 0
    """How many facts an earlier verification had found right, so that this one went on from there."""
    facts: int = 0
    """How many facts are right, from the first on."""
    position: int = 0
    """Of the last of them."""
    unread: int = 0
    """The last position that was not read this time, since an earlier verification had read it; 0 where all were."""
    checkpoints: int = 0
    """How many are ours to the byte."""
    unused: int = 0
    """Positions that no fact has: each was given to a command that stored nothing in the end."""
    waiting: int = 0
    """Facts that are not in the tree yet."""
    out_of_order: int = 0
    """Facts whose time is older than that of a fact before them by more than `CLOCK_TOLERANCE`."""
    first_out_of_order: int | None = None
    """The position of the first of them."""
    note: Note | None = None
    """The newest checkpoint that is known to be right."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """The first of each kind."""

    def add(self, kind: str, what: str, *, position: int | None = None, line: int | None = None) -> None:
        """Remember the first of each kind."""
        self.findings.setdefault(kind, Finding(what, position, line))


class LedgerCheck:
    """One verification. It changes nothing, and may run while facts are added."""

    def __init__(self, tree: Tree, notes: Notes) -> None:
        self._tree = tree
        self._notes = notes
        self._found = Verified()
        self._end = Frontier()
        self._newest = ""

    def run(
        self, *, full: bool, given: Note | None = None, progress: Callable[[int], None] = lambda _: None
    ) -> Verified:
        """Recompute the tree from the facts, from the last checkpoint that was found right or from the first fact on.

        A given checkpoint, kept by an auditor, has to agree as well, and then everything is read: with that not even
        whoever can change the database and the file can take anything back.
        """
        found, heads = self._found, self._heads()
        size, last = self._tree.tip()
        if not full and given is None:
            self._go_on_from_last_time(size)
        head = self._walk(size, last, heads, progress)
        for _ in heads:  # also those of a time after this walk are held against their copies
            pass
        if not {"fact", "root"} & set(found.findings):
            self._look_beyond(head, given)
        found.unused, found.waiting = found.position - found.facts, self._tree.waiting(last)
        if found.note and not found.findings:
            self._notes.remember(found.note)
        return found

    def _go_on_from_last_time(self, size: int) -> None:
        note = self._notes.verified()
        if note is None or not 0 < note.checkpoint.size <= size:
            return
        last = self._tree.leaves(note.checkpoint.size - 1, 1)
        if not last or self._tree.count(last[0].position) != note.checkpoint.size:
            return  # there are more or fewer facts than were found right: all of them are read
        try:
            end = frontier(note.checkpoint.size, self._tree.fetch)
        except LedgerBroken:
            return
        if end.root() == note.checkpoint.root:
            found, self._end = self._found, end
            found.start, found.facts, found.note = end.size, end.size, note
            found.position = found.unread = last[0].position

    def _look_beyond(self, head: Note | None, given: Note | None) -> None:
        """Find out what the walk cannot see: more was signed than there is, or a fact was lost before it was a leaf."""
        size, last = self._tree.tip()
        known = self._notes.verified()
        for note in (head, given, known):
            if note and note.checkpoint.size > size:
                what = f"the database ends after {size} facts, but {note.checkpoint.size} were signed: it was cut or rolled back"
                self._found.add("short", what, position=last + 1)
        for kind, note in (("given", given), ("verified", known)):
            if note and note.checkpoint.size <= size and self._root(note.checkpoint.size) != note.checkpoint.root:
                name = "given checkpoint" if kind == "given" else "checkpoint that was found right earlier"
                self._found.add(kind, f"the first {note.checkpoint.size} facts are not those of the {name}")
        early = self._tree.before_the_first()
        if early is not None:
            self._found.add("early", f"a fact stands at position {early}, where none can", position=early)
        hole = None if self._found.start else self._tree.after_a_hole()
        if hole:
            self._found.add("hole", f"{hole[1]} lacks a version before position {hole[0]}", position=hole[0])

    def _root(self, size: int) -> bytes | None:
        """Return the root of the first leaves of the tree; None where the tree lacks a node."""
        try:
            return frontier(size, self._tree.fetch).root()
        except LedgerBroken:
            return None

    def _walk(self, size: int, last: int, heads: Iterator[Note], progress: Callable[[int], None]) -> Note | None:
        """Hold every fact against its leaf, and every checkpoint against the tree; return the first one after its end."""
        found, end = self._found, self._end
        head = next((each for each in heads if each.checkpoint.size >= end.size), None)
        head = self._hold(head, heads)
        every_leaf = self._tree.every_leaf(end.size, size, PAGE)
        every_fact = self._tree.every_fact(found.position, last, PAGE)
        for leaves, facts in zip_longest(every_leaf, every_fact, fillvalue=()):
            at = 0
            while at < max(len(leaves), len(facts)):
                until = at + (head.checkpoint.size - end.size if head else PAGE)
                if "root" in found.findings or not self._right(leaves[at:until], facts[at:until]):
                    return head
                head, at = self._hold(head, heads), until
            progress(end.size)
        return head

    def _right(self, leaves: Sequence[Leaf], facts: Sequence[StoredFact]) -> bool:
        """Hold these facts against their leaves: all at once, and one by one to find which one is wrong."""
        found, end = self._found, self._end
        before = Frontier(end.size, end.peaks)
        self._look_at_times(facts)
        hashes = end.extend([leaf_hash(fact.leaf()) for fact in facts])
        if [*zip(count(before.size), (fact.position for fact in facts), hashes)] == [*leaves]:
            found.facts, found.position = end.size, facts[-1].position
            return True
        for leaf, fact in zip_longest(leaves, facts):
            if wrong := _difference(before, leaf, fact):
                found.add("fact", wrong[0], position=wrong[1])
                return False
            found.facts, found.position = before.size, fact.position
        return True

    def _look_at_times(self, facts: Sequence[StoredFact]) -> None:
        """Count the facts that are older than one before them. A time is read where the bytes have it, in their order."""
        for fact in facts:
            at = _time_of(fact)
            if at >= self._newest:
                self._newest = at
            elif at and datetime.fromisoformat(self._newest) - datetime.fromisoformat(at) > CLOCK_TOLERANCE:
                self._found.out_of_order += 1
                self._found.first_out_of_order = self._found.first_out_of_order or fact.position

    def _hold(self, head: Note | None, heads: Iterator[Note]) -> Note | None:
        """Hold a checkpoint of the tree's present size against its root; return the next one."""
        if head is None or head.checkpoint.size != self._end.size:
            return head
        if head.checkpoint.root != self._end.root():
            before = self._found.note.checkpoint.size if self._found.note else 0
            first = self._tree.leaves(before, 1)
            what = f"the facts after the first {before} up to position {self._found.position} are not those that were signed"
            self._found.add("root", what, position=first[0].position if first else None)
            return head
        self._found.note = head
        return next(heads, None)

    def _heads(self) -> Iterator[Note]:
        """Return the notes of the file that are ours, and hold them against the copies in the database."""
        copies = self._tree.kept()
        copy, size = next(copies, None), -1
        for line, note in self._notes.all():
            if note is None or note.checkpoint.size <= size:
                self._found.add("line", f"the checkpoint at line {line} is not what was signed", line=line)
                continue
            size = note.checkpoint.size
            self._found.checkpoints += 1
            kept = False
            while copy and copy[0] <= size:
                kept = copy == (size, note.text)
                if not kept:
                    self._lost(copy[0])
                copy = next(copies, None)
            if not kept:
                self._found.add("copy", f"the database lacks its copy of the checkpoint of {size} facts")
            yield note
        if copy:
            self._lost(copy[0])

    def _lost(self, size: int) -> None:
        self._found.add("lost", f"the database knows a checkpoint of {size} facts that the file lacks")


_AT = b'"at":"'
_SECONDS = len("2026-11-30T20:00:00")


def _time_of(fact: StoredFact) -> str:
    """Return the time in a fact's bytes to the second, in UTC; empty where there is none. It stands behind the fact itself."""
    state = fact.state or b""
    start = state.rfind(_AT) + len(_AT)
    text = state[start : start + _SECONDS]
    return text.decode() if start >= len(_AT) and _TIME.fullmatch(text) else ""


_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def _difference(end: Frontier, leaf: Leaf | None, fact: StoredFact | None) -> tuple[str, int] | None:
    """Add the fact to the tree's end; return what is wrong with it, and the position."""
    if fact is None:
        return (f"position {leaf.position} is missing", leaf.position) if leaf else None
    if leaf is None or leaf.number != end.size:
        return f"the tree lacks the leaf of position {fact.position}", fact.position
    if fact.position < leaf.position:
        return f"position {fact.position} was added", fact.position
    if fact.position > leaf.position:
        return f"position {leaf.position} is missing", leaf.position
    (hashes,) = end.extend([leaf_hash(fact.leaf())])
    if hashes == leaf.hashes:
        return None
    if hashes[:HASH_BYTES] != leaf.hashes[:HASH_BYTES]:
        return f"position {fact.position} was changed", fact.position
    return f"the tree's nodes at position {fact.position} were changed", fact.position
