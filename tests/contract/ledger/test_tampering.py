"""Whatever the owner of the database changes is found, and the first bad position is named."""

# ruff: noqa: S608 the statements are made of the test's own words

import random

import pytest

from handlers.ledger_check import Verified
from handlers.ports import Checkpoint, LedgerBroken
from tests.contract.ledger.book import Book, named
from tests.contract.ledger.tamperings import TAMPERINGS

SEEDS = range(6)


def test_an_empty_log_is_right_and_can_be_signed(book: Book) -> None:
    assert book.check() == Verified()
    note = book.ledger().checkpoint()
    assert (note.checkpoint.size, book.check().checkpoints) == (0, 1)


def test_what_nobody_touched_is_right(full: Book) -> None:
    positions = full.positions()
    found = full.check()
    assert (found.findings, found.facts, found.checkpoints, found.waiting) == ({}, 48, 5, 0)
    assert (found.position, found.unused) == (positions[-1], positions[-1] - 48)
    assert found.unused > 0
    assert found.note
    assert found.note.checkpoint.size == 45
    again = full.check(full=False)
    assert (again.findings, again.start, again.facts, again.checkpoints) == ({}, 45, 48, 5)


def test_facts_after_the_tree_are_counted_as_waiting(full: Book) -> None:
    full.append("user_mfa:1", "user_mfa:2")
    found = full.check()
    assert (found.findings, found.facts, found.waiting) == ({}, 48, 2)


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_every_change_of_the_log_is_found_and_its_first_position_named(full: Book, kind: str) -> None:
    positions, (tamper, said) = full.positions(), TAMPERINGS[kind]
    for seed in SEEDS:
        bad = tamper(full, positions, random.Random(f"{kind} {seed}"))
        assert changed(full), "this tampering changes nothing"
        found = full.check(full=seed % 2 == 0)
        assert list(found.findings) == ["fact"]
        assert found.findings["fact"].position == bad
        assert found.findings["fact"].what in {f"position {bad} {each}" for each in said}
        assert not (full.folder / "verified.txt").exists()
        full.restore()
    assert full.check().findings == {}


@pytest.mark.parametrize("position", [0, -7])
def test_a_fact_where_no_fact_can_be_is_found(full: Book, position: int) -> None:
    full.own(
        "INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id)"
        f" SELECT 'partner_policy:forged', 1, topic, state, {position} FROM stored_events LIMIT 1 RETURNING 1"
    )
    found = full.check(full=False)
    assert found.findings["early"].position == position
    full.restore()


def changed(book: Book) -> bool:
    differing = "SELECT * FROM {} EXCEPT SELECT * FROM {}"
    pair = ("stored_events", "saved_stored_events")
    return bool(book.own(differing.format(*pair)) or book.own(differing.format(*pair[::-1])))


@pytest.mark.parametrize("stream", ["user_mfa:3", "user_mfa:new"], ids=["one of them", "the first one"])
def test_a_fact_that_was_deleted_before_it_became_a_leaf_leaves_a_hole_in_its_stream(full: Book, stream: str) -> None:
    full.append(stream, "user_mfa:4", stream)
    *_, lost, _, after = full.positions()
    full.own(f"DELETE FROM stored_events WHERE notification_id = {lost}")
    full.ledger().checkpoint()
    found = full.check()
    assert named(found) == [("hole", after)]
    assert stream in found.findings["hole"].what


