"""X10: a sign-in that goes away to an identity provider leaves a row, so such trips are counted by network."""

from datetime import timedelta

import pytest

from handlers import errands, identity_providers, single_sign_on
from handlers.identity_providers import OPERATOR, ProviderLine
from handlers.ports import Limit
from tests.attacks.signing_on import come_back, person
from tests.flows.pages import submit
from tests.issuer import Issuer
from tests.portal import Browser
from tests.services import Portal, by_operator


def goes_away(portal: Portal, browser: Browser) -> str:
    """Press the button of the sign-in page, and return the address at the provider, empty where that was refused."""
    browser.session()
    answer = submit(portal, browser, "/sign-in/with", provider_id="of-dist")
    assert answer.status_code in {200, 429}
    return str(answer.headers.get("refresh", "")).removeprefix("0; url=")


def test_x10_trips_to_a_provider_are_counted_until_somebody_comes_back(
    portal: Portal, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (errands, single_sign_on):
        monkeypatch.setattr(module, "PROVIDER_TRIPS", Limit("provider_trips", 3, timedelta(minutes=5)))
    fields = {"id": "of-dist", "partner": "dist", "kind": "openid", "name": "Issuer", "issuer": issuer.url}
    secret = {"client_id": issuer.client_id, "client_secret": issuer.client_secret}
    line = ProviderLine.model_validate(fields | secret)
    identity_providers.add(line, OPERATOR, by_operator(portal.watchword), portal.watchword.sockets)
    issuer.person = person("dist-support")
    browser = portal.browser()
    addresses = [goes_away(portal, browser) for _ in range(5)]
    assert [bool(address) for address in addresses] == [True] * 3 + [False] * 2
    kept = portal.watchword.database.one("SELECT count(*) AS count FROM authorization_request", ())
    assert kept is not None
    assert kept["count"] == 3
    come_back(browser, issuer.visit(addresses[2]))
    assert goes_away(portal, browser), "the provider has answered that one"
    assert not goes_away(portal, browser)
