"""The service under load, at odds with the clock, and before its owner: growth, contention, time, errors, and the log."""

import re

import pytest

from tests.attacks.raw import status_of
from tests.attacks.site import Site, at_once
from tests.attacks.steps import page, pending, reset_by
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, signed_in, wrong_code


def test_dos_02_the_log_grows_with_what_changes_and_not_with_what_is_tried(site: Site) -> None:
    partner = site.partner("support", "owner")
    account = f"{partner}-support"
    browsers = [site.browser(ip=f"198.51.100.{number}") for number in range(10)]
    for browser in browsers:
        browser.session()
    before = site.w.store.last_position()
    for number in range(30):  # outsiders: an account that there is, and addresses that there are not
        for email in (address(account), f"nobody{number % 3}-{partner}@mail.example"):
            browsers[number % 10].post("/sign-in", {"email": email, "password": "guess"})
    assert [fact.fact.TOPIC for fact in site.w.store.read(before, 100)] == ["account.sign_in_locked"]
    owner = signed_in(site, f"{partner}-owner")
    before = site.w.store.last_position()
    for _ in range(70):
        reset_by(owner, "nobody")
    assert site.w.store.last_position() - before == 60, "a loop of what is refused is kept for its first hour's share"


def test_dos_02_codes_during_a_lock_leave_no_trace(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    _, key = enrolled(site, account)
    for _ in range(2):
        browser = pending(site, account)
        for _ in range(5):
            browser.post("/sign-in/code", {"code": wrong_code(site, key)})
    before, waiting = len(site.history(account)), pending(site, account)
    assert {waiting.post("/sign-in/code", {"code": "123456"}).status_code for _ in range(20)} == {429}
    assert len(site.history(account)) == before
    assert site.w.tidy() >= 0
    site.clock.advance(days=3)
    assert site.w.tidy() > 0, "counts and sessions that have run out are forgotten"


def test_dos_03_many_wishes_at_once_for_one_account_neither_fail_nor_hold_up_another(site: Site) -> None:
    partner = site.partner("support", "auditor", "owner")
    account = f"{partner}-support"
    browser, _ = enrolled(site, account)
    other, owner = signed_in(site, f"{partner}-auditor"), signed_in(site, f"{partner}-owner")
    wishes = [
        lambda: browser.post("/me/mfa/setup", {}),
        lambda: browser.get("/me/mfa"),
        lambda: browser.get("/me/history"),
        lambda: browser.post("/me/mfa/enable"),
        lambda: owner.get(f"/accounts/{account}/mfa"),
        lambda: other.get("/me/mfa"),
    ]
    answers = at_once(100, lambda n: (n % 6, wishes[n % 6]().status_code))
    assert {status for _, status in answers} <= {200, 409, 429, 503}
    assert {status for wish, status in answers if wish == 5} <= {200, 503}
    assert other.get("/me/mfa").status_code == 200


BOMBS = (
    "a" * 250,
    "a@" + "a-" * 120,
    "a." * 100 + "@x",
    "@" * 250,
    "a@" + "a." * 120 + "!",
    "-" * 250,
    " " * 250,
    "%" * 250,
)


def test_dos_05_no_text_keeps_a_pattern_busy(site: Site) -> None:
    """The slowest answer of a bad pattern would be one that never comes."""
    partner = site.partner("owner")
    browser = site.browser()
    browser.session()
    for bomb in BOMBS:
        assert browser.post("/sign-in", {"email": bomb, "password": "x"}).status_code == 422
        assert browser.post("/unlock/x/confirm", {"secret": bomb}).status_code == 422
    owner = signed_in(site, f"{partner}-owner")
    for bomb in BOMBS:
        assert owner.post("/accounts/x/mfa/reset", {"reason": bomb}).status_code in {404, 422}
        assert owner.get(f"/partners/{partner}/users", q=bomb[:100], cursor=bomb).status_code == 422
    longest = "l" * 64 + "@" + ".".join(["d" * 59] * 3) + ".example"
    line = site.account(f"{partner}-long", partner=partner, role="support", email=longest, name="N" * 200)
    assert site.take({"partner": {"id": partner, "name": "P" * 200, "type": "distributor"}}, line) == []
    person = site.browser()
    person.sign_in(longest, PASSWORD)
    assert "<svg" in person.start_setup()["qr_svg"]
    assert page(person, "GET", "/mfa/setup").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/redoc",
        "/openapi.json",
        "/metrics",
        "/debug",
        "/.env",
        "/server-status",
        "/admin",
        "/static/../web.py",
    ],
)
def test_sec_06_what_is_for_operators_is_not_at_the_public_door(site: Site, path: str) -> None:
    answer = page(site.browser(), "GET", path)
    assert answer.status_code == 404, path
    assert "server" not in answer.headers


def test_sec_06_an_error_says_what_to_do_and_nothing_of_the_inside(site: Site) -> None:
    partner = site.partner("owner")
    owner = signed_in(site, f"{partner}-owner")
    answers = [
        owner.http.request("TRACE", "/session"),
        owner.get(f"/partners/{'x' * 100}/users"),
        owner.get(f"/partners/{'x' * 101}/users"),
        owner.get(f"/partners/{partner}/users", min_position=2**62),
        owner.get(f"/partners/{partner}/users", as_of="9" * 30),
        owner.get(f"/partners/{partner}/users", limit="9" * 5000),
        owner.post("/sign-in", {"email": 1, "password": ["x"]}),
        owner.http.post("/sign-in", content=b"{", headers={"Content-Type": "application/json"}),
        page(owner, "GET", "/no-such-page"),
        page(owner, "POST", "/sign-in", data={"email": "x"}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 504, answer.request.url
        assert not re.search(r"Traceback|psycopg|File \"|SELECT |\.py|uvicorn|starlette|pydantic", answer.text), (
            answer.text
        )
        assert "x" * 90 not in answer.text, "what was entered is not repeated"
    head = "GET /api/v1/session HTTP/1.1\r\nHost: mfa.example\r\n"
    assert status_of(site, f"{head}Content-Length: x\r\n\r\n") == 400
    assert status_of(site, "GET / HTTP/9.9\r\n\r\n") in {400, 505}
    assert b"Traceback" not in site.log.read_bytes()
