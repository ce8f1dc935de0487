"""Resets: the link used twice, prefetched, poisoned, leaked, flooded; and what it must not do."""

import itertools
import re

from api.frame.files import STATIC
from tests.attacks import walk
from tests.attacks.raw import status_of
from tests.attacks.site import COOKIE, PUBLIC_URL, Site, at_once
from tests.attacks.steps import (
    ask_reset,
    confirm_reset,
    ended,
    newest_link,
    page,
    pending,
    reset_by,
    signed_in_by_code,
    token_of,
)
from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, enrolled, give_code, reason, set_up, signed_in

GONE = (410, "link_refused")


def person(site: Site) -> str:
    return f"{site.partner('support')}-support"


def test_rst_01_a_link_works_once_over_browsers_processes_and_a_new_set_up(site: Site) -> None:
    account = person(site)
    browser, _ = enrolled(site, account)
    older = ask_reset(site, browser, account)
    link = ask_reset(site, browser, account)
    assert reason(confirm_reset(site.browser(), older)) == GONE, "the newest alone"
    assert confirm_reset(site.browser(), link).status_code == 200
    assert reason(confirm_reset(site.browser(), link)) == GONE
    site.restart()
    assert reason(confirm_reset(site.browser(), link)) == GONE
    again = site.browser()
    again.sign_in(address(account), PASSWORD)
    key = set_up(site, again)
    assert reason(confirm_reset(again, link)) == GONE
    assert give_code(site, pending(site, account), key).status_code == 200, "the new authenticator is untouched"


def test_rst_01_of_fifty_confirmations_at_once_one_has_an_effect(site: Site) -> None:
    account = person(site)
    browser, _ = enrolled(site, account)
    link = ask_reset(site, browser, account)
    waiting = [pending(site, account) for _ in range(10)]

    def work(number: int) -> int:
        return waiting[number % 10].post(f"/reset/{link[0]}/confirm", {"secret": link[1]}).status_code

    answers = at_once(50, work)
    assert set(answers) <= {200, 401, 403, 410, 503}
    assert answers.count(200) == site.topics(account).count("reset_confirmed") == 1
    assert reason(confirm_reset(site.browser(ip="192.0.2.9"), link)) == GONE


def test_rst_04_a_scanner_that_opens_the_link_changes_nothing(site: Site) -> None:
    """With every method that reads, and with the form that it finds posted as it stands."""
    account = person(site)
    browser, _ = enrolled(site, account)
    link, secret = ask_reset(site, browser, account)
    scanner, before = site.browser(headers={"User-Agent": "Mail scanner"}), site.w.store.last_position()
    for _ in range(5):
        for method in ("GET", "HEAD", "OPTIONS"):
            assert page(scanner, method, f"/reset/{link}").status_code in {200, 405}
    form = page(scanner, "GET", f"/reset/{link}").text
    fields = dict(re.findall(r'name="(csrf_token)" value="([^"]*)"', form))
    assert fields["csrf_token"]
    assert secret not in form
    for more in ({}, {"secret": secret}):  # one that runs scripts knows what stands behind the #, but no password
        answer = page(scanner, "POST", f"/reset/{link}", data=fields | more)
        assert answer.status_code in {401, 410, 422}
    assert site.w.store.last_position() == before
    assert confirm_reset(browser, (link, secret)).status_code == 200


def test_rst_05_the_link_names_the_host_that_the_operator_chose(site: Site) -> None:
    account = person(site)
    browser, _ = enrolled(site, account)
    body = {"password": PASSWORD}
    for host in (
        "evil.example",
        "mfa.example.evil.example",
        "mfa.example@evil.example",
        "mfa.example:8080",
        "",
        "MFA.example.",
    ):
        answer = browser.post("/me/mfa/reset", body, Host=host)
        assert (answer.status_code, answer.json()["reason"]) == (421, "unknown_host"), host
    for name in ("X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-Host", "X-Forwarded-Server"):
        value = "host=evil.example" if name == "Forwarded" else "evil.example"
        assert browser.post("/me/mfa/reset", body, **{name: value}).status_code == 202
    sent = f"Cookie: {COOKIE}={token_of(browser)}\r\nOrigin: {PUBLIC_URL}\r\nX-CSRF-Token: {browser.csrf}\r\n"
    rest = f'{sent}Content-Type: application/json\r\nContent-Length: {len(PASSWORD) + 15}\r\n\r\n{{"password": "{PASSWORD}"}}'
    path = "/api/v1/me/mfa/reset"
    for head in (
        f"POST {path} HTTP/1.1\r\nHost: mfa.example\r\nHost: evil.example\r\n",
        f"POST http://evil.example{path} HTTP/1.1\r\nHost: evil.example\r\n",
        f"POST {path} HTTP/1.0\r\n",
    ):
        assert status_of(site, head + rest) in {400, 421}, head
    mails = [mail for mail in site.mails(account) if mail.kind == "reset_requested"]
    assert mails
    for mail in mails:
        assert "evil" not in mail.text + mail.html
        assert f"{PUBLIC_URL}/reset/" in mail.text


