"""``make bench``: a table of ours, the floor and their ratio, and the same as JSON in ``.data/bench.json``."""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import appending, delivering, figures, history, pages, projecting, scaling, starting, verifying
from tests.bench.importing import Measured, measure

ACCOUNTS = 100_000
PEOPLE = 4_000
USERS = 1_000_000
SPANS = 10_000_000
RELAYED = 20_000
MAILS = 1_000
LOOKS = 300
"""Facts whose way to a consumer and into a mailbox is timed, one after the other."""
SHARED = 200_000
"""Facts that several projectors fold."""
FACTS = [10_000, 100_000, 1_000_000]


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--users", type=int, default=USERS, help="of one partner, for the pages")
    parser.add_argument("--facts", type=int, nargs="+", default=FACTS, help="lengths of history")
    parser.add_argument("--spans", type=int, default=SPANS, help="of a history that is too long to write")
    parser.add_argument(
        "--only",
        choices=(
            "import",
            "pages",
            "history",
            "verifying",
            "appending",
            "starting",
            "projecting",
            "delivering",
            "scaling",
        ),
    )
    parser.add_argument("--json", type=Path, default=Path(".data") / "bench.json")
    asked = parser.parse_args()
    content: list[dict[str, object]] = []
    print("Starting a PostgreSQL of its own for each, with fsync")
    if asked.only in {None, "import"}:
        with tempfile.TemporaryDirectory(prefix="watchword-bench-") as folder:
            results = measure(Path(folder), asked.accounts)
        print(table(results))
        content += [{**vars(each), "ratio": each.ratio} for each in results]
    if asked.only in {None, "pages"}:
        with tempfile.TemporaryDirectory(prefix="watchword-bench-") as folder:
            answered = pages.measure(Path(folder), asked.users)
        print(pages.table(answered))
        content += [
            {"what": each.what, "p50": each.at(50), "p99": each.at(99), "bytes": each.size} for each in answered
        ]
    if asked.only in {None, "history"}:
        rates: list[history.Rate] = []
        looked: list[history.Looked] = []
        differ = 0
        for facts in asked.facts:
            with tempfile.TemporaryDirectory(prefix="watchword-bench-") as folder:
                rates, once, differences = history.measure(Path(folder), facts)
            looked.append(once)
            differ += differences
        with tempfile.TemporaryDirectory(prefix="watchword-bench-") as folder:
            looked.append(history.filled(Path(folder), asked.spans))
        print(history.table(rates, looked, differ))
        content += [vars(each) for each in (*rates, *looked)]
    beside_floors: dict[str, Callable[[Path], list[figures.Figure]]] = {
        "verifying": lambda folder: verifying.measure(folder, PEOPLE),
        "appending": lambda folder: appending.measure(folder, [1_000, 100_000, asked.users]),
        "starting": starting.measure,
        "projecting": lambda folder: projecting.measure(folder, asked.facts),
        "delivering": lambda folder: delivering.measure(folder, RELAYED, MAILS, LOOKS),
        "scaling": lambda folder: scaling.measure(folder, PEOPLE, SHARED, 3 * MAILS),
    }
    for name, measured in beside_floors.items():
        if asked.only in {None, name}:
            with tempfile.TemporaryDirectory(prefix="watchword-bench-") as folder:
                found = measured(Path(folder))
            print(figures.table(found))
            content += [{**vars(each), "ratio": each.ratio} for each in found]
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(content, indent=2) + "\n")
    print(f"the same as JSON: {asked.json}")


def table(results: list[Measured]) -> str:
    """Return the results for a person."""
    head = f"{'':32} {'ours':>9} {'floor':>9} {'ratio':>7} {'rows/s':>9}"
    rows = [
        f"{each.what:32} {each.ours:7.2f} s {each.floor:7.2f} s {each.ratio:7.1f} {each.rows / each.ours:9,.0f}"
        for each in results
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    main()
