"""Single sign-on: whose word is taken, in which browser, once, and for which account; and that ours is asked all the same."""

import pytest

from domain.directory import RANK
from domain.facts import IdentityLinked, IdentityProved, Role
from handlers import identity_providers
from tests.attacks.signing_on import MINUTE, come_back, form, person, provider, sent_to, signed_on
from tests.attacks.site import Site
from tests.directory import address
from tests.flows.steps import enforce, enrolled, give_code, signed_in
from tests.issuer import Issuer, issuing
from tests.services import by_operator


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
    identity_providers.credit(which, mfa=False, origin=by_operator(site.w), s=site.w.sockets)
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
    link = identity_providers.invite(account, which, by_operator(site.w), site.w.sockets)
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
