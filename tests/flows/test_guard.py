"""The one guard: every route of the OpenAPI document, with every weaker session, from other sites and other tenants."""

from typing import Any

import pytest

from api.rest import PREFIX
from api.web import create_app
from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, enrolled, next_code, reason, signed_in
from tests.portal import Browser
from tests.services import Portal

OPEN_TO = {
    "anonymous": {
        "GET /session",
        "DELETE /session",
        "POST /sign-in",
        "POST /reset/{id}/confirm",
        "POST /unlock/{id}/confirm",
    },
    "identified": {"POST /sign-in/account"},
    "mfa_code_required": {"POST /sign-in/code"},
    "mfa_setup_required": {
        "POST /me/mfa/setup",
        "POST /me/mfa/setup/confirm",
        "POST /me/mfa/setup/mail",
        "POST /me/mfa/disable",
    },
}
"""What each state opens; every state opens what is open to nobody in particular."""


def routes(portal: Portal) -> list[tuple[str, str]]:
    """Return every method and path of the OpenAPI document."""
    document: dict[str, Any] = create_app(portal.watchword).openapi()
    found = []
    for path, methods in document["paths"].items():
        short = path.removeprefix(PREFIX)
        for name in ("reset_id", "link_id", "partner_id", "account_id"):
            short = short.replace("{" + name + "}", "{id}")
        found += [(method.upper(), short) for method in methods]
    assert len(found) > 20
    return found


def call(browser: Browser, method: str, path: str) -> Any:
    path = path.replace("{id}", "dist" if "partners" in path else "dist-support")
    return browser.get(path) if method == "GET" else browser.send(method, path, {})


def in_state(portal: Portal, state: str) -> Browser:
    browser = portal.browser()
    if state == "identified":
        browser.sign_in(address("three-dist"), PASSWORD)
    elif state == "mfa_code_required":
        enrolled(portal, "dist-admin")
        browser.sign_in(address("dist-admin"), PASSWORD)
    elif state == "mfa_setup_required":
        signed_in(portal, "dist-admin").post("/me/mfa/enable")
        browser.sign_in(address("dist-admin"), PASSWORD)
    assert browser.session()["state"] == state
    return browser


@pytest.mark.parametrize("state", list(OPEN_TO))
def test_a_weaker_session_opens_its_own_routes_and_no_other(portal: Portal, state: str) -> None:
    browser = in_state(portal, state)
    allowed = OPEN_TO["anonymous"] | OPEN_TO[state]
    before = portal.watchword.store.last_position()
    for method, path in routes(portal):
        if f"{method} {path}" not in allowed:
            expected = (401, "session_ended") if state == "anonymous" else (403, state)
            assert reason(call(browser, method, path)) == expected, (state, method, path)
    assert portal.watchword.store.last_position() == before, "nothing was stored"
    assert browser.session()["state"] == state


