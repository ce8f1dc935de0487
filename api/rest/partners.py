"""A partner's policy and its people: ``/partners``."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query

from api.doors import SIGNED_IN, Admit, Asked
from api.listing import VIEWS, Sort, Wanted, bad, listed
from api.rest.answers import (
    MailAnswer,
    MinPosition,
    PolicyAnswer,
    SumAnswer,
    SummaryAnswer,
    UserAnswer,
    UsersAnswer,
)
from domain.facts import Population
from domain.permissions import Action, AnotherTenant
from handlers import policy
from handlers.callers import policy_of
from handlers.shapes import Id
from projections import partner_policy, user_status

router = APIRouter(tags=["partners"])


@router.get("/partners/{partner_id}/mfa-policy")
def read_policy(
    partner_id: Id,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="read"))],
    min_position: MinPosition = None,
) -> PolicyAnswer:
    """Return what the partner demands; its version is the ETag."""
    policy.allowed(partner_id, Action.SEE_POLICY, asked.caller, asked.s)
    position, lag = asked.wait(min_position, partner_policy.NAME)
    with asked.watchword.database.connection() as connection:
        found = partner_policy.of_partner(connection, partner_id)
    if found is None:
        raise AnotherTenant
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
    min_position: MinPosition = None,
) -> UsersAnswer:
    """Return one page of the partner's users and its organizations' users, with the MFA Status column."""
    policy.allowed(partner_id, Action.SEE_USERS, asked.caller, asked.s)
    wanted = Wanted(partner_id, mfa_status, organization, role, q, sort, cursor, limit)
    found = listed(wanted, min_position, asked)
    return UsersAnswer(
        items=[_user(row) for row in found.rows],
        next_cursor=found.next_cursor,
        position=found.position,
        lag_ms=found.lag_ms,
    )


def _user(row: dict[str, Any]) -> UserAnswer:
    mail = None
    if row["mail_kind"]:
        mail = MailAnswer(
            kind=row["mail_kind"], state=row["mail_state"], settled_at=row["mail_settled_at"], tries=row["mail_tries"]
        )
    portal: Literal["partner", "end_user"] = "partner" if row["organization"] is None else "end_user"
    return UserAnswer.model_validate({**row, "portal": portal, "mail": mail}, extra="ignore")


@router.get("/partners/{partner_id}/summary")
def read_summary(
    partner_id: Id,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="read"))],
    min_position: MinPosition = None,
) -> SummaryAnswer:
    """Return how many accounts of the partner are active, pending or without MFA."""
    policy.allowed(partner_id, Action.SEE_USERS, asked.caller, asked.s)
    position, lag = asked.wait(min_position, *VIEWS)
    with asked.watchword.database.connection() as connection:
        rows = user_status.sums(connection, partner_id)
    populations = []
    for name in ("partner_users", "organizations"):
        found = {row["factor"]: row["accounts"] for row in rows if row["population"] == name}
        required = any(row["required"] for row in rows if row["population"] == name)
        counts = {factor: found.get(factor, 0) for factor in ("active", "pending", "none")}
        populations.append(SumAnswer(population=name, accounts=sum(counts.values()), required=required, **counts))
    return SummaryAnswer(partner_id=partner_id, populations=populations, position=position, lag_ms=lag)
