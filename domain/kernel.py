"""What every fact, refusal and replay has in common."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

State = TypeVar("State")

CLOCK_TOLERANCE = timedelta(seconds=60)
"""By so much the times of facts may disagree with their order: clocks of several machines, and commands that take long."""
NO_TIME = datetime.fromtimestamp(0, UTC)
"""Stands for the time of a fact whose bytes are damaged."""
FACTS: dict[str, type["Fact"]] = {}
"""Every kind of fact by its versioned topic, such as ``user_mfa.verified.v1``."""


class Fact(BaseModel):
    """Something that happened. It never changes, and it holds no secret and no mail address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    TOPIC: ClassVar[str]
    """The lasting name, ``<aggregate>.<what happened>``. Moving or renaming the class leaves it alone."""
    VERSION: ClassVar[int] = 1
    """Rises when the shape changes; older shapes are upcast when they are read."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if not cls.TOPIC:
            return
        if cls.versioned_topic() in FACTS:
            raise TypeError(f"the topic {cls.versioned_topic()} already names {FACTS[cls.versioned_topic()]}")
        FACTS[cls.versioned_topic()] = cls

    @classmethod
    def versioned_topic(cls) -> str:
        """Return the name under which this shape of the fact is stored."""
        return f"{cls.TOPIC}.v{cls.VERSION}"


class Unknown(Fact):
    """What this release cannot read: a kind or a version that only a newer one knows, or bytes that are damaged.

    It is never stored, decides nothing, and changes no state; its envelope has what was stored, as it was stored.
    """

    TOPIC = ""


class Refused(Exception):
    """The wish broke a rule; nothing has changed. The class is named after the reason."""

    def __init__(self, **because: str | int | bool | None) -> None:
        super().__init__(type(self).reason())
        self.because = because
        """What a person may know about the rule: the partner that enforces, the instant a lock ends."""

    @classmethod
    def reason(cls) -> str:
        """Return the refusal's lasting public name in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


@dataclass(frozen=True, slots=True)
class Envelope:
    """A fact with where it stands, when it happened and who did it."""

    fact: Fact
    stream: str
    """``<aggregate>:<id>``, such as ``user_mfa:acc-7``."""
    version: int
    """The fact's number within its stream, from 1."""
    at: datetime
    actor: str
    """``account:<id>``, ``service:<id>``, ``operator`` or ``system``."""
    tenant: str
    """The partner to which the stream belonged when this happened."""
    command_id: str
    correlation_id: str = ""
    ip_prefix: str = ""
    """The caller's network (/24 or /48), never the whole address."""
    session: str = ""
    """The sign-in's public handle, which opens nothing."""
    position: int = field(default=0, compare=False)
    """The place in the whole log, in commit order; 0 until it is stored."""
    stored_topic: str = field(default="", compare=False)
    """The versioned topic under which the fact was stored; empty until it is read from the log."""
    stored: bytes = field(default=b"", compare=False)
    """The bytes that were stored; empty until they are read from the log."""

    @property
    def topic(self) -> str:
        """The fact's versioned topic: of an unknown fact the one under which it was stored."""
        return self.fact.versioned_topic() if self.fact.TOPIC else self.stored_topic

    @property
    def kind(self) -> str:
        """The topic without its version."""
        return self.fact.TOPIC or self.stored_topic.rpartition(".v")[0] or self.stored_topic

    @property
    def originator_id(self) -> str:
        """The stream, under the event store library's name."""
        return self.stream

    @property
    def originator_version(self) -> int:
        """The version, under the event store library's name."""
        return self.version

    @property
    def aggregate(self) -> str:
        """The part of the stream's name before the colon."""
        return self.stream.partition(":")[0]

    @property
    def subject_id(self) -> str:
        """The part of the stream's name after the colon: an account, a partner, a mail."""
        return self.stream.partition(":")[2]


def replay(evolve: Callable[[State, Fact], State], state: State, facts: Iterable[Fact]) -> State:
    """Fold a history into the state it leads to. History is never refused."""
    for fact in facts:
        state = evolve(state, fact)
    return state
