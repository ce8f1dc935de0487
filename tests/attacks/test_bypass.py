"""Around the second factor: other doors, other methods, other headers, and whatever comes before the code."""

import json

import psycopg

from handlers.directory import set_disabled
from handlers.ports import Origin
from tests.attacks.site import COOKIE, Site, at_once
from tests.attacks.steps import (
    ask_reset,
    confirm_reset,
    ended,
    page,
    pending,
    reset_by,
    signed_in_by_code,
    token_of,
    with_cookie,
)
from tests.directory import PASSWORD, address
from tests.flows.steps import confirm, enforce, enrolled, give_code, next_code, reason, signed_in


def operator(site: Site) -> Origin:
    s = site.watchword.sockets
    return Origin("operator", s.chance.new_id(), s.clock.now())


def test_byp_02_whatever_makes_a_credential_makes_none_without_the_code(site: Site) -> None:
    """The password alone, at every door that takes one, as JSON, as a form and as basic authorization."""
    account = f"{site.partner('admin')}-admin"
    enrolled(site, account)
    basic = site.browser(auth=(address(account), PASSWORD))
    assert reason(basic.get("/me/mfa")) == (401, "session_ended")
    browser = site.browser()
    browser.session()
    proved = browser.post("/sign-in", {"email": address(account), "password": PASSWORD})
    assert proved.json()["state"] == "mfa_code_required"
    assert reason(browser.get("/me/mfa")) == (403, "mfa_code_required")
    answer = page(browser, "POST", "/sign-in", data={"email": address(account), "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in/code")
    assert page(browser, "GET", "/").headers["location"] == "/sign-in/code"
    named = [path for path in site.browser().get("/openapi.json").json()["paths"] if "token" in path or "login" in path]
    assert named == [], "there is no second door"


def test_byp_03_a_code_without_the_password_is_nobodys(site: Site) -> None:
    partner = site.partner("admin", "support")
    victim, other = f"{partner}-admin", f"{partner}-support"
    _, key = enrolled(site, victim)
    enrolled(site, other)
    before = site.topics(victim)
    code = next_code(site, key)
    stranger = site.browser()
    stranger.session()
    for body in ({"code": code}, {"code": code, "account_id": victim}, {"code": code, "email": address(victim)}):
        assert reason(stranger.post("/sign-in/code", body)) == (401, "session_ended")
    theirs = pending(site, other)
    assert reason(theirs.post("/sign-in/code", {"code": code, "account_id": victim})) == (422, "bad_input")
    assert reason(theirs.post("/sign-in/code", {"code": code})) == (401, "code_not_accepted")
    assert site.topics(victim) == before, "the victim's count is untouched"
    assert pending(site, victim).post("/sign-in/code", {"code": code}).status_code == 200


def test_byp_04_an_active_factor_is_asked_for_though_nobody_enforces_it(site: Site) -> None:
    partner = site.partner("owner", "support")
    enrolled(site, f"{partner}-support")
    policy = signed_in(site, f"{partner}-owner").get(f"/partners/{partner}/mfa-policy").json()
    assert not policy["enforce_partner_users"]
    assert reason(pending(site, f"{partner}-support").get("/me/mfa")) == (403, "mfa_code_required")


def test_byp_07_another_way_that_is_begun_and_not_finished_opens_nothing(site: Site) -> None:
    """A reset asked for, its link opened, its form sent without the secret: the code is still owed."""
    account = f"{site.partner('admin')}-admin"
    browser, _ = enrolled(site, account)
    link, _ = ask_reset(site, browser, account)
    waiting = pending(site, account)
    assert page(waiting, "GET", f"/reset/{link}").status_code == 200
    for body in ({}, {"secret": ""}, {"secret": link}, {"secret": "x", "password": PASSWORD}):
        assert waiting.post(f"/reset/{link}/confirm", body).status_code in {410, 422}
    for path, body in (("/sign-in/code", {}), ("/sign-in/account", {"account_id": account}), ("/me/mfa/setup", {})):
        assert waiting.post(path, body).status_code in {403, 422}
    assert waiting.session()["state"] == "mfa_code_required"
    assert reason(waiting.get("/me/mfa")) == (403, "mfa_code_required")


def test_byp_08_no_header_skips_the_code_or_moves_the_caller(site: Site) -> None:
    account = f"{site.partner('admin')}-admin"
    enrolled(site, account)
    browser = pending(site, account)
    names = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL")
    more = ("X-Forwarded-User", "X_Forwarded_User", "X-Tenant-Id", "X-Skip-MFA", "X-HTTP-Method-Override", "Via")
    for name in names + more:
        for value in ("127.0.0.1", "10.0.0.1, 10.0.0.2", "a", "999.1.1.1", "::ffff:1", "for=127.0.0.1", account, "/"):
            assert reason(browser.http.get("/me/mfa", headers={name: value})) == (403, "mfa_code_required"), name
    stranger = site.browser()
    stranger.session()
    answer = stranger.get("/session")
    for number in range(31):  # what the caller says about its own address does not split its count
        body = {"email": f"nobody{number}@mail.example", "password": "x"}
        answer = stranger.post("/sign-in", body, X_Forwarded_For=f"192.0.2.{number}")
    assert reason(answer) == (429, "too_many_tries")


def test_byp_09_a_cookie_that_is_not_whole_is_nobodys(site: Site) -> None:
    partner = site.partner("admin", "support")
    full, gone = signed_in(site, f"{partner}-admin"), signed_in(site, f"{partner}-support")
    enrolled(site, f"{partner}-support")
    half = pending(site, f"{partner}-support")
    token, dead, flipped = token_of(full), token_of(gone), token_of(full)
    flipped = ("B" if flipped[0] == "A" else "A") + flipped[1:]
    for value in ("", "=", "x" * 4096, "ÿ", token[:-1], f"{token}x", flipped, dead, f'"{token}"', token.swapcase()):
        sent = [(b"cookie", f"{COOKIE}={value}".encode("latin-1"))]
        assert reason(site.browser().http.get("/me/mfa", headers=sent)) == (401, "session_ended"), value
    for both in (f"{token}; {COOKIE}={token_of(half)}", f"{token_of(half)}; {COOKIE}={token}"):
        assert reason(site.browser().http.get("/me/mfa", headers={"Cookie": f"{COOKIE}={both}"})) == (
            401,
            "session_ended",
        )
    assert with_cookie(site, "/me/mfa", token).status_code == 200


def test_byp_10_a_reset_signs_nobody_in(site: Site) -> None:
    """There is no forgotten password here; the reset of the factor is the one mailed way, and it wants the password."""
    account = f"{site.partner('admin')}-admin"
    browser, _ = enrolled(site, account)
    link = ask_reset(site, browser, account)
    stranger = site.browser()
    answer = confirm_reset(stranger, link)
    assert answer.status_code == 200
    assert reason(stranger.get("/me/mfa")) == (401, "session_ended")
    assert ended(browser) == [True]
    paths = site.browser().get("/openapi.json").json()["paths"]
    assert [path for path in paths if "password" in path or "forgot" in path] == []


def test_byp_11_a_disabled_person_is_out_between_password_and_code_and_after_it(site: Site) -> None:
    account = f"{site.partner('admin')}-admin"
    full, key = enrolled(site, account)
    waiting = pending(site, account)
    set_disabled(account, disabled=True, origin=operator(site), s=site.w.sockets)
    assert reason(give_code(site, waiting, key)) == (401, "session_ended")
    assert ended(full) == [True]
    fresh = site.browser()
    fresh.session()
    answer = fresh.post("/sign-in", {"email": address(account), "password": PASSWORD})
    assert reason(answer) == (401, "wrong_credentials")


def test_byp_14_a_decision_about_access_waits_for_no_view(site: Site) -> None:
    """Straight after each change the other process knows it, however many sign in at once."""
    partner = site.partner("owner", "support", "auditor")
    account, first, second = f"{partner}-support", site.ports[:1], site.ports[1:]
    owner = signed_in(site, f"{partner}-owner")
    setting_up = site.browser(ports=first)
    setting_up.sign_in(address(account), PASSWORD)
    key = setting_up.start_setup()["setup_key"]
    assert confirm(site, setting_up, key).status_code == 200

    def sign_in(_: int) -> str:
        return str(site.browser(ports=second).sign_in(address(account), PASSWORD)["state"])

    with psycopg.connect(site.w.settings.need("admin_database_url")) as still:
        still.execute("LOCK TABLE notification_tracking")  # no view goes on before this ends
        assert set(at_once(16, sign_in, threads=8)) == {"mfa_code_required"}
        assert owner.get("/me/mfa").status_code == 200
    assert enforce(owner, partner, users=True).status_code == 200
    auditor = site.browser(ports=second)
    assert auditor.sign_in(address(f"{partner}-auditor"), PASSWORD)["state"] == "mfa_setup_required"
    late = signed_in_by_code(site, account, key)
    assert reset_by(owner, account).status_code == 200
    assert ended(late) == [True]
    assert set(at_once(4, sign_in, threads=4)) == {"mfa_setup_required"}
    set_disabled(account, disabled=True, origin=operator(site), s=site.w.sockets)
    body = {"email": address(account), "password": PASSWORD}
    fresh = site.browser(ports=second)
    fresh.session()
    assert json.loads(fresh.post("/sign-in", body).text)["reason"] == "wrong_credentials"
