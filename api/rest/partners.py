"""A partner's policy and its people: ``/partners``."""

import re
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Query

from api.doors import SIGNED_IN, Admit, Asked
from api.listing import VIEWS, Sort, Wanted, listed
from api.past import AsOf, bad, moment_of
from api.rest import json_doors
from api.rest.answers import (
    DayAnswer,
    MinPosition,
    PolicyAnswer,
    SumAnswer,
    SummaryAnswer,
    UsersAnswer,
)
from domain.facts import Population
from domain.permissions import Action, AnotherTenant
from handlers import policy
from handlers.callers import policy_of
from handlers.shapes import Id
from projections import partner_policy, status_history

router = json_doors("partners")


@router.get("/partners/{partner_id}/mfa-policy")
def read_policy(
    partner_id: Id,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="read"))],
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> PolicyAnswer:
    """Return what the partner demands; its version is the ETag."""
    policy.allowed(partner_id, Action.SEE_POLICY, asked.caller, asked.s)
    moment = moment_of(as_of, asked)
    position, lag = asked.wait(min_position, status_history.NAME if moment else partner_policy.NAME)
    with asked.watchword.views.connection() as connection:
        if moment:
            found = status_history.policy_at(connection, partner_id, moment.position)
        else:
            found = partner_policy.of_partner(connection, partner_id)
    if found is None:
        raise AnotherTenant
    if moment:
        return PolicyAnswer.model_validate({**found, "as_of": moment.position, "position": position, "lag_ms": lag})
    asked.response.headers["ETag"] = f'"{found["version"]}"'
    return PolicyAnswer(**found, position=position, lag_ms=lag)


@router.put("/partners/{partner_id}/mfa-policy")
def put_policy(
    partner_id: Id,
    command: policy.SetPolicy,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="write", once=True))],
    if_match: Annotated[str | None, Header(max_length=100)] = None,
) -> PolicyAnswer:
    """Demand MFA of one population, both or none, from each person's next login on."""
    seen = _seen_version(if_match)
    position = asked.once(lambda: policy.set_policy(partner_id, command, seen, asked.caller, asked.s)[1])
    now = policy_of(partner_id, asked.s)[0]
    newest = asked.s.store.history(f"partner_policy:{partner_id}")[-1:]
    asked.response.headers["ETag"] = f'"{now.version}"'
    return PolicyAnswer(
        partner_id=partner_id,
        enforce_partner_users=Population.PARTNER_USERS in now.enforced,
        enforce_organizations=Population.ORGANIZATIONS in now.enforced,
        version=now.version,
        changed_at=newest[0].at if newest else None,
        changed_by=newest[0].actor if newest else None,
        position=position,
    )


def _seen_version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = re.fullmatch(r'(?:W/)?"?(\d{1,18})"?', if_match.strip())
    if found is None:
        raise bad("header", "If-Match", 'give the ETag of the policy that was read, such as "3"')
    return int(found[1])


@router.get("/partners/{partner_id}/users")
def read_users(
    partner_id: Id,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="read"))],
    *,
    mfa_status: Literal["Active", "Inactive"] | None = None,
    organization: Id | None = None,
    role: Literal["owner", "super_admin", "admin", "support", "auditor", "end_user"] | None = None,
    q: Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00-\x1f]*$")] = None,
    sort: Sort = "name",
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> UsersAnswer:
    """Return one page of the partner's users and its organizations' users, with the MFA Status column."""
    policy.allowed(partner_id, Action.SEE_USERS, asked.caller, asked.s)
    moment = moment_of(as_of, asked)
    wanted = Wanted(partner_id, mfa_status, organization, role, q, sort, cursor, limit, moment)
    found = listed(wanted, partial(asked.wait, min_position), asked, least=min_position or 0)
    answer = {
        "as_of": moment.position if moment else None,
        "items": [_user(row) for row in found.rows],
        "next_cursor": found.next_cursor,
        "position": found.position,
        "lag_ms": found.lag_ms,
    }
    return UsersAnswer.model_validate(answer)  # all rows at once


def _user(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a ``UserAnswer`` is made of."""
    mail = None
    if row["mail_kind"]:
        names = {"kind": "mail_kind", "state": "mail_state", "settled_at": "mail_settled_at", "tries": "mail_tries"}
        mail = {name: row[column] for name, column in names.items()}
    return {**row, "portal": "partner" if row["organization"] is None else "end_user", "mail": mail}


@router.get("/partners/{partner_id}/summary")
def read_summary(
    partner_id: Id,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="read"))],
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> SummaryAnswer:
    """Return how many accounts of the partner are active, pending or without MFA, and how that grew."""
    policy.allowed(partner_id, Action.SEE_USERS, asked.caller, asked.s)
    moment = moment_of(as_of, asked)
    position, lag = asked.wait(min_position, *VIEWS, status_history.NAME)
    at = moment.position if moment else None
    with asked.watchword.views.connection() as connection:
        rows = status_history.sums(connection, partner_id, at)
        demands = status_history.policy_at(connection, partner_id, position if at is None else at) or {}
        days = status_history.adoption_of(connection, partner_id, moment.day_before(asked) if moment else None)
    for row in rows:
        row["none"] = row["accounts"] - row["active"] - row["pending"]
        row["required"] = demands.get(f"enforce_{row['population']}", False)
    return SummaryAnswer(
        as_of=at,
        partner_id=partner_id,
        populations=[SumAnswer(**row) for row in rows],
        adoption=[DayAnswer(**day) for day in days],
        position=position,
        lag_ms=lag,
    )
