"""Which lines of an import are taken in one transaction."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from api.bootstrap import Watchword
from handlers.directory import AccountLine
from handlers.shapes import mail_key

Item = TypeVar("Item")
READ_AT_ONCE = 5_000
"""Lines of which the holders of their addresses are looked up at once."""


def together(lines: Sequence[AccountLine], watchword: Watchword) -> list[list[AccountLine]]:
    """Return the lines in groups: who takes an address in a place is in one group with the account that leaves it.

    A group is taken in one transaction, at whose end no address may have two accounts: so it does not matter in which
    order addresses move, be it in a ring.
    """
    number = {line.id: index for index, line in enumerate(lines)}
    leader = list(range(len(lines)))

    def first(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    query = "SELECT account_id, place, mail_key FROM person WHERE mail_key = ANY(%s)"
    for batch in batches(lines, READ_AT_ONCE):
        rows = watchword.database.all(query, ([mail_key(line.email) for line in batch],))
        holders = {(row["place"], row["mail_key"]): row["account_id"] for row in rows}
        for line in batch:
            holder = holders.get((line.place, mail_key(line.email)))
            if holder in number:
                one, other = sorted((first(number[line.id]), first(number[holder])))
                leader[other] = one
    groups: dict[int, list[AccountLine]] = {}
    for index, line in enumerate(lines):
        groups.setdefault(first(index), []).append(line)
    return list(groups.values())


def packed(groups: Sequence[list[AccountLine]], size: int) -> Iterator[list[AccountLine]]:
    """Put groups together into batches of about the given size; a group is never cut."""
    batch: list[AccountLine] = []
    for group in groups:
        if batch and len(batch) + len(group) > size:
            yield batch
            batch = []
        batch += group
    if batch:
        yield batch


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of at most the given size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
