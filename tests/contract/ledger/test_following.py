"""The follower: leaves, signatures in time, proofs; several at once, and killed on the way."""

# ruff: noqa: S608 the statements are made of the test's own words

import threading
from datetime import timedelta
from itertools import chain

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.merkle import check_consistency, check_inclusion, leaf_hash
from handlers import ledger
from handlers.adapters.notes import NoteFile
from handlers.adapters.postgres.ledger import PostgresTree
from handlers.ports import Checkpoint, StoredFact
from tests.contract.ledger.book import Book
from tests.contract.plugs import NOON, at_once


def test_a_leaf_holds_every_column_of_the_log(book: Book) -> None:
    query = "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'stored_events' ORDER BY 1"
    columns = [str(row[0]) for row in book.own(query)]
    assert columns == sorted(["notification_id", "originator_id", "originator_version", "topic", "state"])


stored = st.builds(
    StoredFact,
    st.integers(0, 3),
    st.text("ab\0", max_size=3),
    st.integers(0, 3),
    st.none() | st.text("ab\0", max_size=3),
    st.none() | st.binary(max_size=3),
)


@given(stored, stored)
def test_no_two_rows_have_the_same_leaf(one: StoredFact, other: StoredFact) -> None:
    assert (one.leaf() == other.leaf()) == (one == other)


def test_a_leaf_is_what_the_document_says() -> None:
    number = "0000000800000000000000"
    expected = f"01{number}07 00000003613a62 {number}02 0000000174 ffffffff"
    assert StoredFact(7, "a:b", 2, "t", None).leaf() == bytes.fromhex(expected)
    expected = f"01{number}07 00000003613a62 {number}02 ffffffff 00000000"
    assert StoredFact(7, "a:b", 2, None, b"").leaf() == bytes.fromhex(expected)


def test_every_fact_and_every_checkpoint_can_be_proved(full: Book) -> None:
    book = full.ledger()
    heads = [note.checkpoint for _, note in book.notes.all() if note]
    head, positions = heads[-1], full.positions()
    for number, position in enumerate(positions):
        proved = book.inclusion(position, head)
        if number >= head.size:
            assert proved is None
            continue
        assert proved
        assert proved.number == number
        check_inclusion(leaf_hash(proved.leaf), number, head.size, proved.proof, head.root)
    for gap in {0, *range(positions[-1] + 2)} - set(positions):
        assert book.inclusion(gap, head) is None
    for old in heads:
        check_consistency(old.size, head.size, old.root, head.root, book.consistency(old, head))


def test_it_is_signed_after_a_minute_or_a_thousand_facts(book: Book) -> None:
    follower, now = book.ledger(), NOON
    assert (follower.step(now), book.file.exists()) == (0, False)
    book.append("user_mfa:1")
    sizes = []
    for seconds, more in ((0, 0), (1, 1), (59, 0), (60, 0), (500, 0), (501, 993), (502, 1)):
        book.add_facts(more)
        while follower.step(now + timedelta(seconds=seconds)):
            pass
        sizes.append([note.checkpoint.size for _, note in follower.notes.all() if note][-1])
    assert sizes == [1, 1, 1, 2, 2, 9, 9]
    book.add_facts(990)
    while follower.step(now + timedelta(seconds=503)):
        pass
    last = follower.notes.last()
    assert last
    assert last.checkpoint.size == 1010


def test_followers_at_once_do_no_harm(book: Book) -> None:
    book.append("user_mfa:1")
    stop = threading.Event()

    def act(number: int) -> None:
        if number == 0:
            for each in range(80):
                book.append(f"user_mfa:{each % 3}")
            stop.set()
        follower = book.ledger()
        while not stop.is_set():
            follower.checkpoint()

    at_once(4, act)
    note = book.ledger().checkpoint()
    found = book.check()
    assert (found.findings, found.facts, note.checkpoint.size) == ({}, 81, 81)
    sizes = [each.checkpoint.size for _, each in book.ledger().notes.all() if each]
    assert sizes == sorted(set(sizes))
    assert len(sizes) == found.checkpoints > 1


class Killed(BaseException):
    """The process ends here."""


def killed(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize("moment", ["before the note", "within the note", "after the note"])
def test_a_follower_that_was_killed_is_continued(full: Book, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    with monkeypatch.context() as patch:
        if moment == "after the note":
            patch.setattr(PostgresTree, "keep", killed)
        else:
            patch.setattr(NoteFile, "append", killed)
        with pytest.raises(Killed):
            full.ledger().checkpoint()
    if moment == "within the note":
        content, whole = (
            full.file.read_bytes(),
            full.ledger().notes.sign(Checkpoint(full.ledger().notes.origin, 48, b"x" * 32)),
        )
        for end in (1, 20, 40, 60, 120, len(whole.text.encode())):
            full.file.write_bytes(content + whole.text.encode()[:end])
            with full.ledger().notes.alone():
                assert full.file.read_bytes() == content
        full.file.write_bytes(content + whole.text.encode()[:100])
    full.append("user_mfa:1")
    follower = full.ledger()
    while follower.step(NOON):
        pass
    found, last = full.check(), follower.notes.last()
    assert (found.findings, found.facts, found.note) == ({}, 49, last)
    assert last and last.checkpoint.size == 49  # noqa: PT018 one thought


def test_a_page_whose_transaction_fails_leaves_nothing(book: Book) -> None:
    book.append("user_mfa:1", "user_mfa:2")
    tree = PostgresTree(book.pool)
    with pytest.raises(psycopg.errors.UniqueViolation):
        tree.extend(10, lambda end, facts: [each._replace(number=0) for each in ledger.grown(end, facts)])
    assert tree.tip() == (0, 0)
    assert book.ledger().checkpoint().checkpoint.size == 2


def test_all_leaves_and_facts_come_in_pages_and_may_be_left_on_the_way(full: Book) -> None:
    tree, positions = PostgresTree(full.pool), full.positions()
    assert [len(page) for page in tree.every_leaf(3, 20, 7)] == [7, 7, 3]
    assert [len(page) for page in tree.every_fact(positions[4], positions[40], 10)] == [10, 10, 10, 6]
    assert [*chain.from_iterable(tree.every_leaf(3, 20, 7))] == tree.leaves(3, 17)
    facts = tree.facts(positions[4], positions[40], 36)
    assert [*chain.from_iterable(tree.every_fact(positions[4], positions[40], 10))] == facts
    assert not [*tree.every_leaf(48, 48, 7)]
    assert not [*tree.every_fact(positions[-1], positions[-1], 7)]
    for _ in range(10):  # more often than there are connections
        assert [leaf.position for leaf in next(iter(tree.every_leaf(0, 48, 7)))] == positions[:7]
        assert [fact.position for fact in next(iter(tree.every_fact(0, positions[-1], 7)))] == positions[:7]


@pytest.mark.parametrize("table", ["ledger_leaf", "ledger_checkpoint"])
def test_nobody_changes_the_ledger(full: Book, table: str) -> None:
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with psycopg.connect(full.owner_url) as owner, pytest.raises(psycopg.errors.RaiseException, match="never"):
            owner.execute(statement)
