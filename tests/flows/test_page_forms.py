"""Sessions behind forms, shown keys and mailed links: what ends, and who is told nothing."""

import json
import re
import time

from handlers.shapes import PASSWORD_CHARACTERS
from tests.directory import PASSWORD, address
from tests.flows.pages import entries, look, state_of, submit
from tests.flows.steps import Mailbox, enrolled, link_in, next_code, signed_in, wrong_code
from tests.portal import Browser
from tests.services import Portal

# ── Sessions and forms ──


def test_a_password_in_a_form_ends_the_old_token_even_when_the_wish_then_fails(portal: Portal) -> None:
    """SES-01: a new id at step-up; the page that says what is wrong brings it."""
    owner, key = enrolled(portal, "dist-owner")
    portal.clock.advance(minutes=14)
    owner.session()
    portal.clock.advance(minutes=5)
    old = owner.http.cookies["watchword"]
    proof = {"password": PASSWORD, "code": next_code(portal, key)}
    answer = submit(portal, owner, "/user-management/dist-support/reset", reason="ask a@b", **proof)
    assert answer.status_code == 422
    assert PASSWORD not in answer.text
    assert state_of(portal, old) == "anonymous"
    between = owner.http.cookies["watchword"]
    portal.clock.advance(minutes=6)
    proof = {"password": PASSWORD, "code": next_code(portal, key)}
    assert submit(portal, owner, "/user-management/no-such-account/reset", **proof).status_code == 404
    assert state_of(portal, between) == "anonymous"
    between = owner.http.cookies["watchword"]
    answer = submit(portal, owner, "/security-settings/disable")
    assert (answer.status_code, answer.headers["location"]) == (303, "/security-settings")
    assert state_of(portal, between) == "anonymous"
    assert owner.session()["state"] == "signed_in"


def test_too_many_passwords_in_a_form_end_the_session(portal: Portal) -> None:
    """THR-11: the right one, too late, changes nothing."""
    browser, _ = enrolled(portal, "dist-support")
    token = browser.http.cookies["watchword"]
    for _ in range(10):
        assert submit(portal, browser, "/security-settings/reset", password="not it").status_code in {401, 303}
    assert state_of(portal, token) == "anonymous"
    assert submit(portal, browser, "/security-settings/reset", password=PASSWORD).status_code == 401


def test_the_last_wrong_code_in_a_form_leads_back_to_the_password(portal: Portal) -> None:
    """THR-01: as on the pages for codes; a session that has just ended is shown nothing more."""
    owner, key = enrolled(portal, "dist-owner")
    portal.clock.advance(minutes=14)
    owner.session()
    portal.clock.advance(minutes=2)
    token = owner.http.cookies["watchword"]
    proof = {"password": PASSWORD, "code": wrong_code(portal, key)}
    *_, answer = [submit(portal, owner, "/user-management/dist-support/reset", **proof) for _ in range(5)]
    assert state_of(portal, token) == "anonymous"
    assert (answer.status_code, answer.headers.get("location")) == (303, "/sign-in")


def test_signing_out_kills_the_session_and_what_the_browser_keeps(portal: Portal) -> None:
    """SES-03."""
    browser = signed_in(portal, "dist-owner")
    token = browser.http.cookies["watchword"]
    answer = submit(portal, browser, "/sign-out")
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert "watchword" not in browser.http.cookies
    assert state_of(portal, token) == "anonymous"


def test_a_shown_key_is_for_its_own_sign_in_alone_and_for_ten_minutes(portal: Portal) -> None:
    """ENR-06, ENR-08: no other session, no administrator, not after a reset, not after its time; and no cache keeps it."""
    browser, other, owner = (signed_in(portal, name) for name in ("dist-support", "dist-support", "dist-owner"))

    def keys(asker: Browser) -> list[str]:
        answer = look(portal, asker, "/mfa/setup")
        assert answer.headers["cache-control"] == "no-store"
        return re.findall(r'id="setup-key"[^>]*>([A-Z2-7 ]+)<|secret=([A-Z2-7]+)', answer.text)

    assert submit(portal, browser, "/mfa/setup").status_code == 303
    assert keys(browser)
    assert not keys(other)
    assert "otpauth" not in look(portal, owner, "/user-management").text
    assert "otpauth" not in look(portal, owner, "/audit?account=dist-support").text
    portal.clock.advance(minutes=11)
    assert not keys(browser)
    assert submit(portal, browser, "/mfa/setup").status_code == 303
    assert keys(browser)
    assert submit(portal, owner, "/user-management/dist-support/reset").status_code == 303
    assert look(portal, browser, "/mfa/setup").headers["location"] == "/sign-in"


