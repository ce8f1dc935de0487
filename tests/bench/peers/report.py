"""What came of each turn, and what it says: medians, and ratios of turns that were neighbours."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.peers import allauth, better_auth, glewlwyd, privacyidea
from tests.bench.peers.ours import FLOOR, WATCHWORD

GOALS = {FLOOR: 0.6, privacyidea.NAME: 45, allauth.NAME: 16, better_auth.NAME: 8, glewlwyd.NAME: 4.5}
"""Watchword's rate ÷ this one's, at least, with as many clients as ``GOAL_CLIENTS``."""
GOAL_CLIENTS = 8
BUSY = 0.8
"""A client that took more of a processor than this may be what was measured."""


@dataclass(frozen=True)
class Turn:
    """One contestant asked by so many clients for some seconds."""

    name: str
    clients: int
    rotation: int
    answers: int
    per_second: float
    p50: float
    """Milliseconds."""
    p99: float
    app: float
    """Milliseconds of processor time per request, of the server and all that it started."""
    postgres: float
    busy: float
    """The share of one processor that the clients took."""
    load: float
    """The machine's load average of one minute, before the turn."""


@dataclass(frozen=True)
class Standing:
    """One contestant's medians at one number of clients, and Watchword beside it."""

    name: str
    clients: int
    per_second: float
    p50: float
    p99: float
    app: float
    postgres: float
    busy: float
    ratios: list[float]
    """Watchword's rate ÷ this one's, of each rotation."""
    cheaper: float
    """Its processor time per request ÷ Watchword's."""
    goal: float | None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios; None where Watchword did not run."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def reached(self) -> bool | None:
        """Say whether the goal is reached; None where there is none."""
        return None if self.goal is None or self.ratio is None else self.ratio >= self.goal


def standings(turns: Sequence[Turn]) -> list[Standing]:
    """Return where everybody stands, by number of clients."""
    kinds = dict.fromkeys((each.clients, each.name) for each in turns)
    return [_standing(name, clients, turns) for clients, name in kinds]


def _standing(name: str, clients: int, turns: Sequence[Turn]) -> Standing:
    theirs = [each for each in turns if (each.name, each.clients) == (name, clients)]
    ours = {each.rotation: each for each in turns if (each.name, each.clients) == (WATCHWORD, clients)}
    pairs = [(ours[each.rotation], each) for each in theirs if each.rotation in ours]

    def median(of: Callable[[Turn], float]) -> float:
        return statistics.median(map(of, theirs))

    return Standing(
        name, clients, median(lambda t: t.per_second), median(lambda t: t.p50), median(lambda t: t.p99),
        median(lambda t: t.app), median(lambda t: t.postgres), median(lambda t: t.busy),
        ratios=[one.per_second / other.per_second for one, other in pairs],
        cheaper=statistics.median([(b.app + b.postgres) / (a.app + a.postgres) for a, b in pairs] or [0.0]),
        goal=GOALS.get(name) if clients == GOAL_CLIENTS else None,
    )  # fmt: skip


def table(found: Sequence[Standing]) -> str:
    """Return where everybody stands for a person."""
    head = (
        f"{'clients':>7} {'':22} {'ok/s':>8} {'p50':>7} {'p99 ms':>7} {'CPU ms':>7} {'+ PG':>6}"
        f" {'× theirs':>9} {'of each rotation':18} {'goal':>6} {'':3} {'CPU ×':>6} {'client':>6}"
    )
    lines = [head]
    for each in found:
        ratio = "" if each.ratio is None or each.name == WATCHWORD else f"{each.ratio:.2f}"
        span = f"{min(each.ratios):.2f} to {max(each.ratios):.2f}" if ratio else ""
        goal = "" if each.goal is None else f"≥ {each.goal:g}"
        mark = {None: "", True: "yes", False: "no"}[each.reached]
        lines.append(
            f"{each.clients:7} {each.name:22} {each.per_second:8,.0f} {each.p50:7.1f} {each.p99:7.1f} {each.app:7.2f}"
            f" {each.postgres:6.2f} {ratio:>9} {span:18} {goal:>6} {mark:3} {each.cheaper:6.1f} {each.busy:6.0%}"
        )
    if busy := sorted({each.name for each in found if each.busy > BUSY}):
        lines.append(f"With {', '.join(busy)} the client itself was busy: the rate of the server is higher than that.")
    return "\n".join(lines)
