"""Single sign-on: whose word is taken, in which browser, once, and for which account; and that ours is asked all the same."""

import hashlib
import hmac
from collections.abc import Callable, Iterator

import pytest

from domain.directory import RANK
from domain.facts import IdentityLinked, IdentityProved, Role
from handlers import identity_providers
from tests.attacks.signing_on import by_operator, come_back, form, person, provider, sent_to, signed_on
from tests.attacks.site import Site
from tests.directory import address
from tests.flows.steps import enforce, enrolled, give_code, signed_in
from tests.issuer import Claims, Issuer, Key, b64, issuing, part


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing(Issuer()) as running:
        yield running


MINUTE = 60


@pytest.mark.parametrize("amr", [["pwd"], ["pwd", "mfa"]])
def test_sso_01_the_code_is_asked_after_the_provider_whatever_it_says_of_its_own(
    site: Site, issuer: Issuer, amr: list[str]
) -> None:
    """F14: both verify, and ours is not skipped."""
    partner = site.partner("admin", "support")
    which, account = provider(site, issuer, partner), f"{partner}-admin"
    _, key = enrolled(site, account)
    issuer.person = person(account, amr=amr, acr="urn:two:factors")
    browser, state = signed_on(site, issuer, which)
    assert state == "mfa_code_required"
    assert browser.get("/me/mfa").status_code == 403
    assert give_code(site, browser, key).status_code == 200
    assert browser.get("/me/mfa").status_code == 200
    said = [each.fact for each in site.history(account, "account") if isinstance(each.fact, IdentityProved)]
    assert [(each.amr, each.credits_mfa) for each in said] == [(" ".join(amr), False)]
    assert str(issuer.person["sub"]) not in said[0].model_dump_json()


def test_sso_01_who_has_to_use_ours_sets_it_up_after_the_provider(site: Site, issuer: Issuer) -> None:
    """F13: signing in elsewhere does not exempt."""
    partner = site.partner("owner", "admin")
    which = provider(site, issuer, partner)
    assert enforce(signed_in(site, f"{partner}-owner"), partner, users=True).status_code == 200
    issuer.person = person(f"{partner}-admin", amr=["mfa"])
    browser, state = signed_on(site, issuer, which)
    assert state == "mfa_setup_required"
    assert browser.get("/me/mfa").status_code == 403


def test_sso_01_only_the_setting_of_a_provider_credits_its_mfa_and_only_where_it_says_so(
    site: Site, issuer: Issuer
) -> None:
    partner = site.partner("owner", "admin")
    which = provider(site, issuer, partner, credits_mfa=True)
    enrolled(site, f"{partner}-admin")
    issuer.person = person(f"{partner}-admin", amr=["pwd"])
    assert signed_on(site, issuer, which)[1] == "mfa_code_required"
    issuer.person["amr"] = ["pwd", "mfa"]
    assert signed_on(site, issuer, which)[1] == "signed_in"
    identity_providers.credit(which, mfa=False, origin=by_operator(site), s=site.w.sockets)
    assert signed_on(site, issuer, which)[1] == "mfa_code_required"


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
        {"email": "victim@elsewhere.example"},
        {"email": "{victim}\x00"},
        {"email": "{victim}@evil.example"},
        {"email": "({comment}){victim}"},
        {"email": "ａ{victim}"},
        {"email": ["{victim}"]},
        {"xms_edov": True, "email_verified": False},
    ],
)
def test_sso_02_an_address_alone_links_nothing(site: Site, issuer: Issuer, claims: dict[str, object]) -> None:
    partner = site.partner("admin")
    which, victim = provider(site, issuer, partner), f"{partner}-admin"
    filled = {
        name: value.replace("{victim}", address(victim)) if isinstance(value, str) else value
        for name, value in claims.items()
    }
    issuer.person = {**person(victim), "sub": "attacker", **filled}
    _, state = signed_on(site, issuer, which)
    assert state == "anonymous"
    assert site.topics(victim, "account") == ["registered"]


