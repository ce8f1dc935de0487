"""Default deny: every route and page, from every session and token that has not come far enough, in every spelling."""

import pytest

from tests.attacks import walk
from tests.attacks.site import Site
from tests.attacks.steps import reset_by, token_of, with_cookie
from tests.flows.steps import enrolled, reason, signed_in
from tests.portal import Browser


def refused(site: Site, browser: Browser, partner: str, state: str, methods: tuple[str, ...] = walk.METHODS) -> None:
    """Walk over every route that is not open to this state, and find each of them shut, whatever the method."""
    found, before = walk.routes(site), site.w.store.last_position()
    asked = {walk.Route(m, route.path, route.is_page) for route in found for m in (*methods, route.method)}
    for route in sorted(asked, key=lambda each: each.name):
        if route.open_to(state):
            continue
        answer = walk.ask(browser, route.method, route.at(partner, f"{partner}-support"))
        led_on = route.method in {"GET", "HEAD"} and route.is_page and answer.status_code == 303
        assert led_on or answer.status_code in {401, 403, 404, 405}, (state, route.name, answer.status_code)
        assert "Inc" not in answer.text, route.name
        assert "@mail.example" not in answer.text, route.name
    assert site.w.store.last_position() == before, "nothing was stored"


@pytest.mark.parametrize("state", walk.STATES)
def test_byp_01_before_its_last_step_a_sign_in_opens_nothing_else(site: Site, state: str) -> None:
    partner = site.partner("admin", "support")
    browser = walk.in_state(site, state, partner)
    refused(site, browser, partner, state)
    assert browser.session()["state"] == state


def test_byp_01_a_session_that_ended_opens_nothing(site: Site) -> None:
    """By a security change, by time, by signing out; the token is the right one, and no longer anybody's."""
    partner = site.partner("owner", "admin", "support")
    owner, overtaken, out, weaker = (
        signed_in(site, f"{partner}-{who}") for who in ("owner", *["admin"] * 2, "support")
    )
    enrolled(site, f"{partner}-support")
    refused(site, weaker, partner, "anonymous", methods=())  # it was made before there was a code to ask for
    token = token_of(out)
    out.sign_out()
    assert reset_by(owner, f"{partner}-admin").status_code == 200
    refused(site, overtaken, partner, "anonymous", methods=())
    assert reason(with_cookie(site, "/me/mfa", token)) == (401, "session_ended")
    idle = signed_in(site, f"{partner}-owner")
    site.clock.advance(minutes=31)
    refused(site, idle, partner, "anonymous", methods=())


def test_byp_01_a_service_token_opens_what_its_scopes_say_and_nothing_once_it_is_revoked(site: Site) -> None:
    partner, foreign = site.partner("admin", "support"), site.partner("support")
    tokens, opened = site.w.tokens, {"read": 0, "write": 0, "audit": 0, "none": 0, "revoked": 0}
    for scope in opened:
        token = tokens.create(f"{partner}-{scope}", [scope] if scope not in {"none", "revoked"} else ["read"], partner)
        if scope == "revoked":
            tokens.revoke(f"{partner}-{scope}")
        secret = f"{token}x" if scope == "none" else token
        browser = site.browser(headers={"Authorization": f"Bearer {secret}"})
        for route in walk.routes(site):
            for whose in (partner, foreign) if scope not in {"none", "revoked"} else (partner,):
                answer = walk.ask(browser, route.method, route.at(whose, f"{whose}-support"))
                let_in = answer.status_code not in {303, 401, 403, 404, 405}
                opened[scope] += let_in
                assert not (let_in and (whose == foreign) and f"{foreign} Inc" in answer.text), route.name
                if let_in:
                    assert (route.method == "GET") == (scope != "write"), route.name
                    assert not route.is_page, "no page"
                    assert "/me/" not in route.path, "and nothing of one's own"
    assert opened["none"] == opened["revoked"] == 0
    assert min(opened["read"], opened["write"], opened["audit"]) > 0


@pytest.mark.parametrize(
    "change", ["{}/", "/{}", "/.{}", "/%2e{}", "/x/..{}", "{}%00", "{};a=b", "{}.json", "{}?a=/../session"]
)
def test_byp_01_no_other_spelling_of_a_path_leads_past_the_guard(site: Site, change: str) -> None:
    partner = site.partner("admin", "support")
    browser = walk.in_state(site, "mfa_code_required", partner)
    before = site.w.store.last_position()
    for path in ("/api/v1/me/mfa", f"/api/v1/partners/{partner}/users", "/user-management", "/security-settings"):
        for spelled in (path, path.upper(), path.replace("a", "%61", 1)):
            for method in ("GET", "POST", "PUT"):
                answer = browser.http.request(method, f"{browser.origin}{change.format(spelled)}")
                assert answer.status_code in {303, 401, 403, 404, 405}, (method, change, spelled, answer.status_code)
                assert "@mail.example" not in answer.text
    assert site.w.store.last_position() == before
