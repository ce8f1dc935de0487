"""Questions about the past: which position of the log is meant, and what stood there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

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


def moment_of(as_of: str | None, asked: Asked, field: str = "as_of") -> Moment | None:
    """Return the moment that is meant, once the history has come that far; None for now."""
    text = (as_of or "").strip()
    if not text:
        return None
    last = asked.s.store.last_position()
    if text.isascii() and text.isdecimal() and len(text) < 19:  # noqa: PLR2004 bigint
        if int(text) > last:
            raise bad("query", field, f"the log has {last} positions so far: ask for one of them")
        position = int(text)
    else:
        instant = _instant(text, field)
        if instant > asked.caller.at:
            raise bad("query", field, "this moment is not over yet: ask for one that is")
        with asked.watchword.database.connection() as connection:
            position = status_history.position_at(connection, asked.s.store.read, instant)
    asked.wait(position, status_history.NAME)
    return Moment(position, text)


def _instant(text: str, field: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise bad("query", field, "give a position, an instant such as 2026-11-01T12:00:00Z, or a day") from None
    if len(text) == len("2026-11-01"):
        return datetime.combine(found.date(), time.max, UTC)
    if found.tzinfo is None:
        raise bad("query", field, "say the instant's zone, such as Z for UTC")
    return found.astimezone(UTC)


class Because(BaseModel):
    """A fact behind an answer."""

    position: int
    topic: str
    at: datetime
    what: str = Field(examples=["MFA enforced for all partner users"])


FOR_EVER = 9999
"""The year that stands for a lock which only a reset ends."""


def required_under(demands: dict[str, Any], organization_id: str | None) -> Requirement:
    """Return whether MFA is required of somebody of this place under a policy as a view shows it."""
    enforced = frozenset(each for each in Population if demands[f"enforce_{each.value}"])
    return requirement(PartnerPolicy(enforced, demands["version"]), population_of(organization_id))


def because(asked: Asked, positions: Sequence[int]) -> list[Because]:
    """Return the facts at these positions, in words."""
    found = [envelope for position in positions for envelope in asked.s.store.read(position - 1, 1)]
    return [
        Because(position=each.position, topic=each.fact.TOPIC, at=each.at, what=sentence(each.fact)) for each in found
    ]
