"""The audit page: every fact of the partner in words and in data."""

import json
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.auditing import entries
from api.doors import SIGNED_IN, Admit, Asked
from api.frame.page import catch_up, page
from api.past import bad
from api.rest.audit import TOPICS, VIEWS, after_of, known_topic, until_of
from api.routes import Door
from domain.permissions import Action
from handlers import policy
from projections import audit_trail

router = APIRouter(route_class=Door, include_in_schema=False)
PATH = "/audit"
ROWS = 50
_FIELDS = ("account", "actor", "topic", "from", "to")


@router.get(PATH)
def show(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Show one page of the log, newest first. That it was looked at is a fact as well."""
    account = asked.caller.person()
    policy.allowed(account.partner_id, Action.SEE_AUDIT, asked.caller, asked.s)
    given = {name: asked.request.query_params.get(name, "").strip() for name in (*_FIELDS, "cursor")}
    for name, text in given.items():
        if len(text) > 120 or not text.isprintable():  # noqa: PLR2004 as in the JSON door
            raise bad("query", name, "give at most 120 printable characters")
    position, lag = catch_up(asked, *VIEWS)
    found = entries(
        asked.watchword,
        audit_trail.Filter(
            account.partner_id,
            account_id=given["account"] or None,
            actor=given["actor"] or None,
            topic=known_topic(given["topic"] or None),
            after=after_of(given["from"] or None, asked),
            until=until_of(given["to"] or None, given["cursor"] or None, asked),
            limit=ROWS + 1,
        ),
    )
    kept = {name: given[name] for name in _FIELDS if given[name]}
    more = found[ROWS - 1].position - 1 if len(found) > ROWS else None
    return page(
        asked,
        "audit/log.html",
        entries=found[:ROWS],
        given=given,
        topics=TOPICS,
        today=asked.caller.at.date().isoformat(),
        partner=account.partner_name,
        first=f"{PATH}?{urlencode(kept)}" if given["cursor"] else "",
        following=f"{PATH}?{urlencode(kept | {'cursor': str(more)})}" if more is not None else "",
        data=lambda entry: json.dumps(entry.data, indent=1, ensure_ascii=False),
        position=position,
        lag_ms=lag,
    )
