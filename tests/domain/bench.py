"""Given these facts, when this is decided, then those facts follow, or a refusal: the whole language of these tests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.kernel import Fact, Refused, replay

State = TypeVar("State")


@dataclass(frozen=True)
class Outcome:
    """What a decision came to."""

    facts: tuple[Fact, ...] = ()
    refusal: Refused | None = None

    def then(self, *expected: Fact) -> None:
        """Expect exactly these facts, in this order; none at all means: it is allowed and changes nothing."""
        assert self.refusal is None, f"refused: {self.refusal}"
        assert self.facts == expected

    def refused(self, reason: type[Refused], **because: str | int | bool | None) -> None:
        """Expect exactly this refusal, with what a person may know about it."""
        assert type(self.refusal) is reason, f"not refused by {reason.reason()}: {self.facts or self.refusal!r}"
        assert self.refusal.because == because


@dataclass(frozen=True)
class Given(Generic[State]):
    """A history and the state to which it leads."""

    evolve: Callable[[State, Fact], State]
    state: State

    def when(self, decision: Callable[[State], list[Fact]]) -> Outcome:
        """Decide, once."""
        try:
            return Outcome(facts=tuple(decision(self.state)))
        except Refused as refusal:
            return Outcome(refusal=refusal)

    def after(self, *facts: Fact) -> "Given[State]":
        """Let more facts happen."""
        return Given(self.evolve, replay(self.evolve, self.state, facts))

    def and_then(self, decision: Callable[[State], list[Fact]]) -> "Given[State]":
        """Decide, and let happen what was decided."""
        return self.after(*decision(self.state))


def history_of(evolve: Callable[[State, Fact], State], start: State) -> Callable[..., Given[State]]:
    """Return the ``given`` of one aggregate."""

    def given(*facts: Fact) -> Given[State]:
        return Given(evolve, start).after(*facts)

    return given