def test_an_unsafe_call_needs_the_csrf_token_of_its_own_sign_in_and_comes_from_our_pages(portal: Portal) -> None:
    owner, other = signed_in(portal, "dist-owner"), signed_in(portal, "dist-admin")
    token, foreign = owner.csrf, other.csrf
    before = portal.watchword.store.last_position()
    for method, path in routes(portal):
        if method == "GET":
            continue
        for headers in (
            {"X-CSRF-Token": ""},
            {"X-CSRF-Token": foreign},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            answer = owner.send(method, path.replace("{id}", "dist-support"), {}, **headers)
            assert reason(answer) in {(403, "cross_site"), (422, "bad_input")}, (method, path, headers)
            if answer.status_code == 422:
                assert path.startswith(("/sign-in", "/session", "/me", "/reset", "/unlock", "/partners"))
        bare = owner.http.request(method, path.replace("{id}", "dist-support"), headers={"X-CSRF-Token": token})
        assert bare.status_code in {403, 422}, "without Origin and Sec-Fetch-Site nobody knows where it comes from"
    assert portal.watchword.store.last_position() == before
    assert owner.session()["state"] == "signed_in"


def test_a_session_takes_a_new_token_at_each_step(portal: Portal) -> None:
    browser, key = enrolled(portal, "dist-admin")
    seen: set[str] = set()

    def token_dies() -> None:
        token = browser.http.cookies["watchword"]
        assert token not in seen
        for old in seen:
            raw = portal.browser().http.get("/session", headers={"Cookie": f"watchword={old}"})
            assert raw.json()["state"] == "anonymous"
        seen.add(token)

    browser.sign_out()
    token_dies()
    browser.post("/sign-in", {"email": address("dist-admin"), "password": PASSWORD})
    token_dies()
    browser.post("/sign-in/code", {"code": next_code(portal, key)})
    token_dies()
    browser.post("/session/step-up", {"password": PASSWORD, "code": next_code(portal, key)})
    token_dies()
    assert browser.get("/me/mfa").status_code == 200


@pytest.mark.parametrize("cookie", ["", "=", "x" * 4096, "ÿ", "abc", "a; watchword=b"])
def test_a_broken_cookie_is_nobody(portal: Portal, cookie: str) -> None:
    browser = portal.browser()
    raw = browser.http.get("/me/mfa", headers=[(b"cookie", f"watchword={cookie}".encode("latin-1"))])
    assert reason(raw) == (401, "session_ended")


def test_two_cookies_of_one_name_are_nobody(portal: Portal) -> None:
    browser = signed_in(portal, "dist-admin")
    token = browser.http.cookies["watchword"]
    raw = browser.http.get("/me/mfa", headers={"Cookie": f"watchword={token}; watchword={token}"})
    assert reason(raw) == (401, "session_ended")


def test_what_a_proxy_might_say_counts_for_nothing(portal: Portal) -> None:
    browser = in_state(portal, "mfa_code_required")
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Original-URL", "X-Forwarded-User", "X-Tenant-Id"):
        for value in ("127.0.0.1", "dist-owner", "a", "for=127.0.0.1"):
            raw = browser.http.get("/me/mfa", headers={name: value})
            assert reason(raw) == (403, "mfa_code_required")


def test_a_foreign_host_is_not_served(portal: Portal) -> None:
    raw = portal.browser().http.get("/session", headers={"Host": "evil.example"})
    assert reason(raw) == (421, "unknown_host")


def test_a_disabled_person_is_out_at_once_even_between_password_and_code(portal: Portal) -> None:
    from handlers.directory import set_disabled  # noqa: PLC0415
    from handlers.ports import Origin  # noqa: PLC0415

    full, key = enrolled(portal, "dist-support")
    pending = portal.browser()
    pending.sign_in(address("dist-support"), PASSWORD)
    s = portal.watchword.sockets
    set_disabled("dist-support", disabled=True, origin=Origin("operator", s.chance.new_id(), s.clock.now()), s=s)
    assert reason(pending.post("/sign-in/code", {"code": next_code(portal, key)})) == (401, "session_ended")
    assert reason(full.get("/me/mfa")) == (401, "session_ended")
    full.session()
    again = full.post("/sign-in", {"email": address("dist-support"), "password": PASSWORD})
    assert reason(again) == (401, "wrong_credentials")


def test_at_most_ten_sessions_of_an_account_are_open(portal: Portal) -> None:
    browsers = [signed_in(portal, "dist-support") for _ in range(11)]
    states = [browser.session()["state"] for browser in browsers]
    assert states == ["anonymous"] + ["signed_in"] * 10


def test_a_service_token_has_its_scopes_and_its_partner(portal: Portal) -> None:
    tokens = portal.watchword.tokens
    reader = Browser.at(portal.address, headers={"Authorization": f"Bearer {tokens.create('r', ['read'], 'dist')}"})
    writer = Browser.at(
        portal.address, headers={"Authorization": f"Bearer {tokens.create('w', ['read', 'write'], '*')}"}
    )
    assert reader.get("/partners/dist/users").status_code == 200
    assert reason(reader.get("/partners/sub/users")) == (404, "another_tenant")
    assert reason(enforce(reader, "dist", users=True)) == (403, "not_among_these")
    assert enforce(writer, "sub", organizations=True).status_code == 200
    assert reason(enforce(writer, "resell", users=True)) == (403, "partner_type_has_no_policy")
    assert writer.post("/accounts/dist-owner/mfa/reset", {}).status_code == 200
    assert reason(writer.get("/me/mfa")) == (403, "not_among_these")
    assert tokens.revoke("r")
    assert reason(reader.get("/partners/dist/users")) == (401, "session_ended")
    facts = portal.watchword.store.history("partner_policy:sub")
    assert [each.actor for each in facts] == ["service:w"]
    for browser in (reader, writer):
        browser.http.close()


def test_an_idempotency_key_makes_a_command_safe_to_repeat(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    before = portal.watchword.store.last_position()
    answers = [owner.post("/accounts/dist-support/mfa/reset", {}, Idempotency_Key="k1") for _ in range(3)]
    assert len({answer.json()["position"] for answer in answers}) == 1
    assert portal.watchword.store.last_position() == before + 1
    changed = owner.post("/accounts/dist-support/mfa/reset", {"reason": "other"}, Idempotency_Key="k1")
    assert reason(changed) == (422, "key_reused")
    elsewhere = signed_in(portal, "dist-admin").post("/accounts/dist-support/mfa/reset", {}, Idempotency_Key="k1")
    assert elsewhere.json()["position"] > answers[0].json()["position"], "a key belongs to its session"


def test_a_refused_wish_stays_refused_when_it_is_repeated(portal: Portal) -> None:
    body = {"enforce_partner_users": True, "enforce_organizations": True}
    auditor = signed_in(portal, "dist2-auditor")
    for _ in range(3):
        answer = auditor.put("/partners/dist/mfa-policy", body, Idempotency_Key="k")
        assert reason(answer) == (404, "another_tenant")
        answer = auditor.post("/accounts/dist2-owner/mfa/reset", {}, Idempotency_Key="r")
        assert reason(answer) == (403, "role_not_allowed")


def test_a_sign_in_over_another_is_a_sign_in_of_its_own(portal: Portal) -> None:
    browser = signed_in(portal, "dist-auditor")
    before = browser.csrf
    answer = browser.post("/sign-in", {"email": address("dist2-auditor"), "password": PASSWORD})
    assert answer.json()["csrf_token"] != before
    stale = browser.post("/me/mfa/enable", None, X_CSRF_Token=before)
    assert reason(stale) == (403, "cross_site")