def test_sso_02_a_domain_that_the_partner_has_not_proved_links_nothing(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin")
    which = provider(site, issuer, partner, proved=False)
    issuer.person = person(f"{partner}-admin")
    assert signed_on(site, issuer, which)[1] == "anonymous"
    assert site.topics(f"{partner}-admin", "account") == ["registered"]


def test_sso_02_a_provider_opens_nothing_at_another_partner(site: Site, issuer: Issuer) -> None:
    own, other = site.partner("admin"), site.partner("admin")
    which = provider(site, issuer, own)
    issuer.person = person(f"{other}-admin")
    assert signed_on(site, issuer, which)[1] == "anonymous"
    assert site.topics(f"{other}-admin", "account") == ["registered"]


def test_sso_02_nobody_becomes_an_owner_by_adding_a_provider(site: Site, issuer: Issuer) -> None:
    partner = site.partner("owner", "super_admin")
    which = provider(site, issuer, partner, rank=RANK[Role.SUPER_ADMIN])
    issuer.person = person(f"{partner}-owner")
    assert signed_on(site, issuer, which)[1] == "anonymous"
    issuer.person = person(f"{partner}-super_admin")
    assert signed_on(site, issuer, which)[1] == "signed_in"


def test_sso_02_once_linked_it_is_the_subject_that_counts_and_not_the_address(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin", "support")
    which, account = provider(site, issuer, partner), f"{partner}-admin"
    issuer.person = person(account)
    assert signed_on(site, issuer, which)[1] == "signed_in"
    issuer.person["sub"] = "another"
    assert signed_on(site, issuer, which)[1] == "anonymous", "the address now belongs to somebody else there"
    issuer.person = person(account, email=address(f"{partner}-support"))
    browser, state = signed_on(site, issuer, which)
    assert state == "signed_in"
    assert browser.session()["account"]["account_id"] == account
    links = [each.fact for each in site.history(account, "account") if isinstance(each.fact, IdentityLinked)]
    assert len(links) == 1


def test_sso_02_the_same_subject_at_another_issuer_is_somebody_else(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin")
    first, account = provider(site, issuer, partner), f"{partner}-admin"
    issuer.person = person(account)
    assert signed_on(site, issuer, first)[1] == "signed_in"
    with issuing(Issuer()) as other:
        second = provider(site, other, partner, proved=False)
        other.person = {"sub": issuer.person["sub"]}
        assert signed_on(site, other, second)[1] == "anonymous"


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("entra", {"tid": "other"}),
        ("entra", {"tid": None}),
        ("google", {"hd": "evil.example"}),
        ("google", {"hd": None}),
    ],
)
def test_sso_02_another_tenant_of_the_same_provider_is_not_let_in(
    site: Site, issuer: Issuer, kind: str, wrong: dict[str, object]
) -> None:
    partner = site.partner("admin")
    which = provider(site, issuer, partner, kind, tenant="tenant.example")
    whole = person(f"{partner}-admin", tid="tenant.example", oid="object-1", hd="tenant.example")
    issuer.person = whole | wrong
    assert signed_on(site, issuer, which)[1] == "anonymous"
    issuer.person = whole
    assert signed_on(site, issuer, which)[1] == "signed_in"


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


def test_sso_05_a_callback_of_the_attackers_signs_the_victim_in_as_nobody_else(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin", "support")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-support")
    attacker, victim = site.browser(), signed_in(site, f"{partner}-admin")
    came = issuer.visit(sent_to(attacker, which))
    answer = come_back(victim, came)
    assert answer.status_code == 401
    assert victim.session()["state"] == "signed_in"
    assert site.topics(f"{partner}-admin", "account") == ["registered"], "and links nothing"


def test_sso_05_a_link_is_made_in_the_session_that_asked_for_it_after_a_fresh_password(
    site: Site, issuer: Issuer
) -> None:
    partner = site.partner("admin", "support")
    which = provider(site, issuer, partner, proved=False)
    issuer.person = {"sub": "the-attackers"}
    attacker, victim = signed_in(site, f"{partner}-support"), signed_in(site, f"{partner}-admin")
    answer = form(attacker, "/me/identities/link", provider_id=which)
    came = issuer.visit(answer.headers["refresh"].removeprefix("0; url="))
    assert come_back(victim, came).status_code == 401
    assert site.topics(f"{partner}-admin", "account") == ["registered"]
    data = {"csrf_token": attacker.csrf, "provider_id": which}
    lured = victim.http.post(f"{victim.origin}/me/identities/link", data=data, headers={"Sec-Fetch-Site": "cross-site"})
    assert lured.status_code == 403
    site.clock.advance(minutes=16)
    victim.http.get("/session")
    late = signed_in(site, f"{partner}-admin")
    site.clock.advance(minutes=14)
    late.get("/me/mfa")
    site.clock.advance(minutes=2)
    assert form(late, "/me/identities/link", provider_id=which).status_code == 403, "too long ago"
    own = signed_in(site, f"{partner}-admin")
    answer = form(own, "/me/identities/link", provider_id=which)
    assert come_back(own, issuer.visit(answer.headers["refresh"].removeprefix("0; url="))).status_code == 303
    assert site.topics(f"{partner}-admin", "account") == ["registered", "identity_linked"]
    assert signed_on(site, issuer, which)[1] == "signed_in"


def test_sso_05_an_invitation_works_once_for_its_own_account(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin")
    which, account = provider(site, issuer, partner, proved=False), f"{partner}-admin"
    link = identity_providers.invite(account, which, by_operator(site), site.w.sockets)
    path, _, secret = link.removeprefix(site.address).partition("#")
    issuer.person = {"sub": "invited"}
    browser = site.browser()
    browser.session()
    assert form(browser, path, secret="x" * 43).status_code == 410
    answer = form(browser, path, secret=secret)
    came = issuer.visit(answer.headers["refresh"].removeprefix("0; url="))
    assert come_back(browser, came).status_code == 303
    assert browser.session()["state"] == "signed_in"
    second = site.browser()
    second.session()
    assert form(second, path, secret=secret).status_code == 410
    assert signed_on(site, issuer, which)[1] == "signed_in"


def test_sso_05_only_the_linked_person_who_signs_in_anew_confirms_at_the_provider(site: Site, issuer: Issuer) -> None:
    partner = site.partner("admin", "support")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-admin")
    browser, state = signed_on(site, issuer, which)
    assert state == "signed_in"

    def confirmed(**claims: object) -> int:
        issuer.person = person(f"{partner}-admin", **claims)
        asked = form(browser, "/sign-in/again", back="policy").headers["refresh"].removeprefix("0; url=")
        assert "prompt=login" in asked
        assert "max_age=0" in asked
        return come_back(browser, issuer.visit(asked)).status_code

    assert confirmed(sub="somebody-else") == 403
    assert confirmed(auth_time=issuer.now() - 2 * MINUTE) == 401, "an old sign-in there is no fresh word"
    assert confirmed(auth_time=None) == 401, "nor is one of which it does not say when it was"
    assert browser.post("/session/step-up", {}).status_code == 401, "so nothing was confirmed"
    assert confirmed() == 303
    browser.session()
    assert browser.post("/session/step-up", {}).status_code == 200
    assert browser.post("/session/step-up", {}).status_code == 401, "and it was used up"
