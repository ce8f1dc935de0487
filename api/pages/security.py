"""Security Settings: the own MFA, and what the partner demands. Exactly these two sections."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api.doors import SIGNED_IN, Admit, Asked, form_of
from api.frame.forms import Wrong, command, stepped_up
from api.frame.page import go, page, tried
from api.routes import Door
from domain.facts import Factor, Population
from domain.partner_policy import PartnerPolicy
from domain.permissions import Action, may
from handlers import mfa, policy, reset
from handlers.callers import member

router = APIRouter(route_class=Door, include_in_schema=False)
PATH = "/security-settings"
ON = "on"


class _PolicyForm(BaseModel):
    """The policy as its form sends it. Each field says ``on`` or ``off``: one that is not there never means no."""

    enforce_partner_users: bool
    enforce_organizations: bool
    sign_everyone_out: bool
    version: Annotated[int, Field(ge=0, lt=10**9)]


@router.get(PATH)
def show(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))], ask: str = "") -> Response:
    """Show both sections; ``ask`` opens the prompt ``reset`` or ``switch-off``."""
    return _show(asked, ask=ask)


def _show(asked: Asked, wrong: Wrong | None = None, ask: str = "", typed: dict[str, str] | None = None) -> Response:
    """Show the page; ``typed``: what was sent with the policy and not taken, so that it is shown again."""
    status = mfa.status(asked.caller, asked.s)
    context: dict[str, Any] = {
        "ask": ask,
        "mfa_status": "Active" if status.mfa.factor is Factor.ACTIVE else "Inactive",
        "factor": status.mfa.factor.value,
        "required": status.needed.required,
        "owed": status.mfa.owed_to_administrator(),
        "can_switch_off": status.can_switch_off,
        "policy": _policy(asked, status.policy, typed or {}),
        "has_providers": bool(asked.s.identities.providers(asked.caller.person().partner_id)),
    }
    return page(asked, "security/settings.html", wrong=wrong, **context)


def _policy(asked: Asked, found: PartnerPolicy, typed: dict[str, str]) -> dict[str, Any] | None:
    """Return the policy section for those who may see it."""
    account = asked.caller.person()
    if not may(member(account), Action.SEE_POLICY):
        return None
    policy.allowed(account.partner_id, Action.SEE_POLICY, asked.caller, asked.s)
    return {
        "partner": account.partner_name,
        **{
            each.value: (typed.get(f"enforce_{each.value}") == ON) if typed else each in found.enforced
            for each in Population
        },
        "sign_everyone_out": typed.get("sign_everyone_out") == ON,
        "version": found.version,
        "may_change": may(member(account), Action.CHANGE_POLICY),
    }


@router.post(f"{PATH}/enable")
def enable(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Switch the own MFA on."""
    return tried(
        asked,
        lambda: go(asked, PATH, "mfa_wanted", mfa.enable(asked.caller, asked.s)),
        lambda wrong: _show(asked, wrong),
    )


@router.post(f"{PATH}/disable")
def disable(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Switch the own MFA off."""

    def wish() -> Response:
        stepped_up(asked)
        progress = mfa.disable(asked.caller, asked.s)
        asked.proceed(progress)
        return go(asked, PATH, "mfa_off", progress.position or 0)

    return tried(asked, wish, lambda wrong: _show(asked, wrong, ask="switch-off"), form="off")


@router.post(f"{PATH}/reset")
def request_reset(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Have the link of the own reset mailed."""

    def wish() -> Response:
        given = form_of(asked.request)
        typed = {"password": given["password"]} if "password" in given else {}
        position = reset.request_reset(command(reset.RequestReset, asked, **typed), asked.caller, asked.s)
        return go(asked, PATH, "reset_mailed", position)

    return tried(asked, wish, lambda wrong: _show(asked, wrong, ask="reset"), form="reset")


@router.post(f"{PATH}/policy")
def set_policy(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Change what the partner demands."""
    given = form_of(asked.request)

    def wish() -> Response:
        partner_id = asked.caller.person().partner_id
        policy.allowed(partner_id, Action.CHANGE_POLICY, asked.caller, asked.s)  # before any word on the input
        sent = _PolicyForm.model_validate(given, strict=False)
        wanted = policy.SetPolicy(**sent.model_dump(exclude={"version"}))
        stepped_up(asked)
        found, position = policy.set_policy(partner_id, wanted, sent.version, asked.caller, asked.s)
        if found.version == sent.version:
            return go(asked, PATH, "policy_unchanged", position)
        return go(asked, PATH, "policy_saved_signed_out" if wanted.sign_everyone_out else "policy_saved", position)

    return tried(asked, wish, lambda wrong: _show(asked, wrong, typed=given), form="policy")
