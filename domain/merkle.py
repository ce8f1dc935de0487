"""One hash that stands for a whole list, and short proofs about it: the tree of RFC 6962 section 2.1 (RFC 9162 section 2.1).

Hashes are SHA-256. Leaves and nodes are hashed with a different first byte, so that none is taken for the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from hashlib import sha256
from operator import add

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves."""

Node = tuple[int, int]
"""A full subtree: its level (0 is a leaf) and its number from the left on that level."""
Fetch = Callable[[Sequence[Node]], Mapping[Node, bytes]]
"""Looks up the hashes of full subtrees: at most two for each level of the tree."""


class NotProved(Exception):
    """The proof does not lead to the root: the list was changed, or the proof was."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of one leaf's content."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node above two others."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The growing end of a tree: the roots of its full subtrees, from the largest on. All that is needed to go on."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    def extend(self, leaves: Sequence[bytes]) -> list[bytes]:
        """Add leaves' hashes; return for each those of all full subtrees that end with it in a row, its own first.

        All nodes of a level are hashed before the next level, which is quicker than to climb from every leaf.
        """
        ended, nodes, rest, height = list(leaves), list(leaves), list[bytes](), 0
        while nodes:
            if self.size >> height & 1:
                nodes.insert(0, self.peaks.pop())
            if len(nodes) & 1:
                rest.append(nodes.pop())
            nodes = [*map(node_hash, nodes[::2], nodes[1::2])]
            height += 1
            first = (((self.size >> height) + 1) << height) - 1 - self.size
            ended[first :: 1 << height] = map(add, ended[first :: 1 << height], nodes)
        self.peaks += reversed(rest)
        self.size += len(leaves)
        return ended

    def root(self) -> bytes:
        """Return the root of the tree as it stands."""
        return _joined(self.peaks) if self.peaks else EMPTY_ROOT


def full_subtrees(start: int, end: int) -> Iterator[Node]:
    """Return the full subtrees side by side that make up the leaves from start to before end, from the largest on."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def frontier(size: int, fetch: Fetch) -> Frontier:
    """Return the end of a tree of so many leaves."""
    nodes = list(full_subtrees(0, size))
    found = fetch(nodes)
    return Frontier(size, [found[node] for node in nodes])


def inclusion_proof(number: int, size: int, fetch: Fetch) -> list[bytes]:
    """Return the hashes that lead from a leaf, numbered from 0, to the root of the tree of so many leaves."""
    if not 0 <= number < size:
        raise ValueError(f"there is no leaf {number} among {size}")
    start, end = 0, size
    spans = []
    while end - start > 1:
        middle = _middle(start, end)
        if number < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return _hashes(spans[::-1], fetch)


def consistency_proof(old: int, new: int, fetch: Fetch) -> list[bytes]:
    """Return the hashes that show that the first leaves of the new tree are those of the old one, in their order."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves has never had {old}")
    if old == 0:
        return []
    start, end = 0, new
    spans = []
    while end != old:
        middle = _middle(start, end)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    if start > 0:
        spans.append((start, end))
    return _hashes(spans[::-1], fetch)


def check_inclusion(leaf: bytes, number: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise NotProved unless the leaf with this hash and number is in the tree. Source: RFC 9162 section 2.1.3.2."""
    if not 0 <= number < size:
        raise NotProved
    at, last, found = number, size - 1, leaf
    for each in proof:
        if last == 0:
            raise NotProved
        if at & 1 or at == last:
            found = node_hash(each, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, each)
        at, last = at >> 1, last >> 1
    if last != 0 or found != root:
        raise NotProved


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise NotProved unless the new tree begins with the whole old one. Source: RFC 9162 section 2.1.4.2."""
    if old in {0, new}:
        if proof or old_root != (new_root if old else EMPTY_ROOT):
            raise NotProved
        return
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not 0 < old < new or not path:
        raise NotProved
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    was = now = path[0]
    for each in path[1:]:
        if last == 0:
            raise NotProved
        if at & 1 or at == last:
            was, now = node_hash(each, was), node_hash(each, now)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            now = node_hash(now, each)
        at, last = at >> 1, last >> 1
    if last != 0 or (was, now) != (old_root, new_root):
        raise NotProved


def _middle(start: int, end: int) -> int:
    """Return where the left subtree ends: it has the largest power of two of leaves that leaves some for the right."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _joined(peaks: Sequence[bytes]) -> bytes:
    return reduce(lambda right, left: node_hash(left, right), reversed(peaks))


def _hashes(spans: Sequence[tuple[int, int]], fetch: Fetch) -> list[bytes]:
    """Return each span's hash. One span at most, the ragged end of the tree, is made up of several full subtrees."""
    nodes = [list(full_subtrees(start, end)) for start, end in spans]
    found = fetch([node for each in nodes for node in each])
    return [_joined([found[node] for node in each]) for each in nodes]
