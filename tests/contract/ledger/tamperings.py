"""Every way in which the owner of the database can change the log behind everybody's back."""

# ruff: noqa: S608 the statements are made of the test's own words

import random
from collections.abc import Callable

from tests.contract.ledger.book import Book

Tampering = Callable[[Book, list[int], random.Random], int]
"""Changes the log behind everybody's back, and returns the first position that is not as it was."""


def column(assignment: str) -> Tampering:
    def change_it(book: Book, positions: list[int], chance: random.Random) -> int:
        position = chance.choice(positions)
        book.own(f"UPDATE stored_events SET {assignment} WHERE notification_id = {position}")
        return position

    return change_it


def one_bit(book: Book, positions: list[int], chance: random.Random) -> int:
    position, bit = chance.choice(positions), chance.randrange(1000)
    turned = f"set_bit(state, {bit} % (8 * length(state)), 1 - get_bit(state, {bit} % (8 * length(state))))"
    book.own(f"UPDATE stored_events SET state = {turned} WHERE notification_id = {position}")
    return position


def deleted(book: Book, positions: list[int], chance: random.Random) -> int:
    position = chance.choice(positions)
    book.own(f"DELETE FROM stored_events WHERE notification_id = {position}")
    return position


def several_deleted(book: Book, positions: list[int], chance: random.Random) -> int:
    chosen = chance.sample(positions, 5)
    book.own(f"DELETE FROM stored_events WHERE notification_id IN ({', '.join(map(str, chosen))})")
    return min(chosen)


def inserted(book: Book, positions: list[int], chance: random.Random) -> int:
    gap = chance.choice(sorted(set(range(positions[-1])) - set(positions)))
    book.own(
        "INSERT INTO stored_events (notification_id, originator_id, originator_version, topic, state)"
        f" SELECT {gap}, 'user_mfa:new', 1, topic, state FROM stored_events WHERE notification_id = {positions[0]}"
    )
    return gap


def moved_into_a_gap(book: Book, positions: list[int], chance: random.Random) -> int:
    gap = chance.choice(sorted(set(range(1, positions[-1])) - set(positions)))
    position = chance.choice(positions)
    book.own(f"UPDATE stored_events SET notification_id = {gap} WHERE notification_id = {position}")
    return min(gap, position)


def positions_swapped(book: Book, positions: list[int], chance: random.Random) -> int:
    one, other = sorted(chance.sample(positions, 2))
    set_to = "UPDATE stored_events SET notification_id = {} WHERE notification_id = {}"
    book.own(set_to.format(-1, one), set_to.format(one, other), set_to.format(other, -1))
    return one


def contents_swapped(book: Book, positions: list[int], chance: random.Random) -> int:
    one, other = sorted(chance.sample(positions, 2))
    book.own(
        f"UPDATE stored_events e SET state = o.state FROM saved_stored_events o"
        f" WHERE e.notification_id IN ({one}, {other}) AND o.notification_id = {one} + {other} - e.notification_id"
    )
    return one


def tail_cut(book: Book, positions: list[int], chance: random.Random) -> int:
    position = chance.choice(positions)
    book.own(f"DELETE FROM stored_events WHERE notification_id >= {position}")
    return position


def all_deleted(book: Book, positions: list[int], _: random.Random) -> int:
    book.own("DELETE FROM stored_events")
    return positions[0]


CHANGED, MISSING, ADDED = "was changed", "is missing", "was added"
TAMPERINGS: dict[str, tuple[Tampering, set[str]]] = {
    "stream": (column("originator_id = originator_id || 'x'"), {CHANGED}),
    "version": (column("originator_version = originator_version + 1000"), {CHANGED}),
    "topic": (column("topic = 'user_mfa.enabled.v1'"), {CHANGED}),
    "topic is null": (column("topic = NULL"), {CHANGED}),
    "state": (column("state = state || ' '"), {CHANGED}),
    "state is empty": (column("state = ''"), {CHANGED}),
    "state is null": (column("state = NULL"), {CHANGED}),
    "position": (column("notification_id = notification_id + 1000"), {MISSING}),
    "one bit": (one_bit, {CHANGED}),
    "deleted": (deleted, {MISSING}),
    "several deleted": (several_deleted, {MISSING}),
    "inserted": (inserted, {ADDED}),
    "moved into a gap": (moved_into_a_gap, {ADDED, MISSING}),
    "positions swapped": (positions_swapped, {CHANGED}),
    "contents swapped": (contents_swapped, {CHANGED}),
    "tail cut": (tail_cut, {MISSING}),
    "all deleted": (all_deleted, {MISSING}),
}
"""Each with what is then said of the first bad position."""
