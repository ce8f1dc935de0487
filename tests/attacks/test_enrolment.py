"""Setting up: before the code is proved, with another's secret, over and over, and after the phone is replaced."""

import pytest

from tests.attacks import walk
from tests.attacks.site import Site, at_once
from tests.attacks.steps import pending, reset_by
from tests.directory import PASSWORD, address
from tests.flows.steps import confirm, enrolled, give_code, next_code, reason, signed_in, wrong_code
from tests.phone import code_at

STEP_UP = (403, "step_up_required")


@pytest.fixture
def account(site: Site) -> str:
    return f"{site.partner('support')}-support"


def test_enr_01_a_factor_is_replaced_by_nobody_who_has_not_proved_it(site: Site, account: str) -> None:
    _, key = enrolled(site, account)
    waiting, before = pending(site, account), site.topics(account)
    for path in ("setup", "setup/confirm", "setup/mail", "disable", "enable", "reset"):
        answer = waiting.post(f"/me/mfa/{path}", {"code": next_code(site, key)} if path == "setup/confirm" else {})
        assert reason(answer) == (403, "mfa_code_required"), path
    assert site.topics(account) == before
    assert give_code(site, waiting, key).status_code == 200


def test_enr_02_the_secret_is_the_services_own(site: Site, account: str) -> None:
    browser = signed_in(site, account)
    theirs = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    for more in ({"secret": theirs}, {"setup_key": theirs}, {"otpauth_uri": f"otpauth://totp/x?secret={theirs}"}):
        assert reason(browser.post("/me/mfa/setup", more)) == (422, "bad_input")
    key = browser.start_setup()["setup_key"]
    assert key != theirs
    code = code_at(theirs, site.clock.now().timestamp())
    for more in ({"secret": theirs}, {"setup_id": "x"}, {"secret_ref": "x"}, {"account_id": account}):
        assert reason(browser.post("/me/mfa/setup/confirm", {"code": code} | more)) == (422, "bad_input")
    assert reason(browser.post("/me/mfa/setup/confirm", {"code": code})) == (401, "code_not_accepted")
    assert confirm(site, browser, key).status_code == 200


def test_enr_04_a_stolen_session_changes_no_factor_without_the_password(site: Site, account: str) -> None:
    stolen = signed_in(site, account)
    site.clock.advance(minutes=16)
    assert reason(stolen.post("/me/mfa/setup", {})) == STEP_UP
    assert reason(stolen.post("/session/step-up", {"password": "guess"})) == (401, "wrong_password")
    assert reason(stolen.post("/me/mfa/setup", {})) == STEP_UP
    person = signed_in(site, account)
    site.clock.advance(minutes=16)
    assert person.post("/session/step-up", {"password": PASSWORD}).status_code == 200
    assert reason(stolen.post("/me/mfa/setup", {})) == STEP_UP, "it is stepped up in that session alone"
    site.clock.advance(minutes=4)
    key = person.start_setup()["setup_key"]
    assert confirm(site, person, key).status_code == 200


def test_enr_04_what_was_opened_by_the_password_shuts_after_five_minutes(site: Site, account: str) -> None:
    browser, key = enrolled(site, account)
    site.clock.advance(minutes=16)
    for path in ("setup", "disable"):
        assert reason(browser.post(f"/me/mfa/{path}", {})) == STEP_UP
    without = browser.post("/session/step-up", {"password": PASSWORD})
    assert reason(without) == (401, "code_needed"), "the code too, where there is one"
    body = {"password": PASSWORD, "code": next_code(site, key)}
    assert browser.post("/session/step-up", body).status_code == 200
    site.clock.advance(minutes=5, seconds=1)
    assert reason(browser.post("/me/mfa/disable")) == STEP_UP
    assert reason(browser.post("/me/mfa/reset", {"password": "guess"})) == (401, "wrong_password")


