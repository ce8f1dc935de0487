"""``make bench``: a table of ours, the floor and their ratio, the same as JSON, and charts of what grows."""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    appending,
    charts,
    delivering,
    figures,
    history,
    importing,
    pages,
    projecting,
    scaling,
    starting,
    verifying,
)

ACCOUNTS = [1_000, 10_000, 100_000]
PEOPLE = 4_000
USERS = [1_000, 10_000, 100_000, 1_000_000]
SPANS = 10_000_000
RELAYED = 20_000
MAILS = 1_000
LOOKS = 300
"""Facts whose way to a consumer and into a mailbox is timed, one after the other."""
SHARED = 200_000
"""Facts that several projectors fold."""
FACTS = [1_000, 10_000, 100_000, 1_000_000]
Measuring = Callable[[Path], list[figures.Figure]]


def main() -> None:
    """Measure, print, draw, keep."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--accounts", type=int, nargs="+", default=ACCOUNTS, help="of directories that are imported")
    parser.add_argument("--people", type=int, default=PEOPLE, help="who give codes")
    parser.add_argument("--users", type=int, nargs="+", default=USERS, help="of one partner, for pages and demands")
    parser.add_argument("--facts", type=int, nargs="+", default=FACTS, help="lengths of history")
    parser.add_argument("--spans", type=int, default=SPANS, help="of a history that is too long to write")
    parser.add_argument("--runs", type=int, default=1, help="of everything, one after the other; medians are reported")
    parser.add_argument("--only", nargs="+", choices=list(measuring(parser.parse_args([]))))
    parser.add_argument("--json", type=Path, default=Path(".data") / "bench.json")
    parser.add_argument("--charts", type=Path, default=Path(".data") / "growth", help="folder of the growth charts")
    asked = parser.parse_args()
    chosen = {name: each for name, each in measuring(asked).items() if asked.only is None or name in asked.only}
    print("Starting a PostgreSQL of its own for each, with fsync", flush=True)
    runs = [_run(chosen) for _ in range(asked.runs)]
    found = figures.medians(runs)
    if asked.runs > 1:
        print(f"Medians of {asked.runs} runs", figures.table(found), sep="\n")
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"figures": [each.kept() for each in found], "runs": [[each.kept() for each in run] for run in runs]}
    asked.json.write_text(json.dumps(content, indent=2) + "\n")
    drawn = charts.draw(found, asked.charts)
    print(f"the same as JSON: {asked.json}; {len(drawn)} charts of growth: {asked.charts}")


def measuring(asked: argparse.Namespace) -> dict[str, Measuring]:
    """Return what can be measured, as it is asked."""
    return {
        "import": lambda folder: importing.measure(folder, asked.accounts),
        "pages": lambda folder: pages.measure(folder, asked.users),
        "history": lambda folder: history.measure(folder, asked.facts, asked.spans),
        "verifying": lambda folder: verifying.measure(folder, asked.people),
        "appending": lambda folder: appending.measure(folder, asked.users),
        "starting": starting.measure,
        "projecting": lambda folder: projecting.measure(folder, asked.facts),
        "delivering": lambda folder: delivering.measure(folder, RELAYED, MAILS, LOOKS),
        "scaling": lambda folder: scaling.measure(folder, asked.people, SHARED, 3 * MAILS),
    }


def _run(chosen: dict[str, Measuring]) -> list[figures.Figure]:
    run: list[figures.Figure] = []
    for measured in chosen.values():
        with tempfile.TemporaryDirectory(prefix="watchword-bench-") as folder:
            found = measured(Path(folder))
        print(figures.table(found), flush=True)
        run += found
    return run


if __name__ == "__main__":
    main()
