"""What comes back from an identity provider, or from somebody who plays one: forged, replayed, mixed up, or not at all."""

import hashlib
import hmac
from collections.abc import Callable

import pytest

from tests.attacks.signing_on import MINUTE, come_back, form, person, provider, sent_to, signed_on
from tests.attacks.site import Site
from tests.flows.steps import signed_in
from tests.issuer import Claims, Issuer, Key, b64, issuing, part


def hs256(claims: Claims, key: bytes, **header: object) -> str:
    text = f"{part({'alg': 'HS256', 'typ': 'JWT', **header})}.{part(claims)}"
    return f"{text}.{b64(hmac.digest(key, text.encode(), hashlib.sha256))}"


FORGED: dict[str, Callable[[Issuer, Claims], str]] = {
    "unsigned": lambda _, c: f"{part({'alg': 'none'})}.{part(c)}.",
    "unsigned, spelled otherwise": lambda i, c: f"{part({'alg': 'None', 'kid': i.key.kid})}.{part(c)}.",
    "HS256 with the public key": lambda i, c: hs256(c, i.key.pem(), kid=i.key.kid),
    "HS256 with the client secret": lambda i, c: hs256(c, i.client_secret.encode(), kid=i.key.kid),
    "another key of the same name": lambda i, c: Key(i.key.kid).sign(c),
    "a key that nobody knows": lambda _, c: Key("unknown").sign(c),
    "a key that came along": lambda _, c: (k := Key("own")).sign(c, jwk=k.public()),
    "a signature cut off": lambda i, c: i.key.sign(c).rpartition(".")[0] + ".",
    "another audience": lambda i, c: i.key.sign(c | {"aud": "another-client"}),
    "several audiences and no authorized party": lambda i, c: i.key.sign(c | {"aud": ["another", i.client_id]}),
    "another authorized party": lambda i, c: i.key.sign(c | {"azp": "another"}),
    "another issuer": lambda i, c: i.key.sign(c | {"iss": "https://evil.example"}),
    "another nonce": lambda i, c: i.key.sign(c | {"nonce": "x" * 43}),
    "no nonce": lambda i, c: i.key.sign({n: v for n, v in c.items() if n != "nonce"}),
    "expired": lambda i, c: i.key.sign(c | {"exp": i.now() - 2 * MINUTE}),
    "no end": lambda i, c: i.key.sign({n: v for n, v in c.items() if n != "exp"}),
    "made in the future": lambda i, c: i.key.sign(c | {"iat": i.now() + 3 * MINUTE}),
    "made long ago": lambda i, c: i.key.sign(c | {"iat": i.now() - 30 * MINUTE}),
    "not yet": lambda i, c: i.key.sign(c | {"nbf": i.now() + 3 * MINUTE}),
    "no subject": lambda i, c: i.key.sign({n: v for n, v in c.items() if n != "sub"}),
    "a logout token": lambda i, c: i.key.sign(c, typ="logout+jwt"),
    "no token": lambda _i, _c: "",
}


@pytest.mark.parametrize("how", FORGED)
def test_sso_03_a_forged_id_token_signs_nobody_in(site: Site, issuer: Issuer, how: str) -> None:
    partner = site.partner("admin")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-admin")
    before = site.w.store.last_position()
    issuer.forge = lambda claims: FORGED[how](issuer, claims)
    assert signed_on(site, issuer, which)[1] == "anonymous"
    assert site.w.store.last_position() == before
    issuer.forge = None
    assert signed_on(site, issuer, which)[1] == "signed_in", "it was the forgery that was refused"


