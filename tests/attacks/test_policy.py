"""What a partner demands: switched around, raced, taken back, and changed from somebody else's page."""

from collections import Counter

import pytest

from tests.attacks import walk
from tests.attacks.site import Site, at_once
from tests.attacks.steps import ask_reset, confirm_reset, page, pending, signed_in_by_code
from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, enrolled, give_code, reason, signed_in
from tests.phone import code_at
from tests.portal import Browser


def test_pol_02_where_it_is_enforced_nobody_switches_it_off(site: Site) -> None:
    partner = site.partner("owner", "support")
    account = f"{partner}-support"
    browser, key = enrolled(site, account)
    assert enforce(signed_in(site, f"{partner}-owner"), partner, users=True).status_code == 200
    before = site.topics(account)
    assert reason(browser.post("/me/mfa/disable")) == (403, "enforced_by_partner")
    assert page(browser, "POST", "/security-settings/disable").status_code == 403
    for method in ("PATCH", "DELETE", "PUT"):
        assert browser.send(method, "/me/mfa", {"factor": "none"}).status_code == 405
    assert site.topics(account) == before
    assert confirm_reset(browser, ask_reset(site, browser, account)).status_code == 200
    for _ in range(2):
        assert browser.sign_in(address(account), PASSWORD)["state"] == "mfa_setup_required"
        assert reason(browser.post("/me/mfa/disable")) == (403, "enforced_by_partner")
        assert page(browser, "POST", "/security-settings/disable").status_code == 403
        assert page(browser, "GET", "/user-management").status_code in {303, 403}
        assert reason(browser.get("/me/mfa")) == (403, "mfa_setup_required"), "the set-up cannot be skipped"
    assert give_code(site, browser, key).status_code == 403, "the old authenticator opens nothing"


PEOPLE, ROUNDS = 20, 10


@pytest.mark.timeout(400)
def test_pol_02_in_two_hundred_races_of_enforcing_and_switching_off_each_has_one_order(site: Site) -> None:
    """Whoever switched off did so before it was enforced: the log shows no switching-off behind the enforcement."""
    partner = site.partner("owner", *(f"support{n}" for n in range(PEOPLE)))
    owner, *people = (signed_in(site, f"{partner}-{who}") for who in ("owner", *(f"support{n}" for n in range(PEOPLE))))
    for browser in people:
        _set_up(site, browser)
    outcomes: Counter[str] = Counter()
    for number in range(ROUNDS):
        statuses = _race(owner, partner, people, place=2 * number)
        enforced = site.history(partner, "partner_policy")[-1]
        assert enforced.fact.TOPIC == "partner_policy.enforced"
        for who, status in enumerate(statuses):
            last = site.history(f"{partner}-support{who}")[-1]
            outcomes[last.fact.TOPIC] += 1
            assert last.fact.TOPIC in {"user_mfa.disabled", "user_mfa.verified"}
            off = last.fact.TOPIC == "user_mfa.disabled"
            assert not off or last.position < enforced.position, "either it was not enforced yet, or the factor stays"
            assert status in ({200, 303} if off else {403, 503}), last.fact.TOPIC
        assert enforce(owner, partner).status_code == 200
        site.clock.advance(seconds=30)
        for browser in people:
            browser.session()
            if browser.get("/me/mfa").json()["factor"] == "none":
                _set_up(site, browser)
    assert sum(outcomes.values()) == 200
    assert len(outcomes) == 2, "both orders came about"


def _race(owner: Browser, partner: str, people: list[Browser], place: int) -> list[int]:
    """Let all switch off, by API and page in turn, while in `place` among them it is enforced; return their answers."""

    def work(number: int) -> int:
        if number == place:
            return enforce(owner, partner, users=True).status_code
        who = number - (number > place)
        if who % 2:
            return page(people[who], "POST", "/security-settings/disable").status_code
        return people[who].post("/me/mfa/disable").status_code

    found = at_once(len(people) + 1, lambda number: (number, work(number)), threads=6)
    answers = [status for _, status in sorted(found)]
    assert answers.pop(place) == 200
    return answers


def _set_up(site: Site, browser: Browser) -> None:
    key: str = browser.start_setup()["setup_key"]
    code = code_at(key, site.clock.now().timestamp())
    assert browser.post("/me/mfa/setup/confirm", {"code": code}).status_code == 200


