"""One metric beside its floor in the same run: the only way in which a speed is worth saying."""

from dataclasses import dataclass


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

    @property
    def ratio(self) -> float:
        """Return ours ÷ floor."""
        return self.ours / self.floor

    @property
    def reached(self) -> bool | None:
        """Say whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.unit.endswith("/s") else self.ratio <= self.goal


def table(figures: list[Figure]) -> str:
    """Return the figures for a person."""
    head = f"{'':4} {'':58} {'ours':>12} {'floor':>12} {'':8} {'ratio':>7} {'goal':>7}"
    lines = [head]
    for each in figures:
        goal = "" if each.goal is None else f"{'≥' if each.unit.endswith('/s') else '≤'} {each.goal:g}"
        mark = {None: "", True: "yes", False: "no"}[each.reached]
        size = "" if each.size is None else f" at {each.size:,}"
        lines.append(
            f"{each.metric:4} {each.what + size:58} {each.ours:12,.2f} {each.floor:12,.2f} {each.unit:8}"
            f" {each.ratio:7.2f} {goal:>7} {mark}"
        )
    return "\n".join(lines)
