"""Security Settings: the own MFA, and what the partner demands. Exactly these two sections."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.doors import SIGNED_IN, Admit, Asked, fields_of, form_of
from api.frame.forms import Wrong, command, incomplete, stepped_up, switch
from api.frame.page import go, page, tried
from api.refusals import TABLE
from api.routes import Door
from domain.facts import Factor, Population
from domain.partner_policy import PartnerPolicy, PolicyChangedMeanwhile
from domain.permissions import Action, may
from handlers import mfa, policy, reset
from handlers.callers import member

router = APIRouter(route_class=Door, include_in_schema=False)
PATH = "/security-settings"
_SWITCHES = ("enforce_partner_users", "enforce_organizations", "sign_everyone_out")
_CHANGED_MEANWHILE = TABLE[PolicyChangedMeanwhile].status


@router.get(PATH)
def show(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))], ask: str = "") -> Response:
    """Show both sections; ``ask`` opens the prompt ``reset`` or ``switch-off``."""
    return _show(asked, ask=ask)


def _show(asked: Asked, wrong: Wrong | None = None, ask: str = "") -> Response:
    status = mfa.status(asked.caller, asked.s)
    context: dict[str, Any] = {
        "ask": ask,
        "mfa_status": "Active" if status.mfa.factor is Factor.ACTIVE else "Inactive",
        "factor": status.mfa.factor.value,
        "required": status.needed.required,
        "owed": status.mfa.owed_to_administrator(),
        "can_switch_off": status.can_switch_off,
        "policy": _policy(asked, status.policy, wrong),
        "has_providers": bool(asked.s.identities.providers(asked.caller.person().partner_id)),
    }
    return page(asked, "security/settings.html", wrong=wrong, **context)


def _policy(asked: Asked, found: PartnerPolicy, wrong: Wrong | None) -> dict[str, Any] | None:
    """Return the policy section for those who may see it: what was sent and not taken, or else what is in force."""
    account = asked.caller.person()
    if not may(member(account), Action.SEE_POLICY):
        return None
    policy.allowed(account.partner_id, Action.SEE_POLICY, asked.caller, asked.s)
    shown: dict[str, Any] = {
        "enforce_partner_users": Population.PARTNER_USERS in found.enforced,
        "enforce_organizations": Population.ORGANIZATIONS in found.enforced,
        "sign_everyone_out": False,
        "version": found.version,
    }
    if wrong is not None and wrong.form == "policy" and wrong.status != _CHANGED_MEANWHILE:
        sent = fields_of(asked.request)
        shown |= {name: (name, "on") in sent for name, _ in sent if name in _SWITCHES}
        shown["version"] = _seen_version(asked) or found.version
    may_change = may(member(account), Action.CHANGE_POLICY)
    return {**shown, "partner": account.partner_name, "may_change": may_change}


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


def _seen_version(asked: Asked) -> int | None:
    """Return the version of the policy that the form was filled in for, None when the form does not say."""
    text = form_of(asked.request).get("version", "")
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


@router.post(f"{PATH}/policy")
def set_policy(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Change what the partner demands."""

    def wish() -> Response:
        partner_id = asked.caller.person().partner_id
        policy.allowed(partner_id, Action.CHANGE_POLICY, asked.caller, asked.s)  # before any word on the input
        wanted = policy.SetPolicy(**{name: switch(asked, name) for name in _SWITCHES})
        seen = _seen_version(asked)
        if seen is None:
            raise incomplete("version", "the number that the page holds")
        stepped_up(asked)
        saved, position = policy.set_policy(partner_id, wanted, seen, asked.caller, asked.s)
        if saved.version == seen:
            return go(asked, PATH, "nothing_changed")
        said = "policy_saved_signed_out" if wanted.sign_everyone_out else "policy_saved"
        return go(asked, PATH, said, position)

    return tried(asked, wish, lambda wrong: _show(asked, wrong), form="policy")
