"""Reviewers' two questions about a span of time: ``/partners/{id}/diff`` and ``/partners/{id}/certificate``."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO

from fastapi import Depends, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from api.bootstrap import Watchword
from api.certificate import Issued, issue
from api.doors import SIGNED_IN, WAIT_SECONDS, Admit, Asked
from api.past import AsOf, bad, position_of
from api.refusals import ViewBehind
from api.rest import json_doors
from domain.permissions import Action
from handlers import policy
from handlers.ports import LedgerBroken, Unavailable
from handlers.shapes import Id
from projections import status_history
from projections.coverage import NotAsTheLogSays, Span, difference
from projections.views import wait_for

router = json_doors("audit")
_CHUNK = 64 * 1024


class StateAnswer(BaseModel):
    """How it stood with an account."""

    organization_id: str | None
    role: str
    account_state: str
    factor: str
    owed: bool
    since: datetime
    locked_until: datetime | None


class ChangedAnswer(BaseModel):
    """An account that changed, and what did it."""

    account_id: str
    before: StateAnswer | None = Field(description="None: it was not there yet.")
    after: StateAnswer
    kinds: list[str] = Field(examples=[["enrolled", "was_reset", "lost_cover"]])
    positions: list[int] = Field(description="Of the facts that did it.")


class CountAnswer(BaseModel):
    """How many open accounts of one population stood where."""

    population: str
    accounts: int
    active: int
    pending: int


class DiffAnswer(BaseModel):
    """What changed between two positions of the log, by account id, and the sums at both."""

    from_position: int
    to_position: int
    sums_before: list[CountAnswer]
    sums_after: list[CountAnswer]
    items: list[ChangedAnswer]
    next_cursor: str | None


@router.get("/partners/{partner_id}/diff")
def read_diff(
    partner_id: Id,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="audit"))],
    *,
    from_: Annotated[AsOf, Query(alias="from")] = None,
    to: AsOf = None,
    cursor: Id | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> DiffAnswer:
    """Return which accounts of the partner changed between two moments, and the facts that did it."""
    policy.allowed(partner_id, Action.SEE_AUDIT, asked.caller, asked.s)
    a, b = positions_of(from_, to, asked.watchword, asked.caller.at)
    with asked.watchword.database.connection() as connection:
        at = asked.watchword.store.at
        found = list(difference(connection, at, partner_id, a, b, after=cursor or "", limit=limit + 1))
        before, after = (status_history.sums(connection, partner_id, position) for position in (a, b))
    return DiffAnswer(
        from_position=asked.at(a),
        to_position=asked.at(b),
        sums_before=[CountAnswer(**row) for row in before],
        sums_after=[CountAnswer(**row) for row in after],
        items=[ChangedAnswer.model_validate(each, from_attributes=True) for each in found[:limit]],
        next_cursor=found[limit - 1].account_id if len(found) > limit else None,
    )


@router.get(
    "/partners/{partner_id}/certificate",
    response_class=Response,
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": "Signed."}},
)
def read_certificate(
    partner_id: Id,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="audit"))],
    *,
    from_: Annotated[AsOf, Query(alias="from")] = None,
    to: AsOf = None,
) -> Response:
    """Return who had to use MFA between two moments, each gap in their cover, and the ledger's signature under it."""
    policy.allowed(partner_id, Action.SEE_AUDIT, asked.caller, asked.s)
    span = span_of(partner_id, from_, to, asked.watchword, asked.caller.at)
    file = TemporaryFile()  # noqa: SIM115 it is read after this function has returned
    try:
        issued(asked.watchword, span, (from_, to), asked.caller.at, file)
        length = file.tell()
    except BaseException:
        file.close()
        raise
    headers = {"Content-Length": str(length), "Watchword-Position": str(span.b)}
    end = BackgroundTask(file.close)
    return StreamingResponse(chunks(file), headers=headers, media_type="application/json", background=end)


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """Return the content of a file, piece by piece, from its beginning."""
    file.seek(0)
    while chunk := file.read(_CHUNK):
        yield chunk


def issued(
    watchword: Watchword, span: Span, given: tuple[str | None, str | None], now: datetime, file: BinaryIO
) -> Issued:
    """Write a certificate into a file. ``given``: how the span was asked for. Where the ledger cannot sign, there is none."""
    since, until = ((text or "").strip() for text in given)
    since, until = since or span.t0.isoformat(), until if until and span.t1 < now else span.t1.isoformat()
    command = f"watchword audit certificate --json --partner {span.partner_id} --from {since} --to {until}"
    try:
        return issue(watchword, span, {"from": since, "to": until, "command": command}, now, file)
    except LedgerBroken as error:
        raise Unavailable("the ledger cannot sign: `watchword audit checkpoint` says why") from error
    except NotAsTheLogSays as error:
        raise Unavailable(f"nothing was signed: {error}") from error


def positions_of(from_: str | None, to: str | None, watchword: Watchword, now: datetime) -> tuple[int, int]:
    """Return the positions at which a span begins and ends, once the history has come that far."""
    a = position_of((from_ or "").strip(), watchword, now, "from", begins=True) or 0
    end = position_of((to or "").strip(), watchword, now, "to")
    b = watchword.store.last_position() if end is None else end
    if a > b:
        raise bad("query", "to", "the span ends before it begins")
    if not wait_for(watchword.database.one, [status_history.NAME], b, WAIT_SECONDS):
        raise ViewBehind
    return a, b


def span_of(partner_id: str, from_: str | None, to: str | None, watchword: Watchword, now: datetime) -> Span:
    """Return the span that is meant; it begins with the partner, and ends now, where nothing else is said.

    A position stands for the instant of its fact.
    """
    a, b = positions_of(from_, to, watchword, now)
    query = "SELECT min(from_at) AS at FROM policy_interval WHERE partner_id = %s AND from_position <= %s"
    there: dict[str, Any] = watchword.database.one(query, (partner_id, b)) or {}
    if there.get("at") is None:
        raise bad("query", "to", "the partner was not there yet")
    begin = _instant((from_ or "").strip(), a, watchword, "from") or there["at"].astimezone(UTC)
    end = _instant((to or "").strip(), b, watchword, "to")
    span = Span(partner_id, a, b, begin, now if end is None else min(end, now))
    if span.t0 >= span.t1:
        raise bad("query", "to", "the span ends before it begins")
    return span


def _instant(text: str, position: int, watchword: Watchword, field: str) -> datetime | None:
    if not text or text == "0":
        return None
    if text.isdecimal():
        facts = watchword.store.at([position])
        if not facts:
            raise bad("query", field, "no fact stands at this position: ask for one where one does")
        return facts[0].at
    found = datetime.fromisoformat(text)
    if len(text) == len("2026-11-01"):
        return datetime.combine(found.date(), time.min, UTC) + timedelta(days=1 if field == "to" else 0)
    return found.astimezone(UTC)
