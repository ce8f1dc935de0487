"""Security Settings: the own MFA, and what the partner demands. Exactly these two sections."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

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
        "policy": _policy(asked, status.policy),
        "has_providers": bool(asked.s.identities.providers(asked.caller.person().partner_id)),
    }
    return page(asked, "security/settings.html", wrong=wrong, **context)


def _policy(asked: Asked, found: PartnerPolicy) -> dict[str, Any] | None:
    """Return the policy section for those who may see it."""
    account = asked.caller.person()
    if not may(member(account), Action.SEE_POLICY):
        return None
    policy.allowed(account.partner_id, Action.SEE_POLICY, asked.caller, asked.s)
    return {
        "partner": account.partner_name,
        "partner_users": Population.PARTNER_USERS in found.enforced,
        "organizations": Population.ORGANIZATIONS in found.enforced,
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
    wanted = policy.SetPolicy(
        enforce_partner_users="enforce_partner_users" in given,
        enforce_organizations="enforce_organizations" in given,
        sign_everyone_out="sign_everyone_out" in given,
    )
    seen = int(given["version"]) if given.get("version", "").isdecimal() and len(given["version"]) < 10 else None  # noqa: PLR2004

    def wish() -> Response:
        stepped_up(asked)
        partner_id = asked.caller.person().partner_id
        _, position = policy.set_policy(partner_id, wanted, seen, asked.caller, asked.s)
        said = "policy_saved_signed_out" if wanted.sign_everyone_out else "policy_saved"
        return go(asked, PATH, said, position)

    return tried(asked, wish, lambda wrong: _show(asked, wrong), form="policy")
