"""Sessions: fixed, stolen, left open, shared, and ended by what has to end them."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from handlers.directory import set_disabled, set_password
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
from tests.flows.steps import confirm, enforce, enrolled, give_code, next_code, reason, signed_in, step_up
from tests.portal import Browser


def test_ses_01_a_token_from_before_a_step_is_dead_after_it(site: Site) -> None:
    """Before the password, before the choice, before the code, before the password is given again."""
    account, other = f"{site.partner('admin')}-admin", site.partner()
    site.take(site.account(f"{other}-admin", email=address(account), partner=other, role="admin"))
    first = site.browser()
    first.sign_in(address(account), PASSWORD, account)
    key = first.start_setup()["setup_key"]
    confirm(site, first, key)
    browser, seen = site.browser(), []
    browser.session()
    seen.append(token_of(browser))
    browser.post("/sign-in", {"email": address(account), "password": PASSWORD})
    seen.append(token_of(browser))
    browser.post("/sign-in/account", {"account_id": account})
    seen.append(token_of(browser))
    assert give_code(site, browser, key).json()["state"] == "signed_in"
    seen.append(token_of(browser))
    step_up(site, browser, key)
    assert len({*seen, token_of(browser)}) == 5
    for old in seen:
        assert with_cookie(site, "/session", old).json()["state"] == "anonymous"
    assert browser.get("/me/mfa").status_code == 200


def test_ses_01_a_token_that_the_service_did_not_make_becomes_nobodys_session(site: Site) -> None:
    account = f"{site.partner('admin')}-admin"
    browser = site.browser()
    made_up = "A" * 43
    browser.http.cookies.set(COOKIE, made_up, domain="mfa.example", path="/")
    browser.session()
    assert made_up not in {cookie.value for cookie in browser.http.cookies.jar}
    browser.sign_in(address(account), PASSWORD)
    assert with_cookie(site, "/session", made_up).json()["state"] == "anonymous"
    for path in (f"/sign-in?sid={made_up}", f"/sign-in?{COOKIE}={made_up}"):
        answer = page(site.browser(), "GET", path)
        assert made_up not in answer.headers["set-cookie"]


@dataclass
class Table:
    """Two sign-ins of one account, one that still owes its code, the mailed link of a reset, and who changes what."""

    site: Site
    partner: str
    mine: Browser
    key: str
    owner: Browser
    link: tuple[str, str]

    @property
    def account(self) -> str:
        return f"{self.partner}-support"

    def line(self, **more: str) -> None:
        line = self.site.account(self.account, **({"partner": self.partner, "role": "support"} | more))
        del line["account"]["password"]
        assert self.site.take(line) == []

    @property
    def origin(self) -> Origin:
        s = self.site.w.sockets
        return Origin("operator", s.chance.new_id(), s.clock.now())

    def policy(self, **wanted: bool) -> None:
        body = {"enforce_partner_users": True, "enforce_organizations": False} | wanted
        assert self.owner.put(f"/partners/{self.partner}/mfa-policy", body).status_code == 200


def set_up_again(t: Table) -> None:
    new = t.mine.start_setup()["setup_key"]
    assert confirm(t.site, t.mine, new).status_code == 200


def enforced_and_lifted(t: Table) -> None:
    t.policy()
    t.policy(enforce_partner_users=False)


# For each change: whether the acting session, the other ones, the shared secret, and the open link outlive it.
CHANGES: dict[str, tuple[Callable[[Table], object], tuple[bool, bool, bool, bool]]] = {
    "set-up confirmed": (set_up_again, (True, False, True, False)),
    "switched off": (lambda t: t.mine.post("/me/mfa/disable"), (True, False, False, False)),
    "own reset confirmed": (lambda t: confirm_reset(t.mine, t.link), (False, False, False, False)),
    "administrator's reset": (lambda t: reset_by(t.owner, t.account), (False, False, False, False)),
    "password changed": (
        lambda t: set_password(t.account, PASSWORD, t.origin, t.site.w.sockets),
        (False, False, True, False),
    ),
    "role changed": (lambda t: t.line(role="auditor"), (False, False, True, False)),
    "address changed": (lambda t: t.line(email=f"new-{address(t.account)}"), (False, False, True, False)),
    "account disabled": (
        lambda t: set_disabled(t.account, disabled=True, origin=t.origin, s=t.site.w.sockets),
        (False, False, True, False),
    ),
    "everyone signed out": (lambda t: t.policy(sign_everyone_out=True), (False, False, True, True)),
    "enforced and lifted": (enforced_and_lifted, (True, True, True, True)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_ses_02_a_security_change_ends_what_it_has_to_end(site: Site, change: str) -> None:
    partner = site.partner("owner", "support")
    account = f"{partner}-support"
    mine, key = enrolled(site, account)
    other, waiting = signed_in_by_code(site, account, key), pending(site, account)
    table = Table(site, partner, mine, key, signed_in(site, f"{partner}-owner"), ask_reset(site, mine, account))
    before = token_of(mine)
    wish, (stays, others_stay, secret_stays, link_stays) = CHANGES[change]
    wish(table)
    assert ended(mine, other) == [not stays, not others_stay]
    assert (waiting.session()["state"] == "mfa_code_required") is others_stay
    if stays and not others_stay:
        assert token_of(mine) != before, "under a new token"
        assert with_cookie(site, "/me/mfa", before).status_code == 401
    secrets = site.w.database.all("SELECT FROM secret WHERE account_id = %s", (account,))
    assert len(secrets) == int(secret_stays)
    assert (confirm_reset(site.browser(), table.link).status_code == 200) is link_stays


def test_ses_02_a_service_token_is_dead_with_its_revocation(site: Site) -> None:
    partner = site.partner("support")
    browser = site.browser(headers={"Authorization": f"Bearer {site.w.tokens.create(partner, ['read'], partner)}"})
    for path in (f"/partners/{partner}/users",):
        assert browser.get(path).status_code == 200
        site.w.tokens.revoke(partner)
        assert [reason(browser.get(path)) for _ in site.ports] == [(401, "session_ended")] * 2


def test_ses_03_signing_out_ends_the_session_in_the_service(site: Site) -> None:
    account = f"{site.partner('admin')}-admin"
    browser = signed_in(site, account)
    token, csrf = token_of(browser), browser.csrf

    def work(number: int) -> tuple[int, str]:
        if number == 10:
            answer = browser.send("DELETE", "/session")
            return answer.status_code, answer.headers["clear-site-data"]
        return with_cookie(site, "/me/mfa", token).status_code, ""

    answers = at_once(20, work)
    assert {status for status, _ in answers} <= {200, 204, 401}
    assert '"cache", "storage"' in {said for _, said in answers}
    assert reason(with_cookie(site, "/me/mfa", token)) == (401, "session_ended")
    again = site.browser(headers={"Cookie": f"{COOKIE}={token}"})
    assert reason(again.post("/me/mfa/enable", None, X_CSRF_Token=csrf)) == (401, "session_ended")
    assert page(again, "GET", "/security-settings").headers["location"] == "/sign-in"


def test_ses_05_nothing_that_a_waiting_sign_in_is_given_opens_anything(site: Site) -> None:
    account = f"{site.partner('admin')}-admin"
    _, key = enrolled(site, account)
    browser = site.browser()
    browser.session()
    answer = browser.post("/sign-in", {"email": address(account), "password": PASSWORD})
    values = {token_of(browser), browser.csrf, *answer.headers.values()}
    values |= {str(value) for value in (answer.json() | answer.json()["account"]).values()}
    values |= {cookie.value or "" for cookie in browser.http.cookies.jar}
    for value in values:
        if len(value) > 20 and value.isascii() and value.isprintable():
            assert with_cookie(site, "/me/mfa", value).status_code in {401, 403}
            bearer = site.browser().http.get("/me/mfa", headers={"Authorization": f"Bearer {value}"})
            assert bearer.status_code == 401
    waiting = token_of(browser)
    assert give_code(site, browser, key).status_code == 200
    assert with_cookie(site, "/session", waiting).json()["state"] == "anonymous"


def test_ses_06_the_cookie_is_bound_to_the_host_and_kept_from_scripts_and_addresses(site: Site) -> None:
    account = f"{site.partner('admin')}-admin"
    browser = site.browser()
    browser.session()
    answer = browser.post("/sign-in", {"email": address(account), "password": PASSWORD})
    cookies = answer.headers.get_list("set-cookie")
    assert sorted(cookie.partition("=")[0] for cookie in cookies) == [COOKIE, f"{COOKIE}-device"]
    for cookie in cookies:
        words = {word.strip().lower() for word in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= words
        assert not any(word.startswith("domain") for word in words)
    token = token_of(browser)
    assert len(token) >= 43, "256 bits"
    for path in ("/", "/security-settings", "/user-management"):
        assert token not in page(browser, "GET", path).text
    hashed = [bytes(row["token_hash"]) for row in site.w.database.all("SELECT token_hash FROM session")]
    assert all(token.encode() not in each and len(each) == 32 for each in hashed)
    assert "max-age=63072000" in answer.headers["strict-transport-security"]


def test_ses_07_the_next_person_at_a_shared_browser_finds_nothing_of_the_one_before(site: Site) -> None:
    partner = site.partner("admin", "support")
    enrolled(site, f"{partner}-admin")
    _, key = enrolled(site, f"{partner}-support")
    browser = pending(site, f"{partner}-admin")
    first, csrf = token_of(browser), browser.csrf
    browser.post("/sign-in", {"email": address(f"{partner}-support"), "password": PASSWORD})
    assert browser.session()["account"]["account_id"] == f"{partner}-support"
    stale = browser.post("/sign-in/code", {"code": next_code(site, key)}, X_CSRF_Token=csrf)
    assert reason(stale) == (403, "cross_site"), "a form of the one before"
    assert give_code(site, browser, key).json()["account"]["account_id"] == f"{partner}-support"
    assert with_cookie(site, "/session", first).json()["state"] == "anonymous"
    browser.http.cookies.delete(COOKIE)
    browser.session()
    answer = browser.post("/sign-in/code", {"code": next_code(site, key)})
    assert reason(answer) == (401, "session_ended")
    assert enforce(browser, partner).status_code == 401