def test_an_active_authenticators_key_is_shown_to_nobody(portal: Portal) -> None:
    """ENR-08: also not while wrong codes are given."""
    browser, key = enrolled(portal, "dist-support")
    submit(portal, browser, "/mfa/setup/confirm", code=wrong_code(portal, key))
    for path in ("/mfa/setup", "/security-settings?ask=reset", "/me/history", "/"):
        shown = look(portal, browser, path)
        assert key not in shown.text.replace(" ", "")
        assert "otpauth" not in shown.text


def test_a_cookie_puts_no_words_on_a_page_and_makes_nobody_wait(portal: Portal) -> None:
    """The cookie with what has happened: its names are ours, and a position that is not there is waited for by nobody."""
    owner = signed_in(portal, "dist-owner")
    session = owner.http.cookies["watchword"]
    for said in (
        "<b>.1",
        f"user_reset.{'9' * 18}",
        f"user_reset.{'9' * 400}",
        "x" * 2000,
        ".",
        "user_reset.-1",
        "a.b\tc",
    ):
        began = time.monotonic()
        answer = look(portal, owner, "/user-management", Cookie=f"watchword={session}; watchword-said={said}")
        assert answer.status_code == 200, said
        assert said not in answer.text or said == "."
        assert time.monotonic() - began < 2
    twice = look(
        portal, owner, "/", Cookie=f"watchword={session}; watchword-said=mfa_off.0; watchword-said=user_reset.0"
    )
    assert 'role="status"' not in twice.text


def test_no_answer_leads_to_another_site(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    query = "?q=//evil.example&next=https://evil.example&sort=name"
    answer = submit(portal, owner, f"/user-management/dist-support/reset{query}")
    assert answer.headers["location"] == "/user-management?q=%2F%2Fevil.example&sort=name"
    for path in ("//evil.example/", "/\\evil.example", "/%2f%2fevil.example", "/sign-in/"):
        answer = look(portal, owner, path)
        assert answer.status_code == 404, path
        assert "location" not in answer.headers


def test_no_field_cuts_a_password_that_the_service_takes(portal: Portal) -> None:
    """INP-04: a browser cuts what is pasted to ``maxlength`` without a word, and what is cut is another password."""
    stranger = portal.browser()
    stranger.session()
    owner, _ = enrolled(portal, "dist-owner")
    shown = [look(portal, stranger, "/sign-in"), look(portal, owner, "/security-settings?ask=reset")]
    for page in shown:
        fields = re.findall(r'<input[^>]*type="password"[^>]*>', page.text)
        assert len(fields) == 1
        assert 'autocomplete="current-password"' in fields[0]
        longest = re.search(r'maxlength="(\d+)"', fields[0])
        assert longest is None or int(longest[1]) >= PASSWORD_CHARACTERS


# ── Mailed links ──


def test_the_pages_of_links_tell_a_stranger_nothing(portal: Portal) -> None:
    """ENU-02: an id that never was looks like one that was used; nothing changes by looking, or without the secret."""
    box, stranger = Mailbox(), portal.browser()
    person, _ = enrolled(portal, "dist-support")
    person.post("/me/mfa/reset", {"password": PASSWORD})
    link, _ = link_in(next(mail for mail in box.deliver(portal) if mail.kind == "reset_requested"))
    stranger.session()
    before = portal.watchword.store.last_position()
    page = look(portal, stranger, f"/reset/{link}").text
    for word in ("Dist", address("dist-support"), "Support", "dist-support"):
        assert word not in page.replace("contact our support", "")
    answers = [
        submit(portal, stranger, f"/reset/{each}", secret="x" * 43, password=PASSWORD) for each in (link, "none")
    ]
    assert [each.status_code for each in answers] == [410, 410]
    assert answers[0].headers.get("retry-after") == answers[1].headers.get("retry-after")
    unlock = [look(portal, stranger, f"/unlock/{each}").text.replace(each, "") for each in (link, "none")]
    assert unlock[0] == unlock[1]
    assert portal.watchword.store.last_position() == before


def test_who_only_reads_the_log_cannot_end_another_persons_link(portal: Portal) -> None:
    """Five wrong secrets end a link (THR-12), so its id is for who got the mail: the log's data keeps it back."""
    box, auditor = Mailbox(), signed_in(portal, "dist-auditor")
    person, _ = enrolled(portal, "dist-owner")
    person.post("/me/mfa/reset", {"password": PASSWORD})
    link, secret = link_in(next(mail for mail in box.deliver(portal) if mail.kind == "reset_requested"))
    shown = json.dumps(entries(auditor, portal)) + look(portal, auditor, "/audit").text
    assert link not in shown
    answer = submit(portal, person, f"/reset/{link}", secret=secret)
    assert answer.headers["location"] == "/sign-in"
