"""The tree over the log: known answers, the definition of the RFC word by word, and proofs that cannot be bent."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Fetch,
    Frontier,
    Node,
    NotProved,
    check_consistency,
    check_inclusion,
    consistency_proof,
    frontier,
    full_subtrees,
    inclusion_proof,
    leaf_hash,
    node_hash,
)

LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""The leaves of the vectors of Certificate Transparency's reference implementation."""
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
_96, _5F, _6B = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
_BC, _CA, _0E = (
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
)
INCLUSIONS = {(0, 8): [_96, _5F, _6B], (5, 8): [_BC, _CA, ROOTS[4]], (2, 3): [ROOTS[2]], (0, 1): []}
CONSISTENCIES = {(1, 1): [], (1, 8): [_96, _5F, _6B], (6, 8): [_0E, _CA, ROOTS[4]], (2, 5): [_5F, _BC]}


def tree(leaves: Sequence[bytes]) -> bytes:
    """Return MTH(D[n]) as section 2.1.1 of RFC 9162 says it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + tree(leaves[:k]) + tree(leaves[k:])).digest()


def split(n: int) -> int:
    return max(1 << power for power in range(n.bit_length()) if 1 << power < n)


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]) as section 2.1.3.1 says it."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    return [*path(m, leaves[:k]), tree(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), tree(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], *, known: bool = True) -> list[bytes]:
    """Return SUBPROOF(m, D[n], b) as section 2.1.4.1 says it."""
    if m == len(leaves):
        return [] if known else [tree(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], known=known), tree(leaves[k:])]
    return [*subproof(m - k, leaves[k:], known=False), tree(leaves[:k])]


class Kept:
    """A tree with its nodes kept, as the ledger does it; it counts what is read."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.nodes: dict[Node, bytes] = {}
        self.read = 0
        self.end = Frontier()
        for number, ended in enumerate(self.end.extend([leaf_hash(leaf) for leaf in leaves])):
            for level in range(len(ended) // HASH_BYTES):
                self.nodes[level, number >> level] = ended[level * HASH_BYTES : (level + 1) * HASH_BYTES]

    def fetch(self, wanted: Sequence[Node]) -> Mapping[Node, bytes]:
        self.read += len(wanted)
        return {node: self.nodes[node] for node in wanted}


def hexes(proof: Sequence[bytes]) -> list[str]:
    return [each.hex() for each in proof]


@pytest.mark.parametrize("size", range(9))
def test_the_known_roots(size: int) -> None:
    assert Kept(LEAVES[:size]).end.root().hex() == ROOTS[size]
    assert frontier(size, Kept(LEAVES).fetch).root().hex() == ROOTS[size]


@pytest.mark.parametrize(("number", "size"), INCLUSIONS)
def test_the_known_inclusion_proofs(number: int, size: int) -> None:
    assert hexes(inclusion_proof(number, size, Kept(LEAVES).fetch)) == INCLUSIONS[number, size]


@pytest.mark.parametrize(("old", "new"), CONSISTENCIES)
def test_the_known_consistency_proofs(old: int, new: int) -> None:
    assert hexes(consistency_proof(old, new, Kept(LEAVES).fetch)) == CONSISTENCIES[old, new]


def test_a_node_is_never_a_leaf() -> None:
    left, right = leaf_hash(b"l"), leaf_hash(b"r")
    assert node_hash(left, right) != leaf_hash(left + right)
    assert leaf_hash(b"") != EMPTY_ROOT == tree([])


@given(st.lists(st.binary(max_size=4), max_size=70), st.data())
def test_roots_and_proofs_are_those_of_the_definition(leaves: list[bytes], data: st.DataObject) -> None:
    kept = Kept(leaves)
    assert kept.end.root() == tree(leaves)
    new = data.draw(st.integers(0, len(leaves)))
    old = data.draw(st.integers(0, new))
    assert frontier(new, kept.fetch).root() == tree(leaves[:new])
    proof = consistency_proof(old, new, kept.fetch)
    assert proof == (subproof(old, leaves[:new]) if old else [])
    check_consistency(old, new, tree(leaves[:old]), tree(leaves[:new]), proof)
    for number in range(new):
        proof = inclusion_proof(number, new, kept.fetch)
        assert proof == path(number, leaves[:new])
        check_inclusion(leaf_hash(leaves[number]), number, new, proof, tree(leaves[:new]))


@given(st.integers(1, 40), st.data())
def test_a_tree_goes_on_from_its_end_as_if_it_had_never_stopped(size: int, data: st.DataObject) -> None:
    leaves = [bytes([number]) for number in range(size)]
    kept, stop = Kept(leaves), data.draw(st.integers(0, size))
    end = frontier(stop, kept.fetch)
    again = data.draw(st.integers(stop, size))
    hashes = [leaf_hash(leaf) for leaf in leaves]
    ended = end.extend(hashes[stop:again]) + end.extend(hashes[again:])
    assert (end.size, end.peaks) == (size, kept.end.peaks)
    assert ended == Frontier().extend(hashes)[stop:]


@given(st.integers(0, 300))
def test_full_subtrees_lie_side_by_side_without_a_hole(size: int) -> None:
    covered = [
        leaf for level, number in full_subtrees(0, size) for leaf in range(number << level, (number + 1) << level)
    ]
    assert covered == list(range(size))


def bent(proof: list[bytes], data: st.DataObject) -> list[bytes]:
    """Return the proof with one bit turned, one hash left out or one added, or two swapped."""
    kind = data.draw(st.sampled_from(["turned", "left out", "added", "swapped"] if proof else ["added"]))
    at = data.draw(st.integers(0, max(len(proof) - 1, 0)))
    if kind == "turned":
        byte, bit = data.draw(st.integers(0, 31)), 1 << data.draw(st.integers(0, 7))
        changed = bytearray(proof[at])
        changed[byte] ^= bit
        return [*proof[:at], bytes(changed), *proof[at + 1 :]]
    if kind == "left out":
        return [*proof[:at], *proof[at + 1 :]]
    if kind == "swapped" and len(proof) > 1 and at:
        return [*proof[: at - 1], proof[at], proof[at - 1], *proof[at + 1 :]]
    return [*proof[:at], data.draw(st.sampled_from([b"\0" * 32, *proof])), *proof[at:]]


@given(st.integers(1, 70), st.data())
def test_a_bent_proof_proves_nothing(size: int, data: st.DataObject) -> None:
    leaves = [bytes([number]) for number in range(size)]
    kept, root = Kept(leaves), tree(leaves)
    number, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    leaf, proof = leaf_hash(leaves[number]), inclusion_proof(number, size, kept.fetch)
    with pytest.raises(NotProved):
        check_inclusion(leaf, number, size, bent(proof, data), root)
    with pytest.raises(NotProved):
        check_inclusion(leaf_hash(b"other"), number, size, proof, root)
    with pytest.raises(NotProved):
        check_inclusion(leaf, number, size, proof, leaf_hash(b"other"))
    with pytest.raises(NotProved):
        check_inclusion(leaf, size, size, proof, root)
    proof, was = consistency_proof(old, size, kept.fetch), tree(leaves[:old])
    with pytest.raises(NotProved):
        check_consistency(old, size, was, root, bent(proof, data))
    with pytest.raises(NotProved):
        check_consistency(old, size, leaf_hash(b"other"), root, proof)
    with pytest.raises(NotProved):
        check_consistency(old, size, was, leaf_hash(b"other"), proof)


@pytest.mark.parametrize(("number", "size", "real"), [(0, 1, 2), (0, 8, 4), (0, 2, 3), (3, 4, 8), (1, 2, 4)])
def test_a_proof_for_a_tree_of_another_height_proves_nothing(number: int, size: int, real: int) -> None:
    kept = Kept(LEAVES)
    proof, root = inclusion_proof(number, real, kept.fetch), tree(LEAVES[:real])
    with pytest.raises(NotProved):
        check_inclusion(leaf_hash(LEAVES[number]), number, size, proof, root)
    old = max(number, 1)
    proof = consistency_proof(old, real, kept.fetch)
    with pytest.raises(NotProved):
        check_consistency(old, size, tree(LEAVES[:old]), root, proof)


def test_a_leaf_is_not_proved_under_another_number_in_a_smaller_tree() -> None:
    kept = Kept(LEAVES)
    proof = inclusion_proof(1, 2, kept.fetch)
    with pytest.raises(NotProved):
        check_inclusion(leaf_hash(LEAVES[1]), 0, 1, proof, tree(LEAVES[:2]))


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 1023, 1024, 1025, 4097])
def test_a_proof_reads_few_nodes(size: int) -> None:
    """At most two for each level of the tree."""
    kept = Kept([number.to_bytes(4, "big") for number in range(size)])
    for number in {0, 1, size // 3, size // 2, size - 1} & set(range(size)):
        for prove in (inclusion_proof, consistency_proof):
            kept.read = 0
            prove(number, size, kept.fetch)
            assert kept.read <= 2 * size.bit_length()


def test_what_there_is_not_cannot_be_proved() -> None:
    nothing: Fetch = Kept([]).fetch
    for number, size in ((0, 0), (5, 5), (-1, 5)):
        with pytest.raises(ValueError, match="there is no leaf"):
            inclusion_proof(number, size, nothing)
    with pytest.raises(ValueError, match="never"):
        consistency_proof(6, 5, nothing)
    for old, new, proof in ((6, 5, [EMPTY_ROOT]), (-1, 5, [EMPTY_ROOT]), (3, 5, [])):
        with pytest.raises(NotProved):
            check_consistency(old, new, EMPTY_ROOT, EMPTY_ROOT, proof)
