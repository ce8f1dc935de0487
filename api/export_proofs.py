"""A partner's facts, read from the log itself, each with the proof that the signed log holds it."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from domain.merkle import HASH_BYTES, Node, NotProved, check_inclusion, inclusion_proof, leaf_hash
from handlers.ports import Checkpoint, Leaf, LedgerBroken, StoredFact, Tree

PAGE = 1 << 10
"""Leaves that are held in memory: a full subtree, so that above it all their proofs are the same."""


@dataclass(frozen=True, slots=True)
class Proved:
    """A fact with its proof."""

    fact: StoredFact
    state: Mapping[str, Any]
    number: int
    """Of its leaf."""
    proof: Sequence[bytes]

    def proof_line(self) -> dict[str, Any]:
        """Return its line among the proofs."""
        return {
            "position": self.fact.position,
            "leaf_number": self.number,
            "leaf": in_text(self.fact.leaf()),
            "proof": [in_text(each) for each in self.proof],
        }

    def record(self, words: str) -> dict[str, Any]:
        """Return the fact as a reader sees it: ids, no names. All but the words is read from the bytes of the leaf."""
        return {
            "position": self.fact.position,
            "at": self.state["at"],
            "what": words,
            "topic": self.fact.topic,
            "stream": self.fact.stream,
            "version": self.fact.version,
            "tenant": self.state["tenant"],
            "account_id": whom(self.fact.stream, self.state["fact"]),
            "actor": self.state["actor"],
            "from_network": self.state["ip_prefix"],
            "session": self.state["session"],
            "command_id": self.state["command_id"],
            "correlation_id": self.state["correlation_id"],
            "data": self.state["fact"],
        }


def whom(stream: str, data: Mapping[str, Any]) -> str | None:
    """Return the account that a fact names, or else the one whose stream it stands in."""
    kind, _, name = stream.partition(":")
    named: str | None = data.get("account_id")
    return named or (name if kind in {"account", "user_mfa"} else None)


def in_text(content: bytes) -> str:
    """Return bytes as base64."""
    return b64encode(content).decode()


def tenant_of(fact: StoredFact) -> str | None:
    """Return the partner to which the fact belongs."""
    tenant: str | None = _state(fact).get("tenant")
    return tenant


def _state(fact: StoredFact) -> Mapping[str, Any]:
    """Return what stands in the fact's bytes, nothing where they are damaged."""
    try:
        state = orjson.loads(fact.state or b"{}")
    except ValueError:
        return {}
    return state if isinstance(state, dict) and isinstance(state.get("fact"), dict) else {}


def proved(tree: Tree, head: Checkpoint, after: int, until: int, partner_id: str) -> Iterator[Proved]:
    """Return the partner's facts after a position and up to another one, which the checkpoint has to sign.

    Every row of the span has its leaf, and each proof is held against the checkpoint's root: LedgerBroken otherwise.
    """
    first = tree.facts(after, until, 1)
    number = _leaf_at(tree, first[0].position).number // PAGE * PAGE if first else head.size
    while number < head.size:
        leaves = _leaves(tree, number, min(number + PAGE, head.size))
        nodes = _Nodes(tree)
        for leaf in leaves:
            nodes.add(leaf)
        for leaf, fact in zip(leaves, _facts_of(tree, leaves), strict=True):
            if fact.position > until:
                return
            if fact.position > after and tenant_of(fact) == partner_id:
                yield _with_proof(fact, leaf, head, nodes)
        number += len(leaves)


@dataclass(slots=True)
class _Nodes:
    """Looks nodes of the tree up among the leaves at hand first, and remembers what it had to fetch."""

    tree: Tree
    known: dict[Node, bytes] = field(default_factory=dict)

    def add(self, leaf: Leaf) -> None:
        for level in range(len(leaf.hashes) // HASH_BYTES):
            self.known[level, leaf.number >> level] = leaf.hashes[level * HASH_BYTES : (level + 1) * HASH_BYTES]

    def __call__(self, nodes: Sequence[Node]) -> Mapping[Node, bytes]:
        if absent := [each for each in nodes if each not in self.known]:
            self.known |= self.tree.fetch(absent)
        return self.known


def _with_proof(fact: StoredFact, leaf: Leaf, head: Checkpoint, nodes: _Nodes) -> Proved:
    proof = inclusion_proof(leaf.number, head.size, nodes)
    try:
        check_inclusion(leaf_hash(fact.leaf()), leaf.number, head.size, proof, head.root)
    except NotProved:
        raise _broken(fact.position) from None
    return Proved(fact, _state(fact), leaf.number, proof)


def _leaves(tree: Tree, start: int, end: int) -> Sequence[Leaf]:
    leaves = tree.leaves(start, end - start)
    if [leaf.number for leaf in leaves] != list(range(start, end)):
        raise LedgerBroken(
            f"the tree lacks a leaf from {start} to {end - 1}: `watchword audit verify --full` says more"
        )
    return leaves


def _facts_of(tree: Tree, leaves: Sequence[Leaf]) -> Sequence[StoredFact]:
    """Return the facts behind leaves that stand side by side."""
    facts = tree.facts(leaves[0].position - 1, leaves[-1].position, len(leaves) + 1)
    differing = {each.position for each in facts} ^ {each.position for each in leaves}
    if differing:
        raise _broken(min(differing))
    return facts


def _leaf_at(tree: Tree, position: int) -> Leaf:
    leaf = tree.leaf_at(position)
    if leaf is None:
        raise _broken(position)
    return leaf


def _broken(position: int) -> LedgerBroken:
    return LedgerBroken(f"position {position} is not what was signed: `watchword audit verify --full` says more")
