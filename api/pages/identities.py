"""Single sign-on, looked after: a partner's identity providers, and the own identities that open an account."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.doors import SIGNED_IN, Admit, Asked, form_of
from api.frame.forms import Wrong, stepped_up, switch
from api.frame.page import go, page, sign_out_here, tried
from api.pages.providers import onward
from api.routes import Door
from domain.identity import Provider
from domain.permissions import AnotherTenant
from handlers import errands, identity_providers, single_sign_on
from handlers.errands import Errand
from handlers.identity_providers import ProviderLine, known
from handlers.shapes import Id

router = APIRouter(route_class=Door, include_in_schema=False)
OWN = "/me/identities"
PATH = "/single-sign-on"


@router.get(OWN)
def show_own(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Show which identities open the own account."""
    return _own(asked)


def _own(asked: Asked, wrong: Wrong | None = None) -> Response:
    account, s = asked.caller.person(), asked.s
    linked = s.identities.links(account.account_id)
    providers = s.identities.providers(account.partner_id)
    return page(asked, "identities/own.html", wrong=wrong, providers=providers, linked=linked)


def _form(name: str, provider_id: str, asked: Asked) -> str:
    """Return the name of a provider's form on a page that has one for each, so that a message stands in the right one."""
    providers = asked.s.identities.providers(asked.caller.person().partner_id)
    numbers = {each.provider_id: number for number, each in enumerate(providers, 1)}
    return f"{name}{numbers.get(provider_id, 1)}"


@router.post(f"{OWN}/link")
def link(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Go to a provider; who comes back is linked to the own account."""
    provider_id = form_of(asked.request).get("provider_id", "")

    def wish() -> Response:
        provider = known(provider_id, asked.s)
        stepped_up(asked)
        address = errands.begin(provider_id, Errand.LINK, asked.caller, asked.s, back="identity")
        return onward(asked, address, provider)

    return tried(asked, wish, lambda wrong: _own(asked, wrong), form=_form("identity", provider_id, asked))


@router.post(f"{OWN}/unlink")
def unlink(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Let an identity open the own account no longer."""
    provider_id = form_of(asked.request).get("provider_id", "")

    def wish() -> Response:
        stepped_up(asked)
        position = single_sign_on.unlink_own(provider_id, asked.caller, asked.s)
        sign_out_here(asked)
        return go(asked, "/sign-in", "identity_unlinked", position)

    return tried(asked, wish, lambda wrong: _own(asked, wrong), form=_form("identity", provider_id, asked))


@router.get(PATH)
def show(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Show the partner's identity providers and mail domains."""
    return _show(asked)


def _show(asked: Asked, wrong: Wrong | None = None) -> Response:
    partner_id, s = asked.caller.person().partner_id, asked.s
    identity_providers.allowed(partner_id, asked.caller, s)
    given = form_of(asked.request)
    typed = {name: given.get(name, "") for name in ("kind", "name", "issuer", "client_id", "tenant")}
    context: dict[str, Any] = {
        "providers": s.identities.providers(partner_id),
        "domains": sorted(s.identities.domains(partner_id)),
        "redirect_uri": f"{s.rules.public_url}{errands.BACK}",
        "logout_uri": f"{s.rules.public_url}/sso/logout/",
    }
    return page(asked, "identities/providers.html", wrong=wrong, typed=typed, **context)


@router.post(PATH)
def add(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Add an identity provider."""
    given, account, s = form_of(asked.request), asked.caller.person(), asked.s

    def wish() -> Response:
        identity_providers.allowed(account.partner_id, asked.caller, s)
        fields = {
            n: given[n] for n in ("kind", "name", "issuer", "client_id", "client_secret", "tenant") if given.get(n)
        }
        line = ProviderLine.model_validate(
            {"id": s.chance.new_id(), "partner": account.partner_id, "client_id": "", **fields}
        )
        stepped_up(asked)
        asked.caller.require_step_up()
        rank = identity_providers.rank_of(asked.caller)
        identity_providers.add(line, rank, asked.caller.origin(), s, asked.caller.guards())
        return go(asked, PATH, "provider_added", s.store.last_position())

    return tried(asked, wish, lambda wrong: _show(asked, wrong), form="provider")


def _own_provider(provider_id: str, asked: Asked) -> Provider:
    """Return a provider that this person may change."""
    provider, account = known(provider_id, asked.s), asked.caller.person()
    identity_providers.allowed(account.partner_id, asked.caller, asked.s)
    if provider.partner_id != account.partner_id:
        raise AnotherTenant
    stepped_up(asked)
    asked.caller.require_step_up()
    return provider


@router.post(f"{PATH}/{{provider_id}}/credit")
def credit(provider_id: Id, asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Count the provider's own MFA as ours, or no longer."""

    def wish() -> Response:
        provider, c = _own_provider(provider_id, asked), asked.caller
        on = switch(asked, "credits_mfa")
        if provider.credits_mfa == on:
            return go(asked, PATH, "nothing_changed")
        position = identity_providers.credit(provider_id, mfa=on, origin=c.origin(), s=asked.s, rows=c.guards())
        return go(asked, PATH, "provider_changed", position)

    return tried(asked, wish, lambda wrong: _show(asked, wrong), form=_form("credit", provider_id, asked))


@router.post(f"{PATH}/{{provider_id}}/remove")
def remove(provider_id: Id, asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Let nobody sign in at a provider any more."""

    def wish() -> Response:
        _own_provider(provider_id, asked)
        position = identity_providers.remove(provider_id, asked.caller.origin(), asked.s, asked.caller.guards())
        return go(asked, PATH, "provider_removed", position)

    return tried(asked, wish, lambda wrong: _show(asked, wrong), form=_form("credit", provider_id, asked))
