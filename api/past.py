"""Questions about the past: which position of the log is meant, and what stood there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from api.bootstrap import Watchword
from api.doors import Asked
from api.words import sentence
from domain.facts import Population
from domain.partner_policy import PartnerPolicy
from domain.requirement import Requirement, population_of, requirement
from projections import status_history

AsOf = Annotated[
    str | None,
    Query(
        max_length=40,
        description="A position of the log, an instant (RFC 3339), or a day, which means its end in UTC.",
        examples=["2026-11-01T12:00:00Z"],
    ),
]


@dataclass(frozen=True, slots=True)
class Moment:
    """A position of the log, and the words by which it was asked for."""

    position: int
    asked_for: str

    def day_before(self, asked: Asked) -> date:
        """Return the last day that was wholly over at the moment."""
        newest = asked.s.store.read(self.position - 1, 1) if self.position else ()
        return (newest[0].at if newest else datetime.min.replace(tzinfo=UTC)).date() - timedelta(
            days=1 if newest else 0
        )


def bad(place: str, field: str, message: str) -> RequestValidationError:
    """Return the error for a parameter that makes no sense."""
    return RequestValidationError([{"loc": (place, field), "msg": message, "type": "value_error", "input": None}])


def moment_of(as_of: str | None, asked: Asked, field: str = "as_of", *, begins: bool = False) -> Moment | None:
    """Return the moment that is meant, once the history has come that far; None for now."""
    text = (as_of or "").strip()
    position = position_of(text, asked.watchword, asked.caller.at, field, begins=begins)
    if position is None:
        return None
    asked.wait(position, status_history.NAME)
    return Moment(position, text)


def position_of(text: str, watchword: Watchword, now: datetime, field: str, *, begins: bool = False) -> int | None:
    """Return the position that is meant, None for now.

    A day means its end; where a span begins with it (``begins``), it means the moment before its first. A span may
    end in the future, which means now.
    """
    if not text:
        return None
    last = watchword.store.last_position()
    if text.isascii() and text.isdecimal() and len(text) < 19:  # noqa: PLR2004 bigint
        if int(text) > last:
            raise bad("query", field, f"the log has {last} positions so far: ask for one of them")
        return int(text)
    instant = _instant(text, field, begins=begins)
    if instant > now and field == "to":
        return None
    if instant > now:
        raise bad("query", field, "this moment is not over yet: ask for one that is")
    with watchword.database.connection() as connection:
        return status_history.position_at(connection, watchword.store.read, instant)


def _instant(text: str, field: str, *, begins: bool) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if len(text) == len("2026-11-01"):
            day = datetime.combine(found.date(), time.min, UTC)
            return day - _TICK if begins else day + timedelta(days=1) - _TICK
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad("query", field, "give a position, an instant such as 2026-11-01T12:00:00Z, or a day") from None
    raise bad("query", field, "say the instant's zone, such as Z for UTC")


class Because(BaseModel):
    """A fact behind an answer."""

    position: int
    topic: str
    at: datetime
    what: str = Field(examples=["MFA enforced for all partner users"])


_TICK = timedelta(microseconds=1)
FOR_EVER = 9999
"""The year that stands for a lock which only a reset ends."""


def required_under(demands: dict[str, Any], organization_id: str | None) -> Requirement:
    """Return whether MFA is required of somebody of this place under a policy as a view shows it."""
    enforced = frozenset(each for each in Population if demands[f"enforce_{each.value}"])
    return requirement(PartnerPolicy(enforced, demands["version"]), population_of(organization_id))


def because(watchword: Watchword, positions: Sequence[int]) -> list[Because]:
    """Return the facts at these positions, in words."""
    found = watchword.store.at(positions)
    return [Because(position=each.position, topic=each.kind, at=each.at, what=sentence(each.fact)) for each in found]
