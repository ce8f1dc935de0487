"""The JSON doors, ``/api/v1``: one file for each kind of thing that is asked about."""

from typing import Any

from fastapi import APIRouter

from api.problems import Problem
from api.routes import Door

PREFIX = "/api/v1"
_PROBLEM = {
    "application/problem+json": {},
    "application/json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}},
}
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": _PROBLEM}
    for status, description in {
        401: "Not signed in, or what was proved is not right.",
        403: "Refused by a rule that `reason` names.",
        404: "There is nothing with this id, for this caller.",
        409: "The present state does not allow it.",
        410: "The link was used, was replaced, or has run out.",
        413: "Larger than 64 kB.",
        422: "Some of the input is not as it should be; `errors` names the fields.",
        429: "Tried too often; `Retry-After` says how long to wait.",
        503: "Something outside does not answer; nothing was let in or changed.",
    }.items()
}
"""The error answers that every route may give."""
FAILURES[401]["model"] = Problem  # one answer defines what the others name: more of them would slow every start


def json_doors(tag: str) -> APIRouter:
    """Return a router for routes of the JSON API."""
    return APIRouter(prefix=PREFIX, route_class=Door, tags=[tag], responses=FAILURES)