def test_sso_03_a_state_is_of_one_browser_and_works_once(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-admin")
    mine, other = site.browser(), site.browser()
    came = issuer.visit(sent_to(mine, which))
    assert come_back(mine, came | {"state": "x" * 43}).status_code == 401
    other.session()
    assert come_back(other, came).status_code == 401, "another browser's state"
    assert other.session()["state"] == "anonymous"
    assert come_back(mine, came).status_code == 401, "and that used it up"
    assert mine.session()["state"] == "anonymous"
    came = issuer.visit(sent_to(mine, which))
    assert come_back(mine, came).status_code == 303
    assert mine.session()["state"] == "signed_in"
    mine.sign_out()
    assert come_back(mine, came).status_code == 401, "replayed"
    assert mine.session()["state"] == "anonymous"


def test_sso_03_a_state_ends_after_ten_minutes(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-admin")
    browser = site.browser()
    came = issuer.visit(sent_to(browser, which))
    site.clock.advance(minutes=11)
    assert come_back(browser, came).status_code == 401


def test_sso_03_a_code_that_was_stolen_or_used_leads_nowhere(site: Site, issuer: Issuer) -> None:
    """PKCE: a code belongs to the verifier of the browser that asked for it."""
    partner = site.partner("admin")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-admin")
    victim, attacker = site.browser(), site.browser()
    stolen = issuer.visit(sent_to(victim, which))
    own = issuer.visit(sent_to(attacker, which))
    assert come_back(attacker, own | {"code": stolen["code"]}).status_code == 401
    assert attacker.session()["state"] == "anonymous"
    again = issuer.visit(sent_to(victim, which))
    assert come_back(victim, again | {"code": own["code"]}).status_code == 401
    assert victim.session()["state"] == "anonymous"


@pytest.mark.parametrize("sends_iss", [True, False])
def test_sso_03_two_providers_are_not_mixed_up(site: Site, issuer: Issuer, *, sends_iss: bool) -> None:
    """The attacker's provider sends the browser on to the honest one, and wants the code at its own token endpoint."""
    partner = site.partner("admin")
    issuer.sends_iss = sends_iss
    honest = provider(site, issuer, partner)
    with issuing(Issuer(sends_iss=sends_iss)) as evil:
        theirs = provider(site, evil, partner)
        browser = site.browser()
        address_there = sent_to(browser, theirs)
        came = issuer.visit(address_there.replace(evil.url, issuer.url))
        issuer.person = person(f"{partner}-admin")
        evil.codes[came["code"]] = issuer.codes[came["code"]]
        assert come_back(browser, came).status_code == 401
        assert browser.session()["state"] == "anonymous"
        if sends_iss:
            assert "/token" not in evil.asked, "the code never went there"
            came = issuer.visit(sent_to(browser, honest))
            del came["iss"]
            assert come_back(browser, came).status_code == 401, "left out where the provider always sends it"


def test_sso_03_the_provider_is_the_one_that_was_configured_and_nobody_elsewhere(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin")
    issuer.document = {"issuer": "https://evil.example"}
    which = provider(site, issuer, partner)
    browser = site.browser()
    browser.session()
    assert form(browser, "/sign-in/with", provider_id=which).status_code == 503
    with issuing(Issuer()) as other:
        other.document = {"jwks_uri": f"{other.url}/elsewhere"}
        other.person = person(f"{partner}-admin")
        which = provider(site, other, partner)
        assert signed_on(site, other, which)[1] == "anonymous", "a redirect is not followed"
        assert "/jwks" not in other.asked
    with issuing(Issuer()) as plain:
        plain.document = {"token_endpoint": "http://192.0.2.1/token"}
        which = provider(site, plain, partner)
        assert form(browser, "/sign-in/with", provider_id=which).status_code == 503


def test_sso_03_a_new_key_is_found_and_forged_ids_do_not_hammer_the_provider(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-admin")
    for _ in range(4):
        issuer.forge = lambda claims: Key("unknown").sign(claims)
        assert signed_on(site, issuer, which)[1] == "anonymous"
    assert issuer.asked.count("/jwks") <= 2 * len(site.ports)


def test_sso_03_with_the_provider_down_nobody_gets_in_by_it_and_the_password_still_works(
    site: Site, issuer: Issuer
) -> None:
    partner = site.partner("admin")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-admin")
    browser = site.browser()
    came = issuer.visit(sent_to(browser, which))
    issuer.token = lambda *_: (500, {})  # type: ignore[method-assign]
    answer = come_back(browser, came)
    assert answer.status_code == 503
    assert "identity provider" in answer.text
    assert browser.session()["state"] == "anonymous"
    assert signed_in(site, f"{partner}-admin").get("/me/mfa").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "x"},
        {"events": {}},
        {"events": None},
        {"aud": "other"},
        {"iss": "https://evil.example"},
        {"iat": 1},
        {"jti": None},
        {"sub": None, "sid": None},
    ],
)
def test_sso_03_a_forged_logout_ends_nobody(site: Site, issuer: Issuer, change: dict[str, object]) -> None:
    partner = site.partner("admin")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-admin", sid="session-1")
    browser, state = signed_on(site, issuer, which)
    assert state == "signed_in"
    whole = {"sub": issuer.person["sub"], "sid": "session-1"}

    def post(token: str) -> int:
        return browser.http.post(f"{browser.origin}/sso/logout/{which}", data={"logout_token": token}).status_code

    assert post(issuer.logout_token(**{**whole, **change})) == 400
    assert post(Key(issuer.key.kid).sign({})) == 400
    assert browser.session()["state"] == "signed_in"
    token = issuer.logout_token(**whole)
    assert post(token) == 200
    assert browser.session()["state"] == "anonymous"
    assert post(token) == 400, "replayed"
