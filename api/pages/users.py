"""User Management: who has MFA, who has not, and the reset of another's."""

import re
from functools import partial
from typing import Annotated, Any, cast, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.doors import SIGNED_IN, Admit, Asked, form_of
from api.frame.forms import Wrong, command, stepped_up
from api.frame.page import catch_up, go, page, tried
from api.listing import Sort, Wanted, listed
from api.past import Moment, bad, moment_of
from api.routes import Door
from domain.facts import PartnerType, Role
from domain.kernel import Refused
from domain.permissions import Action, AnotherTenant, Member, check_reset, may
from handlers import policy, reset
from handlers.callers import member
from handlers.shapes import Id
from projections import status_history

router = APIRouter(route_class=Door, include_in_schema=False)
PATH = "/user-management"
ROWS = 50
ORGANIZATIONS_IN_A_MENU = 200
"""A partner with more organizations gets a field for the id instead of a menu."""
_KEPT = ("q", "mfa_status", "role", "organization", "sort", "cursor", "as_of")
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")
"""What a date field sends: an instant without a zone, which is UTC here."""


@router.get(PATH)
def show(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Show one page of users; ``ask=reset`` with ``account`` opens the confirmation."""
    return _show(asked)


def _kept(asked: Asked, **changed: str) -> str:
    """Return the address of this page with the same filter, and what is changed."""
    given = asked.request.query_params
    fields = {name: given.get(name, "") for name in _KEPT} | changed
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"{PATH}?{query}" if query else PATH


def _wanted(asked: Asked, partner_id: str) -> Wanted:
    given = {name: asked.request.query_params.get(name, "").strip() for name in _KEPT}
    allowed = {"mfa_status": ("", "Active", "Inactive"), "role": ("", *Role), "sort": ("", *get_args(Sort))}
    for name, values in allowed.items():
        if given[name] not in values:
            raise bad("query", name, f"choose one of {', '.join(value for value in values if value)}")
    for name in ("q", "organization"):
        if len(given[name]) > 100 or not given[name].isprintable():  # noqa: PLR2004 as in the JSON door
            raise bad("query", name, "give at most 100 printable characters")
    return Wanted(
        partner_id,
        mfa_status=given["mfa_status"] or None,
        organization=given["organization"] or None,
        role=given["role"] or None,
        q=given["q"] or None,
        sort=cast("Sort", given["sort"] or "name"),
        cursor=given["cursor"] or None,
        limit=ROWS,
        menu=ORGANIZATIONS_IN_A_MENU,
        moment=moment_of(f"{given['as_of']}Z" if _LOCAL.fullmatch(given["as_of"]) else given["as_of"], asked),
    )


def _show(asked: Asked, wrong: Wrong | None = None, asks_about: str = "") -> Response:
    account = asked.caller.person()
    partner_id = account.partner_id
    policy.allowed(partner_id, Action.SEE_USERS, asked.caller, asked.s)
    wanted = _wanted(asked, partner_id)
    found = listed(wanted, partial(catch_up, asked), asked)
    me = member(account)
    resets = may(me, Action.RESET_USER) and wanted.moment is None
    for row in found.rows if resets else ():
        row["not_resettable"] = _not_resettable(me, row)
    given = asked.request.query_params
    about = asks_about or (given.get("account", "") if given.get("ask") == "reset" else "")
    return page(
        asked,
        "users/list.html",
        wrong=wrong,
        rows=found.rows,
        may_reset=resets,
        demands=_demands(asked, partner_id, wanted.moment) if wanted.moment else None,
        partner=account.partner_name,
        wanted=wanted,
        roles=list(Role),
        organizations=found.organizations,
        target=_target(asked, me, about) if about and may(me, Action.RESET_USER) else None,
        reason=form_of(asked.request).get("reason", ""),
        here=_kept(asked),
        today=_kept(asked, cursor="", as_of=""),
        latest=asked.caller.at.strftime("%Y-%m-%dT%H:%M"),
        first=_kept(asked, cursor="") if wanted.cursor else "",
        following=_kept(asked, cursor=found.next_cursor) if found.next_cursor else "",
        linked=lambda **changed: _kept(asked, **changed),
        now=asked.caller.at,
        position=found.position,
        lag_ms=found.lag_ms,
    )


def _demands(asked: Asked, partner_id: str, moment: Moment) -> dict[str, Any] | None:
    with asked.watchword.views.connection() as connection:
        return status_history.policy_at(connection, partner_id, moment.position)


def _not_resettable(me: Member, row: dict[str, Any]) -> str:
    """Return why the row's MFA cannot be reset by this person, empty when it can."""
    if row["account_state"] != "open":
        return f"This account is {row['account_state']}."
    kind: PartnerType = me.partner_type
    target = Member(row["account_id"], me.partner_id, kind, Role(row["role"]), row["organization"])
    try:
        check_reset(me, target)
    except Refused as refused:
        return refused.__doc__ or ""
    return ""


def _target(asked: Asked, me: Member, account_id: str) -> dict[str, str]:
    """Return whom the confirmation is about; an id of elsewhere is unknown here."""
    fits = len(account_id) <= 100 and account_id.isprintable()  # noqa: PLR2004 the length of an id
    found = asked.s.people.account(account_id) if fits else None
    if found is None or found.disabled or found.partner_id != me.partner_id:
        raise AnotherTenant
    check_reset(me, member(found))
    return {"account_id": found.account_id, "name": found.name, "email": found.mail_address}


@router.post(f"{PATH}/{{account_id}}/reset")
def reset_user(account_id: Id, asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """End another's MFA at once."""

    def wish() -> Response:
        stepped_up(asked)
        position = reset.reset_other(account_id, command(reset.ResetOther, asked), asked.caller, asked.s)
        return go(asked, _kept(asked), "user_reset", position)

    return tried(asked, wish, lambda wrong: _show(asked, wrong, asks_about=account_id), form="reset")


@router.post(f"{PATH}/{{account_id}}/reset-mail")
def mail_again(account_id: Id, asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Send the mail of an open reset again."""

    def wish() -> Response:
        position = reset.repeat_reset_mail(account_id, asked.caller, asked.s)
        return go(asked, _kept(asked), "mail_again", position)

    return tried(asked, wish, lambda wrong: _show(asked, wrong))
