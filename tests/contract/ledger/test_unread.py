"""What a verification did not read it says, and a checkpoint that was found right earlier is never forgotten."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.ledger.book import Book, named
from tests.contract.ledger.test_tampering import roll_back
from tests.contract.plugs import NOON, change, origin

# ruff: noqa: S608 the statements are made of the test's own words


def test_x110_against_a_kept_checkpoint_everything_is_read(full: Book) -> None:
    kept = full.ledger().checkpoint()
    assert full.check(given=kept).findings == {}
    old = full.positions()[30]
    full.own(f"UPDATE stored_events SET topic = 'x' WHERE notification_id = {old}")
    found = full.check(full=False, given=kept)
    assert (named(found), found.unread) == ([("fact", old)], 0)


def test_x110_what_is_not_read_again_is_said(full: Book) -> None:
    assert full.check().unread == 0
    found = full.check(full=False)
    assert (found.findings, found.unread, found.start) == ({}, full.positions()[44], 45)


@pytest.mark.parametrize("statement", ["TRUNCATE stored_events", "DELETE FROM stored_events WHERE notification_id = 3"])
@pytest.mark.parametrize("full_read", [False, True])
def test_x110_facts_that_are_gone_are_found_in_every_mode(full: Book, statement: str, *, full_read: bool) -> None:
    assert full.check().findings == {}
    full.own(statement)
    assert "fact" in full.check(full=full_read).findings


@pytest.mark.parametrize("full_read", [False, True])
def test_x113_an_end_that_was_cut_everywhere_is_found_by_what_was_found_right_earlier(
    full: Book, *, full_read: bool
) -> None:
    """Facts, leaves, checkpoint rows and the end of the file are cut together; the verifier's own note is left."""
    assert full.check().findings == {}
    known = (full.folder / "verified.txt").read_bytes()
    roll_back(full, 18)
    full.file.write_bytes(b"".join(full.file.read_bytes().splitlines(keepends=True)[:12]))
    for _ in range(2):
        found = full.check(full=full_read)
        assert [kind for kind, _ in named(found)] == ["short"]
        assert (full.folder / "verified.txt").read_bytes() == known


def test_x113_a_tree_that_went_on_after_its_end_was_cut_is_not_what_was_found_right(full: Book) -> None:
    assert full.check().findings == {}
    known = (full.folder / "verified.txt").read_bytes()
    roll_back(full, 18)
    full.file.write_bytes(b"".join(full.file.read_bytes().splitlines(keepends=True)[:12]))
    full.append(*["user_mfa:1"] * 40)
    full.ledger().checkpoint()
    assert "verified" in full.check().findings
    assert (full.folder / "verified.txt").read_bytes() == known


def test_x113_a_checkpoint_that_was_removed_from_the_database_is_reported(full: Book) -> None:
    full.own("DELETE FROM ledger_checkpoint WHERE size = 27")
    found = full.check()
    assert list(found.findings) == ["copy"]
    assert "27 facts" in found.findings["copy"].what


def test_x113_a_crash_between_file_and_database_leaves_no_checkpoint_without_its_copy(full: Book) -> None:
    full.own("DELETE FROM ledger_checkpoint WHERE size = 45")
    full.append("user_mfa:1")
    full.ledger().checkpoint()
    assert full.check().findings == {}


def test_x113_a_tree_without_its_nodes_is_a_finding_and_no_crash(full: Book) -> None:
    kept = full.ledger().checkpoint()
    full.own("DELETE FROM ledger_leaf WHERE number = 31")
    assert "fact" in full.check(given=kept).findings
    full.restore()
    full.own("TRUNCATE stored_events, ledger_leaf, ledger_checkpoint")
    assert "short" in full.check(given=kept).findings


@pytest.mark.parametrize(("minutes", "remarked"), [(0, 0), (0.5, 0), (5, 1)])
def test_x117_a_fact_that_is_older_than_one_before_it_is_remarked_on(full: Book, minutes: float, remarked: int) -> None:
    """Other clocks than one's own differ a little; that is no remark."""
    late = replace(origin(), at=NOON - timedelta(minutes=minutes))
    position = full.store.append(change("user_mfa:late", 0, 1), origin=late)
    full.append("user_mfa:1")
    full.ledger().checkpoint()
    found = full.check()
    assert (found.findings, found.out_of_order) == ({}, remarked)
    assert found.first_out_of_order == (position if remarked else None)
