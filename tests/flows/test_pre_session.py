"""X10: who only looks leaves no row behind; the pre-session is in its cookie, signed with a key outside the database."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from handlers.callers import Caller
from handlers.ports import Session, SessionOpened
from handlers.sessions import ANONYMOUS_FOR, State, anonymous_session, start_anonymous, token_hash
from tests.directory import PASSWORD, address
from tests.flows.pages import look
from tests.flows.steps import reason, signed_in
from tests.portal import Browser
from tests.services import Portal

OPEN_PAGES = (
    "/sign-in",
    "/sign-in/with",
    "/reset/none",
    "/unlock/none",
    "/invited/none",
    "/api/v1/session",
    "/",
    "/audit",
)


def rows(portal: Portal) -> dict[str, int]:
    """Count the rows of every table."""
    with portal.watchword.database.transaction() as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        count = sql.SQL("SELECT count(*) FROM {}")
        return {
            row["tablename"]: connection.execute(count.format(sql.Identifier(row["tablename"]))).fetchone()["count"]  # type: ignore[index]
            for row in names
            if row["tablename"] not in {"projection", "tracking", "ledger_checkpoint", "ledger_leaf", "ledger_node"}
        }


def test_x10_looking_without_a_cookie_stores_nothing(portal: Portal) -> None:
    before = rows(portal)
    for number in range(300):
        answer = look(portal, portal.browser(), OPEN_PAGES[number % len(OPEN_PAGES)])
        assert answer.status_code in {200, 303, 410}
    assert rows(portal) == before


def test_x10_a_form_that_is_refused_stores_nothing_but_counts(portal: Portal) -> None:
    browser, before = portal.browser(), rows(portal)
    browser.session()
    assert browser.post("/sign-in", {"email": "none", "password": PASSWORD}).status_code == 422
    assert browser.send("DELETE", "/session", X_CSRF_Token="other").status_code == 403
    assert rows(portal) == before
    assert reason(browser.post("/sign-in", {"email": address("nobody"), "password": "not it"}))[0] == 401
    changed = {name for name, count in rows(portal).items() if count != before[name]}
    assert changed == {"throttle", "sign_in_log"}


def test_x10_the_password_opens_a_session_under_a_new_token_and_name(portal: Portal) -> None:
    browser = portal.browser()
    browser.session()
    cookie, csrf = browser.http.cookies["watchword"], browser.csrf
    assert (
        browser.post("/sign-in", {"email": address("dist-support"), "password": PASSWORD}).json()["state"]
        == "signed_in"
    )
    assert browser.http.cookies["watchword"] != cookie
    assert browser.csrf != csrf
    raw = portal.browser().http.get("/session", headers={"Cookie": f"watchword={cookie}"})
    assert raw.json()["state"] == "anonymous", "who planted the first cookie has nothing of it"


def test_x10_a_form_that_lay_open_goes_on_for_an_hour_and_a_look_makes_it_last_anew(portal: Portal) -> None:
    browser = portal.browser()
    browser.session()
    csrf = browser.csrf
    portal.clock.advance(minutes=59)
    assert browser.session()["csrf_token"] == csrf, "the form of another window stays good"
    portal.clock.advance(minutes=59)
    assert browser.session()["csrf_token"] == csrf
    portal.clock.advance(minutes=61)
    assert browser.session()["csrf_token"] != csrf
    late = portal.browser()
    late.session()
    portal.clock.advance(minutes=61)
    answer = late.post("/sign-in", {"email": address("dist-support"), "password": PASSWORD})
    assert reason(answer) == (401, "session_ended")


def test_x10_a_cookie_that_was_changed_anywhere_is_nobodys(portal: Portal) -> None:
    s, caller = portal.watchword.sockets, Caller(portal.clock.now(), "command", "203.0.113.7")
    token = start_anonymous(caller, s).token
    assert token is not None
    assert anonymous_session(token, caller.at, s) is not None

    @given(st.integers(0, len(token) - 1), st.characters(min_codepoint=33, max_codepoint=126))
    def changed(place: int, character: str) -> None:
        other = token[:place] + character + token[place + 1 :]
        assert other == token or anonymous_session(other, caller.at, s) is None

    @given(st.text(max_size=200))
    def made_up(text: str) -> None:
        assert anonymous_session(text, caller.at, s) is None
        assert anonymous_session(f"pre.{text}", caller.at, s) is None

    changed()
    made_up()
    assert anonymous_session(token, caller.at + ANONYMOUS_FOR, s) is None


def test_x10_a_row_of_an_older_version_goes_on_and_reaches_no_further(portal: Portal) -> None:
    s, now, token = portal.watchword.sockets, portal.clock.now(), secrets.token_urlsafe(32)
    old = Session("old-handle", State.ANONYMOUS, now, now, now + ANONYMOUS_FOR, ANONYMOUS_FOR, level=1)
    s.sessions.save(SessionOpened(token_hash(token, s), old, None))
    browser = portal.browser(headers={"Cookie": f"watchword={token}"})
    assert browser.session()["state"] == "anonymous"
    assert reason(browser.get("/me/mfa")) == (401, "session_ended")
    assert browser.post("/sign-in", {"email": address("dist-support"), "password": PASSWORD}).status_code == 200
    assert s.sessions.find(token_hash(token, s), now) is None


@pytest.mark.parametrize("cookie", ["pre.", "pre..", "pre.x.y", "pre.x.1.mac", "pre.\u00e9.1.x"])
def test_x10_a_broken_pre_session_is_nobody(portal: Portal, cookie: str) -> None:
    raw = portal.browser().http.get("/me/mfa", headers=[(b"cookie", f"watchword={cookie}".encode("latin-1"))])
    assert reason(raw) == (401, "session_ended")


def test_x10_a_sign_in_beside_it_is_not_touched(portal: Portal) -> None:
    browser: Browser = signed_in(portal, "dist-support")
    look(portal, browser, "/sign-in")
    assert browser.session()["state"] == "signed_in"
