"""One metric beside its floor in the same run: the only way in which a speed is worth saying."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace


@dataclass(frozen=True)
class Figure:
    """What ours took, what the floor took in the same minute, and the ratio that is the goal."""

    metric: str
    """``P1`` to ``P13``, as docs/performance.md lists them."""
    what: str
    ours: float
    floor: float
    """The same work by hand: bare psycopg, bare ASGI, bare JetStream, bare SMTP."""
    unit: str
    """``…/s``: more is better; ``ms``, ``s``, ``MiB``: less is better."""
    goal: float | None = None
    """Ours ÷ floor: at least this for a rate, at most this for anything else; None where growth alone is asked."""
    size: int | None = None
    """Facts, users or writers, where it is measured at several."""
    load: float = field(default_factory=lambda: os.getloadavg()[0], compare=False)
    """The machine's load average of one minute, when it was measured."""
    ratios: Sequence[float] = ()
    """Of each run, where this is the median of several."""

    @property
    def ratio(self) -> float:
        """Return ours ÷ floor; of several runs the median of theirs."""
        return statistics.median(self.ratios) if self.ratios else self.ours / self.floor

    @property
    def reached(self) -> bool | None:
        """Say whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.unit.endswith("/s") else self.ratio <= self.goal

    def kept(self) -> dict[str, object]:
        """Return it as JSON keeps it."""
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached}


def medians(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Return each figure once, as the median of all runs that have it."""
    found: dict[tuple[str, str, int | None], list[Figure]] = {}
    for each in (figure for run in runs for figure in run):
        found.setdefault((each.metric, each.what, each.size), []).append(each)
    return [_median(same) if len(same) > 1 else same[0] for same in found.values()]


def _median(same: Sequence[Figure]) -> Figure:
    ours, floor, load = (
        statistics.median(each) for each in zip(*((f.ours, f.floor, f.load) for f in same), strict=True)
    )
    return replace(same[0], ours=ours, floor=floor, load=load, ratios=[each.ratio for each in same])


def table(figures: Sequence[Figure]) -> str:
    """Return the figures for a person."""
    head = f"{'':4} {'':62} {'ours':>12} {'floor':>12} {'':10} {'ratio':>7} {'goal':>7} {'':3} {'load':>5}"
    lines = [head]
    for each in figures:
        goal = "" if each.goal is None else f"{'≥' if each.unit.endswith('/s') else '≤'} {each.goal:g}"
        mark = {None: "", True: "yes", False: "no"}[each.reached]
        size = "" if each.size is None else f" at {each.size:,}"
        span = f" {min(each.ratios):.2f} to {max(each.ratios):.2f}" if each.ratios else ""
        lines.append(
            f"{each.metric:4} {each.what + size:62} {each.ours:12,.2f} {each.floor:12,.2f} {each.unit:10}"
            f" {each.ratio:7.2f} {goal:>7} {mark:3} {each.load:5.1f}{span}"
        )
    return "\n".join(lines)
