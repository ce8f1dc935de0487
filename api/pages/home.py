"""The dashboard of the Partner Portal and of the End-User Portal, and my own security history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.doors import SIGNED_IN, Admit, Asked
from api.frame.page import catch_up, page
from api.listing import VIEWS
from api.routes import Door
from api.words import sentence
from domain.facts import Factor
from domain.permissions import Action, may
from handlers import mfa, policy
from handlers.callers import member
from handlers.history import account_history
from projections import partner_policy, status_history, user_status

router = APIRouter(route_class=Door, include_in_schema=False)
DAYS = 90
"""How far back the dashboard's picture goes."""
OVERDUE = 5
"""People who are named on the dashboard; the rest stands in User Management."""
HISTORY = 200
"""Entries of my history on the page; the JSON door has all of them."""
_WIDTH, _HEIGHT = 640, 200


@router.get("/")
def dashboard(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Show how it stands with one's own MFA, and to those who look after others, with theirs."""
    account, status = asked.caller.person(), mfa.status(asked.caller, asked.s)
    context: dict[str, Any] = {
        "partner": account.partner_name,
        "organization": account.organization_name,
        "factor": status.mfa.factor.value,
        "mfa_status": "Active" if status.mfa.factor is Factor.ACTIVE else "Inactive",
        "required": status.needed.required,
    }
    me = member(account)
    if not may(me, Action.SEE_USERS):
        return page(asked, "home/end_user.html", **context)
    policy.allowed(account.partner_id, Action.SEE_USERS, asked.caller, asked.s)
    position, lag = catch_up(asked, *VIEWS, status_history.NAME)
    today = asked.caller.at.date()
    with asked.watchword.views.connection() as connection:
        days = status_history.adoption_of(connection, account.partner_id, today)
        sums = _sums(days, partner_policy.of_partner(connection, account.partner_id) or {})
        late = [
            row
            for each in sums
            if each.required
            for row in user_status.overdue(
                connection, account.partner_id, partner_users=each.name == "partner_users", limit=OVERDUE
            )
        ]
    context |= {
        "sums": sums,
        "late": sorted(late, key=lambda row: (row["since"], row["account_id"]))[:OVERDUE],
        "late_count": sum(each.accounts - each.active for each in sums if each.required),
        "curves": curves(days, today),
        "days": DAYS,
        "may_change_policy": may(me, Action.CHANGE_POLICY),
        "may_reset": may(me, Action.RESET_USER),
        "position": position,
        "lag_ms": lag,
    }
    return page(asked, "home/dashboard.html", **context)


@dataclass(frozen=True, slots=True)
class Sum:
    """How many open accounts of one population stand where."""

    name: str
    accounts: int
    active: int
    pending: int
    required: bool

    @property
    def percent(self) -> int:
        """The share with an active authenticator, rounded down: 100 means all."""
        return self.active * 100 // self.accounts if self.accounts else 0


def _sums(days: Sequence[dict[str, Any]], demands: Mapping[str, Any]) -> list[Sum]:
    newest = {row["population"]: row for row in days}
    return [
        Sum(name, row["accounts"], row["active"], row["pending"], bool(demands.get(f"enforce_{name}")))
        for name in ("partner_users", "organizations")
        if (row := newest.get(name)) is not None
    ]


@dataclass(frozen=True, slots=True)
class Curve:
    """The share of active accounts of one population, day by day, and its line in the picture."""

    name: str
    points: list[tuple[date, int, int]]
    """Day, accounts, active accounts."""
    line: str


def curves(days: Sequence[dict[str, Any]], today: date) -> list[Curve]:
    """Return a curve for each population that has accounts, from the first day of the span to today."""
    first, found = today - timedelta(days=DAYS - 1), []
    for name in ("partner_users", "organizations"):
        rows = [row for row in days if row["population"] == name]
        if not rows:
            continue
        known = {row["day"]: (row["accounts"], row["active"]) for row in rows}
        before = [row for row in rows if row["day"] < first]
        count = (before[-1]["accounts"], before[-1]["active"]) if before else (0, 0)
        points = []
        for day in (first + timedelta(days=number) for number in range(DAYS)):
            count = known.get(day, count)
            points.append((day, *count))
        found.append(Curve(name, points, _line(points)))
    return found


def _line(points: Sequence[tuple[date, int, int]]) -> str:
    step = _WIDTH / max(1, len(points) - 1)
    shares = [(number, active / accounts) for number, (_, accounts, active) in enumerate(points) if accounts]
    return " ".join(f"{number * step:.1f},{_HEIGHT - share * _HEIGHT:.1f}" for number, share in shares)


@router.get("/me/history")
def history(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Show everything that happened to one's own account and MFA, newest first."""
    account = asked.caller.person()
    envelopes = account_history(account.account_id, asked.s)
    own = f"account:{account.account_id}"
    items = [
        {
            "at": each.at,
            "what": sentence(each.fact),
            "who": "you" if each.actor == own else _who(each.actor),
            "network": each.ip_prefix,
            "position": each.position,
            "topic": each.kind,
        }
        for each in envelopes[:HISTORY]
    ]
    return page(asked, "home/history.html", items=items, more=len(envelopes) > HISTORY)


def _who(actor: str) -> str:
    kind = actor.partition(":")[0]
    return {"account": "an administrator", "service": "a program of the portal", "operator": "an operator"}.get(
        kind, "somebody not signed in" if kind == "anonymous" else "Watchword"
    )
