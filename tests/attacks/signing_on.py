"""What the attacks on single sign-on have in common: a provider that obeys the attacker, and the way there and back."""

from typing import Any

import httpx

from handlers import identity_providers
from handlers.identity_providers import OPERATOR, DomainLine, ProviderLine
from tests.attacks.site import Site
from tests.attacks.steps import FORM
from tests.directory import address
from tests.issuer import Issuer
from tests.portal import Browser
from tests.services import by_operator

DOMAIN = "mail.example"
MINUTE = 60


def provider(
    site: Site,
    issuer: Issuer,
    partner: str,
    kind: str = "openid",
    *,
    proved: bool = True,
    rank: int = OPERATOR,
    **more: Any,
) -> str:
    """Let the partner's people sign in at the issuer, and return the provider's id."""
    issuer.ahead = site.ahead_seconds
    provider_id = f"{partner}-{kind}-{len(site.w.sockets.identities.providers(partner))}"
    fields = {"id": provider_id, "partner": partner, "kind": kind, "issuer": issuer.url, "client_id": issuer.client_id}
    secret = {"name": "Issuer", "client_secret": issuer.client_secret}
    line = ProviderLine.model_validate({**fields, **secret, **more})
    identity_providers.add(line, rank, by_operator(site.w), site.w.sockets)
    if proved:
        domain = DomainLine(name=DOMAIN, partner=partner)
        identity_providers.set_domain(domain, proved=True, origin=by_operator(site.w), s=site.w.sockets)
    return provider_id


def person(account: str, **more: object) -> dict[str, object]:
    """Return the claims of somebody with this account's verified address."""
    return {"sub": f"subject-of-{account}", "email": address(account), "email_verified": True, **more}


def form(browser: Browser, path: str, **fields: str) -> httpx.Response:
    data = {"csrf_token": browser.csrf, **fields}
    return browser.http.post(f"{browser.origin}{path}", data=data, headers=FORM)


def sent_to(browser: Browser, provider_id: str) -> str:
    """Press the button, and return the address at the provider."""
    browser.session()
    answer = form(browser, "/sign-in/with", provider_id=provider_id)
    assert answer.status_code == 200, answer.text
    return answer.headers["refresh"].removeprefix("0; url=")


def come_back(browser: Browser, parameters: dict[str, str]) -> httpx.Response:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    return browser.http.get(f"{browser.origin}/sign-in/back", params=parameters, headers=headers)


def signed_on(site: Site, issuer: Issuer, provider_id: str, browser: Browser | None = None) -> tuple[Browser, str]:
    """Sign in at the provider, and return the browser and how far it has come."""
    browser = browser or site.browser()
    answer = come_back(browser, issuer.visit(sent_to(browser, provider_id)))
    assert answer.status_code in {303, 401, 403, 503}, answer.text
    return browser, browser.session()["state"]