def test_rst_06_the_links_secret_leaves_no_trace_on_its_way(site: Site) -> None:
    account = person(site)
    browser, _ = enrolled(site, account)
    link, secret = ask_reset(site, browser, account)
    answer = page(browser, "GET", f"/reset/{link}")
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    named = re.findall(r'(?:src|href|action)="([^"]*)"', answer.text)
    assert [each for each in named if each.startswith(("http", "//")) and not each.startswith(PUBLIC_URL)] == []
    assert "history.replaceState" in browser.http.get(f"{PUBLIC_URL}{STATIC}/app.js").text, "the address bar is cleared"
    confirm_reset(browser, (link, secret))
    assert secret not in site.log.read_text(errors="replace")
    for table in ("stored_events", "mail_queue", "mailed_link"):
        rows = site.w.database.all(f"SELECT t::text AS row, to_jsonb(t)::text AS json FROM {table} t")  # noqa: S608 our own
        assert secret not in str(rows), table
    facts = [each.fact.model_dump_json() for each in site.w.store.read(0, 100_000)]
    assert secret not in "".join(facts)


def test_rst_08_neither_the_mailbox_nor_the_password_alone_resets(site: Site) -> None:
    account = person(site)
    browser, key = enrolled(site, account)
    link = ask_reset(site, browser, account)
    mailbox = site.browser()
    assert reason(confirm_reset(mailbox, link, password=None)) == (401, "password_needed")
    assert reason(confirm_reset(mailbox, link, password="guess")) == (401, "wrong_password")
    assert reason(mailbox.post("/me/mfa/reset", {"password": PASSWORD})) == (401, "session_ended")
    password = pending(site, account)
    assert reason(password.post("/me/mfa/reset", {"password": PASSWORD})) == (403, "mfa_code_required")
    assert reason(confirm_reset(password, (link[0], "guess"))) == GONE
    assert give_code(site, pending(site, account), key).status_code == 200


def test_rst_09_a_confirmed_reset_ends_every_session_and_opens_none(site: Site) -> None:
    account = person(site)
    browser, key = enrolled(site, account)
    other = signed_in_by_code(site, account, key)
    link = ask_reset(site, browser, account)
    answer = page(browser, "POST", f"/reset/{link[0]}", data={"secret": link[1]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert ended(browser, other) == [True, True]
    assert page(browser, "GET", "/").headers["location"] == "/sign-in"


def test_rst_10_until_it_is_confirmed_nothing_changes(site: Site) -> None:
    account = person(site)
    stolen, key = enrolled(site, account)
    answers = [stolen.post("/me/mfa/reset", {"password": PASSWORD}) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {202}
    assert {tuple(answer.json()) for answer in answers} == {("position",)}
    assert site.kinds(account).count("reset_requested") == 3
    assert give_code(site, pending(site, account), key).status_code == 200


def test_rst_11_nobody_floods_a_mailbox(site: Site) -> None:
    partner = site.partner("owner", "support")
    account = f"{partner}-support"
    browser, _ = enrolled(site, account)
    sent = []
    for _ in range(5):
        for _ in range(6):
            browser.post("/me/mfa/reset", {"password": PASSWORD})
        site.clock.advance(minutes=20)
        assert browser.get("/me/mfa").status_code == 200
        site.clock.advance(minutes=20)
        sent.append(site.kinds(account).count("reset_requested"))
        assert browser.get("/me/mfa").status_code == 200
    assert sent[-1] <= 10, "ten a day"
    assert all(later - sooner <= 3 for sooner, later in itertools.pairwise(sent)), "three an hour"
    owner = signed_in(site, f"{partner}-owner")
    answers = [reset_by(owner, account).status_code for _ in range(5)]
    assert answers == [200] * 3 + [429] * 2, "three administrators' resets of one person an hour"
    answers = [owner.post(f"/accounts/{account}/mfa/reset/mail").status_code for _ in range(12)]
    assert set(answers) <= {202, 429}
    assert answers.count(202) <= 3


def test_rst_12_where_it_is_enforced_a_reset_leads_to_a_new_set_up_only(site: Site) -> None:
    partner = site.partner("owner", "support")
    account = f"{partner}-support"
    browser, _ = enrolled(site, account)
    assert enforce(signed_in(site, f"{partner}-owner"), partner, users=True).status_code == 200
    assert confirm_reset(browser, ask_reset(site, browser, account)).status_code == 200
    assert browser.sign_in(address(account), PASSWORD)["state"] == "mfa_setup_required"
    for route in walk.routes(site):
        if not route.open_to("mfa_setup_required"):
            answer = walk.ask(browser, route.method, route.at(partner, account))
            assert answer.status_code in {303, 403}, route.name
    assert reason(browser.post("/me/mfa/disable")) == (403, "enforced_by_partner")
    left = page(browser, "POST", "/mfa/setup/leave")
    assert left.status_code == 403
    assert browser.session()["state"] == "mfa_setup_required"
    set_up(site, browser)
    assert browser.get("/me/mfa").status_code == 200


def test_rst_13_the_person_hears_of_every_change_and_no_mail_about_it_holds_a_secret(site: Site) -> None:
    partner = site.partner("owner", "support")
    account = f"{partner}-support"
    browser, key = enrolled(site, account)
    confirm_reset(browser, ask_reset(site, browser, account))
    browser.sign_in(address(account), PASSWORD)
    second = set_up(site, browser)
    assert browser.post("/me/mfa/disable").status_code == 200
    third = set_up(site, browser)
    reset_by(signed_in(site, f"{partner}-owner"), account)
    mails = site.mails(account)
    assert [mail.kind.value for mail in mails] == [
        "mfa_activated",
        "reset_requested",
        "mfa_reset",
        "mfa_activated",
        "mfa_switched_off",
        "mfa_activated",
        "reset_by_administrator",
    ]
    for mail in mails:
        assert not any(secret in mail.text + mail.html for secret in (key, second, third, PASSWORD))
        assert ("#" in mail.text) is mail.kind.value.startswith("reset_")
    assert newest_link(site, account)[1] in mails[-1].text
