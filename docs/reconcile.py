"""Show that a consumer of Watchword's facts missed none, and name those that it missed: the consumer's part, to copy.

A consumer keeps of each message that it has processed the position (`sequence`) and the hash of the fact's leaf
(`leafhash`; on NATS the headers `ce-sequence` and `ce-leafhash`). Watchword tells count and hash of any range
of positions. Where they agree, the range is proved; where not, it is halved, until the positions are known.

    differences = missing(over_http("https://portal.example", token), processed, to=last_position)
    differences -> {1041: "missing", 1077: "changed"}; empty: nothing is missing, nothing was changed
"""

# ruff: noqa: INP001

import hashlib
import json
import urllib.request
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from typing import Any

Fetch = Callable[[int, int], dict[str, Any]]
"""Returns Watchword's answer for the positions from the one to the other, both included: at least count and hash."""
WIDEST = 100_000
"""Positions for which Watchword answers at once."""

MISSING = "missing"
"""The fact is in the log, and was not processed."""
CHANGED = "changed"
"""What was processed under this position is not what the log says, or has no leaf hash; or two messages differed."""
UNKNOWN = "unknown"
"""Something was processed, and the log has no such fact."""


def missing(fetch: Fetch, processed: Iterable[tuple[int, str | None]], *, to: int, start: int = 1) -> dict[int, str]:
    """Return each position from start to the other one that is not as in the log, with what is wrong.

    Processed are pairs of position and leaf hash, in any order. The same pair twice is a message that came twice, which
    is as it should be. A message without a leaf hash (None) proves nothing, and counts as changed: an invented one has none.
    """
    kept: dict[int, str | None] = {}
    wrong: dict[int, str] = {}
    for position, leaf_hash in processed:
        if start <= position <= to:
            if leaf_hash is None or leaf_hash != kept.get(position, leaf_hash):
                wrong[position] = CHANGED
            kept[position] = leaf_hash
    at = sorted(kept)
    # The stack holds ranges that are still to be compared, the leftmost on top.
    ranges = [(first, min(first + WIDEST - 1, to)) for first in range(start, to + 1, WIDEST)][::-1]
    while ranges:
        first, last = ranges.pop()
        mine = [kept[each] for each in at[bisect_left(at, first) : bisect_right(at, last)]]
        theirs = fetch(first, last)
        if all(mine) and over(mine) == theirs["hash"] and len(mine) == theirs["count"]:
            continue
        if first == last:
            wrong[first] = MISSING if not mine else CHANGED if theirs["count"] else UNKNOWN
            continue
        middle = (first + last) // 2
        ranges += [(middle + 1, last), (first, middle)]
    return wrong


def over(leaf_hashes: Iterable[str | None]) -> str:
    """Return one hash for many, as Watchword makes it: SHA-256 over the 32 bytes of each, in position order."""
    return hashlib.sha256(b"".join(bytes.fromhex(each or "") for each in leaf_hashes)).hexdigest()


def over_http(address: str, token: str) -> Fetch:
    """Return what asks Watchword at this address, with a service token of the scope `audit`."""

    def fetch(first: int, last: int) -> dict[str, Any]:
        url = f"{address}/api/v1/events/range?from={first}&to={last}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 their own address
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found

    return fetch