def test_pol_03_of_two_changes_of_one_version_one_is_refused(site: Site) -> None:
    partner = site.partner("owner", "admin")
    path = f"/partners/{partner}/mfa-policy"
    people = [signed_in(site, f"{partner}-{who}") for who in ("owner", "admin")]
    for number in range(10):
        version = people[0].get(path, min_position=site.caught_up()).headers["etag"]

        def work(who: int, version: str = version, number: int = number) -> int:
            body = {"enforce_partner_users": number % 2 == 0, "enforce_organizations": who == number // 2 % 2}
            return people[who].put(path, body, If_Match=version).status_code

        answers = at_once(2, work, threads=2)
        assert 200 in answers
        assert set(answers) <= {200, 412}
    now = people[0].get(path, min_position=site.caught_up()).json()
    on: set[str] = set()
    for each in site.history(partner, "partner_policy"):
        population = str(each.fact.model_dump(mode="json")["population"])
        on = on | {population} if each.fact.TOPIC.endswith(".enforced") else on - {population}
    assert {"partner_users": now["enforce_partner_users"], "organizations": now["enforce_organizations"]} == {
        name: name in on for name in ("partner_users", "organizations")
    }
    body = {"enforce_partner_users": True, "enforce_organizations": True}
    assert reason(people[0].put(path, body, If_Match='"0"')) == (412, "policy_changed_meanwhile"), "an old request"


def test_pol_04_taking_enforcement_back_opens_no_sign_in(site: Site) -> None:
    partner = site.partner("owner", "support", "auditor")
    _, key = enrolled(site, f"{partner}-support")
    owner = signed_in(site, f"{partner}-owner")
    assert enforce(owner, partner, users=True).status_code == 200
    waiting = pending(site, f"{partner}-support")
    setting_up = site.browser()
    assert setting_up.sign_in(address(f"{partner}-auditor"), PASSWORD)["state"] == "mfa_setup_required"
    full = signed_in_by_code(site, f"{partner}-support", key)
    assert enforce(owner, partner).status_code == 200
    assert waiting.session()["state"] == "mfa_code_required"
    assert setting_up.session()["state"] == "mfa_setup_required"
    assert reason(setting_up.get("/me/mfa")) == (403, "mfa_setup_required")
    assert full.get("/me/mfa").json()["factor"] == "active"
    assert pending(site, f"{partner}-support").session()["state"] == "mfa_code_required"
    assert setting_up.sign_in(address(f"{partner}-auditor"), PASSWORD)["state"] == "signed_in"
    assert give_code(site, waiting, key).status_code == 200


FOREIGN = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://other.mfa.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "https://mfa.example.evil.example"},
    {"Origin": "http://mfa.example"},
)
BODIES = (
    ("application/x-www-form-urlencoded", b"enforce_partner_users=true"),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nx\r\n--x--'),
    ("text/plain", b'{"enforce_partner_users": true, "enforce_organizations": true}'),
    ("application/json", b'{"enforce_partner_users": true, "enforce_organizations": true}'),
)


def unsafe(site: Site, partner: str) -> list[tuple[str, str]]:
    return [
        (route.method, route.at(partner, f"{partner}-support"))
        for route in walk.routes(site)
        if route.method not in {"GET", "HEAD", "OPTIONS"}
    ]


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: " ".join(headers.values()))
def test_pol_05_another_sites_page_changes_nothing(site: Site, headers: dict[str, str]) -> None:
    """Every unsafe route, with the signed-in browser's cookie and even its CSRF token, in every shape that a form can send."""
    partner = site.partner("owner", "support")
    owner = signed_in(site, f"{partner}-owner")
    before = site.w.store.last_position()
    for method, path in unsafe(site, partner):
        for kind, body in BODIES:
            sent = headers | {"Content-Type": kind, "X-CSRF-Token": owner.csrf}
            answer = owner.http.request(method, f"{owner.origin}{path}", content=body, headers=sent)
            assert answer.status_code == 403 or _refused_before(answer.status_code, path), (method, path, kind)
    assert site.w.store.last_position() == before
    assert owner.session()["state"] == "signed_in"


def _refused_before(status: int, path: str) -> bool:
    """Say whether it is a JSON door that found the body's shape wrong, or the sign-in page that leads back to itself.

    Or a provider's call that a token of its own has to prove: no cookie counts there.
    """
    if path.startswith("/sso/logout/"):
        return status == 400
    return (status == 422 and path.startswith("/api/")) or (status == 303 and path == "/sign-in")


def test_pol_05_the_token_of_another_session_is_none(site: Site) -> None:
    partner = site.partner("owner", "admin", "support")
    owner, other = signed_in(site, f"{partner}-owner"), signed_in(site, f"{partner}-admin")
    body = {"enforce_partner_users": True, "enforce_organizations": True}
    before = site.w.store.last_position()
    for token in (other.csrf, "", "x", owner.csrf[:-1]):
        answer = owner.put(f"/partners/{partner}/mfa-policy", body, X_CSRF_Token=token)
        assert reason(answer) == (403, "cross_site")
    for path in ("/security-settings", "/user-management", "/sign-in", "/mfa/setup"):
        shown = page(owner, "GET", path).headers
        assert "frame-ancestors 'none'" in shown["content-security-policy"]
    assert site.w.store.last_position() == before


def test_pol_05_a_request_that_only_reads_changes_nothing(site: Site) -> None:
    partner = site.partner("owner", "support")
    owner = signed_in(site, f"{partner}-owner")
    before = site.w.store.last_position()

    def ask(browser: Browser, path: str) -> int:
        sent = {"X-HTTP-Method-Override": "POST", "X-CSRF-Token": browser.csrf}
        url = f"{browser.origin}{path}?_method=POST&enforce_partner_users=true&csrf_token={browser.csrf}"
        return browser.http.get(url, headers=sent).status_code

    for _, path in unsafe(site, partner):
        assert ask(owner, path) in {200, 303, 404, 405, 410, 422}, path
    mine = {"audit.read"}
    assert {fact.fact.TOPIC for fact in site.w.store.read(before, 100)} <= mine