def test_enr_05_no_way_around_clears_a_factor(site: Site, account: str) -> None:
    browser, key = enrolled(site, account)
    site.clock.advance(minutes=16)
    before = site.topics(account)
    paths = {route.path for route in walk.routes(site) if "/me" in route.path or "mfa" in route.path}
    for path in paths:
        for method in ("PUT", "PATCH", "DELETE"):
            url = f"{browser.origin}{walk.Route(method, path, is_page=False).at('none', account)}"
            sent = {"X-CSRF-Token": browser.csrf, "Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
            answer = browser.http.request(method, url, json={"mfa": None, "factor": "none"}, headers=sent)
            assert answer.status_code in {403, 404, 405, 422}, (method, path)
    for body in ({"mfa": None}, {"factor": "none"}, {"mailed_token": None, "required": False}):
        assert browser.post("/me/mfa/setup", body).status_code == 422
    assert reason(browser.post("/me/mfa/disable", {"required": False})) == STEP_UP
    assert site.topics(account) == before
    assert give_code(site, pending(site, account), key).status_code == 200


def test_enr_06_a_set_up_belongs_to_one_sign_in_for_ten_minutes_and_once(site: Site, account: str) -> None:
    mine, other = signed_in(site, account), signed_in(site, account)
    first = mine.start_setup()["setup_key"]
    assert reason(confirm(site, other, first)) == (409, "no_setup")
    theirs = other.start_setup()["setup_key"]
    assert reason(confirm(site, mine, first)) == (409, "no_setup"), "one open set-up for an account"
    assert len(site.w.database.all("SELECT FROM secret WHERE account_id = %s", (account,))) == 1
    site.clock.advance(minutes=10, seconds=1)
    assert reason(confirm(site, other, theirs)) == (409, "setup_expired")
    other.sign_in(address(account), PASSWORD)
    older = other.start_setup()["setup_key"]
    newer = other.start_setup()["setup_key"]
    assert reason(confirm(site, other, older)) == (401, "code_not_accepted")
    code = next_code(site, newer)
    assert other.post("/me/mfa/setup/confirm", {"code": code}).status_code == 200
    assert reason(other.post("/me/mfa/setup/confirm", {"code": code})) == (409, "no_setup")


def test_enr_07_codes_of_a_set_up_are_counted_over_all_its_beginnings(site: Site, account: str) -> None:
    judged = 0
    for _ in range(4):
        browser = site.browser()
        browser.sign_in(address(account), PASSWORD)
        started = browser.post("/me/mfa/setup", {})
        if started.status_code != 200:
            assert reason(started) == (429, "codes_locked")
            break
        wrong = {"code": wrong_code(site, started.json()["setup_key"])}
        answers = at_once(25, lambda _, b=browser, w=wrong: b.post("/me/mfa/setup/confirm", w).status_code)  # type: ignore[misc]
        assert set(answers) <= {401, 403, 409, 429, 503}
        failed = site.topics(account).count("verification_failed")
        assert failed - judged <= 5
        judged = failed
    assert judged == 10
    assert "locked" in site.topics(account)


def test_enr_08_a_secret_is_shown_once_and_to_nobody_else(site: Site) -> None:
    partner = site.partner("owner", "support")
    account = f"{partner}-support"
    browser = signed_in(site, account)
    answer = browser.post("/me/mfa/setup", {})
    key, uri = answer.json()["setup_key"], answer.json()["otpauth_uri"]
    assert answer.headers["cache-control"] == "no-store"
    assert confirm(site, browser, key).status_code == 200
    owner = signed_in(site, f"{partner}-owner")
    for route in walk.routes(site):
        if route.method == "GET":
            for who in (browser, owner):
                seen = walk.ask(who, "GET", route.at(partner, account))
                assert key not in seen.text.replace(" ", ""), route.name
                assert uri not in seen.text, route.name
                assert "otpauth" not in seen.text or "openapi" in route.path, route.name
                assert seen.headers["cache-control"] == "no-store"


def test_enr_11_the_old_authenticator_ends_with_the_new_one(site: Site) -> None:
    partner = site.partner("owner", "support")
    account = f"{partner}-support"
    person, old = enrolled(site, account)
    device = dict(person.http.cookies)["__Host-watchword-device"]
    assert reset_by(signed_in(site, f"{partner}-owner"), account).status_code == 200
    mails = site.mails(account)
    token = mails[-1].text.partition("#")[2].split()[0]
    browser = site.browser()
    browser.sign_in(address(account), PASSWORD)
    new = browser.start_setup(token)["setup_key"]
    assert confirm(site, browser, new).status_code == 200
    waiting = site.browser()
    waiting.http.cookies.set("__Host-watchword-device", device, domain="mfa.example", path="/")
    assert waiting.sign_in(address(account), PASSWORD)["state"] == "mfa_code_required", "no device spares the code"
    assert reason(give_code(site, waiting, old)) == (401, "code_not_accepted")
    assert give_code(site, waiting, new).status_code == 200
    assert len(site.w.database.all("SELECT FROM secret WHERE account_id = %s", (account,))) == 1


def test_enr_12_one_of_twenty_confirmations_at_once_activates(site: Site, account: str) -> None:
    browser = signed_in(site, account)
    code = next_code(site, browser.start_setup()["setup_key"])
    answers = at_once(20, lambda _: browser.post("/me/mfa/setup/confirm", {"code": code}).status_code)
    assert answers.count(200) == 1
    assert set(answers) <= {200, 401, 403, 409, 503}
    assert site.topics(account).count("verified") == 1
    assert pending(site, account).session()["state"] == "mfa_code_required"
