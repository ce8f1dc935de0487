"""``make bench-peers``: other products and Watchword take turns at the same work; a table, and JSON of every turn.

What they do and do not do in a request is told in this package's opening words and in docs/performance.md.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path

import httpx
import psycopg

from tests.bench.asking import ask_apart
from tests.bench.peers import allauth, better_auth, glewlwyd, ours, privacyidea
from tests.bench.peers.place import Contestant, Lacking, Room, seconds_of
from tests.bench.peers.report import Turn, standings, table
from tests.bench.verifying import Ground

ROTATIONS = 3
SECONDS = 5.0
CLIENTS = [1, 8]
PEOPLE = 8_000
WARM = 100
"""Requests to each before anything counts; they also say how many have to be ready for a turn."""
SPARE = 1.5
"""So many times the requests that the last turns used are made ready."""
STEP = 30.0
"""Seconds of a time step."""
APART = STEP + 1
"""Seconds between two codes of one person: another time step, as replayed codes are refused."""
READY = 10.0
"""Seconds that a turn's requests may take to be made."""
PEERS: Mapping[str, tuple[str, Callable[[Room], AbstractContextManager[Contestant]]]] = {
    "privacyidea": (privacyidea.NAME, privacyidea.contest),
    "allauth": (allauth.NAME, allauth.contest),
    "better-auth": (better_auth.NAME, better_auth.contest),
    "glewlwyd": (glewlwyd.NAME, glewlwyd.contest),
}


def main() -> None:
    """Install, measure, print, keep."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("--rotations", type=int, default=ROTATIONS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each turn")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--people", type=int, default=PEOPLE, help="of each contestant")
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS), help="peers beside Watchword")
    parser.add_argument("--folder", type=Path, default=Path(".data") / "peers", help="where the peers are installed")
    parser.add_argument("--json", type=Path, default=Path(".data") / "bench-peers.json")
    asked = parser.parse_args()
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="watchword-bench-") as folder, ExitStack() as stack:
        ground = Ground(Path(folder), asked.people)
        stack.callback(ground.close)
        ground.next_step()
        contestants = [stack.enter_context(each(ground)) for each in (ours.floor, ours.watchword)]
        rooms = [Room(name, asked.folder.resolve() / name, ground.postgres, asked.people) for name in asked.only]
        contestants += _entered(stack, rooms, left_out)
        turns = list(_turns(ground, contestants, asked.clients, asked.rotations, asked.seconds))
    found = standings(turns)
    print(table(found))
    for name, why in left_out.items():
        print(f"{name} is left out: {why}.")
    kept = [{**asdict(each), "ratio": each.ratio, "reached": each.reached} for each in found]
    content = {"medians": kept, "left_out": left_out, "turns": [asdict(each) for each in turns]}
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(content, indent=2) + "\n")
    print(f"the same as JSON, with every turn: {asked.json}")


def _entered(stack: ExitStack, rooms: Sequence[Room], left_out: dict[str, str]) -> Iterator[Contestant]:
    """Start every peer that this machine can have; note why not, for the others."""
    for room in rooms:
        name, contest = PEERS[room.name]
        print(f"Starting {name}", flush=True)
        try:
            yield stack.enter_context(contest(room))
        except (Lacking, httpx.HTTPError, psycopg.Error) as why:
            left_out[name] = str(why).partition("\n")[0].rstrip(".")
            print(f"{name} is left out: {left_out[name]}.", flush=True)


def _turns(
    ground: Ground, contestants: Sequence[Contestant], clients: Sequence[int], rotations: int, seconds: float
) -> Iterator[Turn]:
    asking = _Asking(ground)
    rates = {each.name: asking(each, max(clients), WARM, float("inf"), 0).per_second for each in contestants}
    for rotation in range(1, rotations + 1):
        for many in clients:
            for each in contestants:
                ready = int(rates[each.name] * seconds * SPARE) + many
                turn = asking(each, many, ready, seconds, rotation)
                rates[each.name] = max(rates[each.name], turn.per_second)
                print(
                    f"{rotation} {many:2} {each.name:22} {turn.per_second:8,.1f}/s  p50 {turn.p50:.1f} ms", flush=True
                )
                yield turn


class _Asking:
    """Asks one contestant at a time, and nobody for the same code twice."""

    def __init__(self, ground: Ground) -> None:
        if ground.postgres.process is None:
            raise SystemExit("PostgreSQL has stopped.")
        self.postgres = ground.postgres.process.pid
        self.last: dict[str, float] = {}

    def __call__(self, one: Contestant, clients: int, ready: int, seconds: float, rotation: int) -> Turn:
        time.sleep(max(0.0, self.last.get(one.name, 0.0) + APART - time.monotonic()))
        left = STEP - time.time() % STEP
        time.sleep(left if left < min(seconds, SECONDS) + READY else 0)  # glewlwyd takes no code of the step before
        requests, load = one.requests(ready), os.getloadavg()[0]
        self.last[one.name] = time.monotonic()
        before = seconds_of(one.pid), seconds_of(self.postgres)
        found = ask_apart(one.port, requests, clients, seconds, one.sign)
        app, postgres = seconds_of(one.pid) - before[0], seconds_of(self.postgres) - before[1]
        answers = len(found.times)
        return Turn(
            one.name, clients, rotation, answers, found.per_second, found.at(50), found.at(99),
            app * 1000 / answers, postgres * 1000 / answers, found.busy, load,
        )  # fmt: skip


if __name__ == "__main__":
    main()