@pytest.mark.parametrize("seed", SEEDS)
def test_a_whole_tree_made_anew_over_a_changed_fact_is_not_what_was_signed(full: Book, seed: int) -> None:
    """All that is left then is the file: the fact is one of those between two checkpoints."""
    positions = full.positions()
    chosen = random.Random(seed).randrange(45)
    full.own(
        f"UPDATE stored_events SET state = state || ' ' WHERE notification_id = {positions[chosen]}",
        "DELETE FROM ledger_leaf",
    )
    while full.ledger().extend():
        pass
    found = full.check()
    assert named(found) == [("root", positions[chosen // 9 * 9])]
    assert str(positions[chosen // 9 * 9 + 8]) in found.findings["root"].what
    with pytest.raises(LedgerBroken, match="not those that were signed"):
        full.ledger().checkpoint()


def test_a_head_that_was_signed_before_the_first_fact_is_held_against_the_empty_tree(book: Book) -> None:
    notes = book.ledger().notes
    notes.append(notes.sign(Checkpoint(notes.origin, 0, b"x" * 32)))
    assert list(book.check().findings) == ["copy", "root"]
    book.append("user_mfa:1", "user_mfa:2")
    book.ledger().extend()
    assert named(book.check()) == [("root", book.positions()[0])]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_tree_is_found(full: Book, seed: int) -> None:
    number = random.Random(seed).randrange(48)
    position = full.positions()[number]
    full.own(f"UPDATE ledger_leaf SET hashes = set_byte(hashes, 5, get_byte(hashes, 5) # 1) WHERE number = {number}")
    assert full.check().findings["fact"].position == position
    full.restore()
    full.own("UPDATE ledger_leaf SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE number = 31")
    assert "nodes" in full.check().findings["fact"].what
    full.restore()
    full.own(f"DELETE FROM ledger_leaf WHERE number = {min(number, 46)}")
    found = full.check().findings["fact"]
    assert (found.position, "lacks the leaf" in found.what) == (full.positions()[min(number, 46)], True)


@pytest.mark.parametrize("size", [0, 1, 9, 20, 44])
def test_a_database_that_was_rolled_back_is_shorter_than_what_was_signed(full: Book, size: int) -> None:
    positions = full.positions()
    roll_back(full, size)
    found = full.check()
    last = positions[size - 1] if size else 0
    assert named(found) == [("short", last + 1)]
    assert full.check(full=False).findings == found.findings
    with pytest.raises(LedgerBroken, match="45 were signed"):
        full.ledger().checkpoint()


def test_a_database_that_was_rolled_back_and_went_on_is_another_one(full: Book) -> None:
    positions = full.positions()
    roll_back(full, 20)
    full.append(*[f"user_mfa:{number % 5}" for number in range(60)])
    notes = full.file.read_bytes()
    with pytest.raises(LedgerBroken, match="not those that were signed"):
        full.ledger().checkpoint()
    assert full.file.read_bytes() == notes
    found = full.check()
    assert named(found) == [("root", positions[18])]


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_kept_checkpoint_proves_what_was_taken_back_everywhere(full: Book, *, goes_on: bool) -> None:
    """Database and file are both from an older backup, so that they agree with each other."""
    older = b"".join(full.file.read_bytes().splitlines(keepends=True)[:12])
    kept = full.ledger().checkpoint()
    assert full.check(given=kept).findings == full.check(full=False, given=kept).findings == {}
    (full.folder / "verified.txt").unlink()
    roll_back(full, 18)
    full.file.write_bytes(older)
    if goes_on:
        full.append(*["user_mfa:1"] * 40)
        full.ledger().checkpoint()
    assert full.check().findings == {}
    assert list(full.check(given=kept).findings) == ["given" if goes_on else "short"]
    assert list(full.check(full=False, given=kept).findings) == ["given" if goes_on else "short"]


def roll_back(book: Book, size: int) -> None:
    """Leave what a backup from that time would hold."""
    rest = f"notification_id NOT IN (SELECT position FROM ledger_leaf WHERE number < {size})"
    book.own(
        f"DELETE FROM stored_events WHERE {rest}",
        f"DELETE FROM ledger_leaf WHERE number >= {size}",
        f"DELETE FROM ledger_checkpoint WHERE size > {size}",
    )


def test_by_default_only_what_came_since_the_last_time_is_recomputed(full: Book) -> None:
    assert full.check().findings == {}
    old, new = full.positions()[30], full.positions()[46]
    full.own(f"UPDATE stored_events SET topic = 'x' WHERE notification_id = {old}")
    found = full.check(full=False)
    assert (found.findings, found.start) == ({}, 45)
    assert full.check().findings["fact"].position == old
    full.own(f"UPDATE stored_events SET topic = 'x' WHERE notification_id = {new}")
    assert full.check(full=False).findings["fact"].position == new


@pytest.mark.parametrize("broken", ["", "nothing\n", "the tree"])
def test_a_verification_that_cannot_be_continued_starts_anew(full: Book, broken: str) -> None:
    assert full.check().findings == {}
    if broken == "the tree":
        full.own("UPDATE ledger_leaf SET hashes = set_byte(hashes, 165, get_byte(hashes, 165) # 1) WHERE number = 31")
    else:
        (full.folder / "verified.txt").write_text(broken)
    found = full.check(full=False)
    assert (found.start, bool(found.findings)) == (0, broken == "the tree")
