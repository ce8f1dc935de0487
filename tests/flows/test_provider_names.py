"""X40: nothing of a tenant's is on a page before the tenant is known, and no provider passes for another one."""

import pytest
from pydantic import ValidationError

from domain.provider_names import resembles
from handlers import identity_providers
from handlers.identity_providers import OPERATOR, DomainLine, ProviderLine
from tests.flows.pages import look, submit
from tests.services import Portal, by_operator

ISSUER = "https://idp.reseller.example"


def line(name: str, partner: str = "dist", **more: str) -> ProviderLine:
    fields = {"id": f"{partner}-idp", "partner": partner, "kind": "openid", "issuer": ISSUER, "client_id": "c", **more}
    return ProviderLine.model_validate({**fields, "name": name})


def offered(portal: Portal, partner: str, name: str) -> None:
    w = portal.watchword
    identity_providers.add(line(name, partner), OPERATOR, by_operator(w), w.sockets)
    domain = DomainLine(name=f"{partner}.example.org", partner=partner)
    identity_providers.set_domain(domain, proved=True, origin=by_operator(w), s=w.sockets)


def test_x40_the_sign_in_page_names_no_partners_provider(portal: Portal) -> None:
    stranger = portal.browser()
    before = look(portal, stranger, "/sign-in").text
    offered(portal, "dist", "North House Login")
    offered(portal, "resell", "River House Login")
    stranger = portal.browser()
    for path in ("/sign-in", "/sign-in/with", "/sign-in/with?partner=nobody"):
        assert "House Login" not in look(portal, stranger, path).text, path
    csrf = len(before)
    assert abs(len(look(portal, stranger, "/sign-in").text) - csrf) < 100
    stranger.session()
    answer = submit(portal, stranger, "/sign-in/with", kind="openid")
    assert "House Login" not in answer.text
    assert "Refresh" not in answer.headers


def test_x40_a_partners_own_address_and_its_mail_domain_show_its_providers_alone(portal: Portal) -> None:
    offered(portal, "dist", "North House Login")
    offered(portal, "resell", "River House Login")
    stranger = portal.browser()
    own = look(portal, stranger, "/sign-in/with?partner=dist").text
    assert "Sign in with North House Login" in own
    assert "River" not in own
    for email in ("a@elsewhere.example", "a@dist2.example.org"):
        stranger.session()
        answer = submit(portal, stranger, "/sign-in/with", email=email)
        assert answer.status_code == 404
        assert "House Login" not in answer.text


@pytest.mark.parametrize(
    "name",
    ["Microsoft", "MICROSOFT 365", "M i c r o s o f t", "Ｍｉｃｒｏｓｏｆｔ", "Microsоft", "Micr0soft", "rnicrosoft",
     "Login by Google", "G00gle", "Entra ID", "Okta", "0kta", "Apple", "Auth0", "GitHub"],
)  # fmt: skip
def test_x40_a_name_like_a_well_known_one_is_refused_for_another_issuer(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        line(name)
    assert [each["loc"] for each in refused.value.errors()] == [("name",)]
    assert "choose another name" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "kind", "issuer"),
    [
        ("Microsoft", "openid", "https://login.microsoftonline.com/t/v2.0"),
        ("Google", "openid", "https://accounts.google.com"),
        ("Okta", "openid", "https://acme.okta.com"),
        ("Entra ID", "entra", ""),
        ("Our Google", "google", ""),
        ("Harbor Dental", "openid", ISSUER),
        ("Zürich Überweisung", "openid", ISSUER),
        ("株式会社", "openid", ISSUER),
    ],
)
def test_x40_the_issuers_own_name_and_every_other_name_are_taken(name: str, kind: str, issuer: str) -> None:
    more = {"kind": kind, **({"tenant": "t"} if kind != "openid" else {}), "issuer": issuer}
    fields = {"id": "idp", "partner": "dist", "client_id": "c", "name": name, **{k: v for k, v in more.items() if v}}
    assert ProviderLine.model_validate(fields).name == name


def test_x40_a_provider_from_before_with_such_a_name_is_shown_under_its_issuers(portal: Portal) -> None:
    offered(portal, "dist", "Our House")
    portal.watchword.database.run("UPDATE identity_provider SET name = 'Microsoft'")
    page = look(portal, portal.browser(), "/sign-in/with?partner=dist").text
    assert "Sign in with the provider at idp.reseller.example" in page
    assert "Microsoft" not in page
    assert resembles("Microsoft", "https://login.microsoftonline.com.evil.example") == "microsoft"
