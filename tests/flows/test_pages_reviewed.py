"""What a reviewer tried on the pages and on the reviewers' doors: each rule by its name, each hole as a test."""

import asyncio
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends

from api.cli.importing import take_file
from api.doors import SIGNED_IN, Admit
from api.frame.files import STATIC
from api.settings import BadSetting, Settings, read
from api.web import create_app
from handlers import directory
from handlers.ports import Origin
from handlers.shapes import PASSWORD_CHARACTERS
from tests.directory import PASSWORD, address
from tests.flows.steps import Mailbox, enforce, enrolled, link_in, next_code, signed_in, wrong_code
from tests.portal import Browser
from tests.services import Portal

FROM_OUR_PAGE = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
"""What a browser sends with a form of a page under ``Referrer-Policy: no-referrer``."""


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Checkpoints in a folder of the test's own: each database is another log."""
    return replace(settings, ledger_dir=tmp_path / "ledger")


def look(portal: Portal, browser: Browser, path: str, **headers: str) -> httpx.Response:
    """Look at a page."""
    return browser.http.get(f"{portal.address}{path}", headers=headers)


def submit(portal: Portal, browser: Browser, path: str, **fields: str) -> httpx.Response:
    """Send a page's form."""
    data = {"csrf_token": browser.csrf, **fields}
    return browser.http.post(f"{portal.address}{path}", data=data, headers=FROM_OUR_PAGE)


def entries(browser: Browser, portal: Portal, **wanted: Any) -> list[dict[str, Any]]:
    """Return what the log of ``dist`` says, once the views have come to its end."""
    last = portal.watchword.store.last_position()
    answer = browser.get("/partners/dist/audit", min_position=last, limit=200, **wanted)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def state_of(portal: Portal, token: str) -> str:
    """Return how far a session token reaches."""
    answer = portal.browser().http.get("/session", headers={"Cookie": f"watchword={token}"})
    return str(answer.json()["state"])


# ── Headers, methods, files ──


def guarded(answer: httpx.Response) -> bool:
    """Say whether an answer can be framed, sniffed, referred or kept by nobody."""
    headers = answer.headers
    return (
        "frame-ancestors 'none'" in headers.get("content-security-policy", "")
        and headers.get("x-content-type-options") == "nosniff"
        and headers.get("referrer-policy") == "no-referrer"
        and headers.get("cache-control") == "no-store"
        and "x-request-id" in headers
    )


def test_every_kind_of_answer_carries_the_headers(portal: Portal) -> None:
    """POL-05, RST-06: pages, errors and redirects alike."""
    owner, nobody = signed_in(portal, "dist-owner"), portal.browser()
    answers = {
        200: look(portal, owner, "/"),
        303: look(portal, nobody, "/user-management"),
        403: owner.http.post(f"{portal.address}/sign-out"),
        404: look(portal, owner, "/nothing"),
        405: owner.http.request("TRACE", f"{portal.address}/"),
        410: look(portal, nobody, "/reset/none"),
        413: owner.http.post(f"{portal.address}/sign-in", content=b"x" * 70_000),
        421: look(portal, nobody, "/sign-in", Host="evil.example"),
        422: look(portal, owner, "/user-management?sort=role"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert guarded(answer), status
        assert "evil" not in answer.text
    for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"):
        answer = owner.http.request(method, f"{portal.address}/security-settings/policy")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert "access-control-allow-origin" not in answer.headers


def test_an_answer_to_a_fault_of_ours_carries_the_headers_too(portal: Portal) -> None:
    """SEC-06: whatever goes wrong, it is a page of ours, in the same walls, with an id to be found by in the log."""
    app, faulty = create_app(portal.watchword), APIRouter()

    @faulty.get("/faulty", dependencies=[Depends(Admit(SIGNED_IN))])
    def fault() -> None:
        raise ZeroDivisionError("a secret of ours")

    app.include_router(faulty)
    cookie = signed_in(portal, "dist-owner").http.cookies["watchword"]

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=portal.address) as client:
            return await client.get("/faulty", headers={"Cookie": f"watchword={cookie}"})

    answer = asyncio.run(asked())
    assert answer.status_code == 500
    assert guarded(answer)
    assert answer.headers["content-type"].startswith("text/html")
    assert "secret" not in answer.text


def test_the_files_beside_the_pages_are_kept_for_ever_and_lead_nowhere_else(portal: Portal) -> None:
    stranger = portal.browser()
    script = look(portal, stranger, f"{STATIC}/app.js")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in script.headers
    for path in ("/../settings.py", "/%2e%2e/settings.py", "/..%2fsettings.py", "/%00", "/%2fetc%2fpasswd", "/", ""):
        answer = look(portal, stranger, f"{STATIC}{path}")
        assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store"), path
    assert look(portal, stranger, "/static/0000000000000000/app.js").status_code == 404


def test_no_token_in_an_address_and_no_other_method_moves_anything(portal: Portal) -> None:
    """POL-05, ADM-01: the token counts in a form or a header of ours alone."""
    owner = signed_in(portal, "dist-owner")
    before = portal.watchword.store.last_position()
    url = f"{portal.address}/security-settings/policy?csrf_token={owner.csrf}"
    assert owner.http.post(url, data={"enforce_partner_users": "on"}, headers=FROM_OUR_PAGE).status_code == 403
    many = "&".join(f"field{number}=x" for number in range(60))
    for body in (
        f"{many}&csrf_token={owner.csrf}",
        f"csrf_token={owner.csrf}&x=%ff",
        f"csrf_token={owner.csrf}&csrf_token=x",
    ):
        headers = {**FROM_OUR_PAGE, "Content-Type": "application/x-www-form-urlencoded"}
        answer = owner.http.post(f"{portal.address}/security-settings/policy", content=body, headers=headers)
        assert answer.status_code == 403, body[:40]
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        assert look(portal, owner, "/security-settings/policy", **{name: "POST"}).status_code == 405
    assert look(portal, owner, "/security-settings?_method=POST&enforce_partner_users=on").status_code == 200
    assert portal.watchword.store.last_position() == before


# ── Input ──

ODD = [
    "/user-management?organization=%00",
    "/user-management?ask=reset&account=%00",
    "/user-management?as_of=9999-12-31",
    "/user-management?as_of=0001-01-01T00:00:00%2B14:00",
    "/audit?from=0001-01-01",
    "/audit?to=9999-12-31",
    "/audit/certificate?from=0001-01-01",
    "/audit/certificate?to=9999-12-31T23:59:59-23:00",
    "/api/v1/partners/dist/audit?actor=%00",
    "/api/v1/partners/dist/users?as_of=9999-12-31",
    "/api/v1/partners/dist/summary?as_of=0001-01-01T00:00:00%2B14:00",
    "/api/v1/partners/dist/diff?from=0001-01-01",
    "/api/v1/accounts/dist-support/mfa?as_of=9999-12-31T23:59:59-23:00",
]


@pytest.mark.parametrize("path", ODD)
def test_odd_input_is_told_what_to_enter(portal: Portal, path: str) -> None:
    """INP-05, INP-08: NUL, and the first and last day of the calendar."""
    answer = look(portal, signed_in(portal, "dist-owner"), path)
    assert answer.status_code in {200, 404, 422}, answer.text
    assert guarded(answer)


def test_wildcards_forged_cursors_and_doubled_fields_find_nothing_more(portal: Portal) -> None:
    """INP-08, TEN-01."""
    owner, other = signed_in(portal, "dist-owner"), signed_in(portal, "dist2-owner")
    assert entries(owner, portal, actor="%") == []
    for text in ("%25", "%5F%5F", "%5C", "%FF", "'"):
        shown = look(portal, owner, f"/user-management?q={text}")
        assert shown.status_code in {200, 422}
        assert "@mail.example" not in shown.text, text
    assert look(portal, owner, "/audit?topic=user_mfa.%25").status_code == 422
    foreign = other.get("/partners/dist2/users", limit=1).json()["next_cursor"]
    for cursor in (foreign, foreign[:-2] + "AA", "A" * 9_000, "%00", "-1"):
        assert look(portal, owner, f"/user-management?cursor={cursor}").status_code == 422
    assert look(portal, owner, "/audit?cursor=" + "9" * 119).status_code == 200
    doubled = look(portal, owner, "/user-management?ask=reset&account=dist-support&account=dist2-support")
    assert doubled.status_code == 404


def test_names_and_reasons_are_text_on_every_page(portal: Portal, tmp_path: Path) -> None:
    """INP-07: in cells, in attributes, in the address of a link."""
    evil = "\"'><script>1</script><img src=x onerror=1>"
    place = {"id": "dist-support", "partner": "dist", "role": "support", "email": address("dist-support")}
    lines = [
        {"account": {**place, "name": evil}},
        {"organization": {"id": "dist-org", "name": evil, "partner": "dist"}},
    ]
    file = tmp_path / "evil.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert not take_file(file, portal.watchword).errors
    owner = signed_in(portal, "dist-owner")
    enforce(owner, "dist", users=True, organizations=True)
    answer = submit(portal, owner, "/user-management/dist-support/reset", reason=evil)
    assert answer.status_code == 303
    entries(owner, portal)
    pages = (
        "/",
        "/user-management",
        "/user-management?ask=reset&account=dist-support",
        "/audit",
        "/audit/certificate?from=0",
    )
    for path in (
        *pages,
        f"/user-management?q={evil}",
        f"/user-management?sort={evil}",
        f"/security-settings?ask={evil}",
    ):
        shown = look(portal, owner, path)
        assert shown.status_code in {200, 422}, path
        assert "<script>1" not in shown.text, path
        assert "<img src=x" not in shown.text, path
    for path in pages[:2]:
        assert "&lt;img src=x onerror=1&gt;" in look(portal, owner, path).text, path


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "http://support.example", "//support.example", "data:text/html,x"]
)
def test_the_link_to_support_is_a_page_or_a_mail(url: str) -> None:
    with pytest.raises(BadSetting, match="SUPPORT_URL"):
        read({"SUPPORT_URL": url}, ask_running=False)


# ── The inbox of the mail catcher ──


def test_the_inbox_is_shown_only_where_it_was_asked_for(portal: Portal) -> None:
    for path in ("/dev/mail", "/dev/mail/00000000000000000001-00000000"):
        assert look(portal, signed_in(portal, "dist-owner"), path).status_code == 404


def test_the_inbox_is_not_served_to_the_network() -> None:
    """Everybody's reset links: a name in ``Host`` is no wall, so the address that is listened on has to be loopback."""
    with pytest.raises(BadSetting, match="MAIL_PAGES"):
        read({"MAIL_PAGES": "true", "HOST": "0.0.0.0"}, ask_running=False)


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


# ── Who sees and does what ──


@pytest.mark.parametrize(
    ("who", "users", "audit", "reset", "policy"),
    [
        ("dist-owner", 200, 200, 303, 303),
        ("dist-admin", 200, 200, 303, 303),
        ("dist-support", 200, 403, 403, 403),
        ("dist-auditor", 200, 200, 403, 403),
        ("dist-org-user", 403, 403, 403, 403),
        ("resell-owner", 200, 200, 404, 403),
        ("sub-owner", 200, 200, 404, 303),
    ],
)
def test_each_role_on_the_pages(portal: Portal, who: str, users: int, audit: int, reset: int, policy: int) -> None:
    """ADM-01, TEN-03, table 3: what is not allowed is not offered, and refused when it is asked for all the same."""
    browser = signed_in(portal, who)
    list_page = look(portal, browser, "/user-management")
    assert list_page.status_code == users
    assert ("Actions for" in list_page.text) == (users == 200 and "support" not in who and "auditor" not in who)
    assert look(portal, browser, "/audit").status_code == audit
    assert look(portal, browser, "/audit/certificate?from=0").status_code == audit
    assert submit(portal, browser, "/user-management/dist-admin2/reset").status_code == reset
    assert submit(portal, browser, "/user-management/dist-admin2/reset-mail").status_code in {reset, 429, 409}
    assert submit(portal, browser, "/security-settings/policy", enforce_organizations="on").status_code == policy
    dialog = look(portal, browser, "/user-management?ask=reset&account=dist-admin2")
    assert ("Yes, Continue" in dialog.text) == (reset == 303)
    history = portal.watchword.store.history("user_mfa:dist-admin2")
    assert bool(history) == (reset == 303)


@pytest.mark.parametrize("target", ["dist-owner", "dist-admin"])
def test_a_reset_that_is_not_allowed_is_not_offered_by_its_address_either(portal: Portal, target: str) -> None:
    """ADM-02, ADM-03, table 3: the dialog for a higher rank, and for oneself."""
    admin = signed_in(portal, "dist-admin")
    dialog = look(portal, admin, f"/user-management?ask=reset&account={target}")
    assert submit(portal, admin, f"/user-management/{target}/reset").status_code == 403
    assert "Yes, Continue" not in dialog.text


def test_all_that_an_auditor_looks_at_is_recorded_on_the_pages_too(portal: Portal) -> None:
    """Product, section 1: an auditor reads everything, and its reads are recorded."""
    auditor, owner = signed_in(portal, "dist-auditor"), signed_in(portal, "dist-owner")
    seen: list[set[str]] = []
    for path in ("/", "/security-settings"):
        assert look(portal, auditor, path).status_code == 200
        found = entries(owner, portal, topic="audit.read", actor="account:dist-auditor")
        seen.append({each["data"]["what"] for each in found})
    assert seen == [{"see_users"}, {"see_users", "see_policy"}]


# ── Nothing of another tenant ──


def test_what_was_asked_in_vain_does_not_tell_whether_it_is_there(portal: Portal) -> None:
    """TEN-01, TEN-07: the answer is the same 404, and so is what the asker's own history and log keep of it."""
    asker = signed_in(portal, "dist2-owner")

    def kept() -> list[Any]:
        items = asker.get("/me/history").json()["items"]
        return [each["data"] for each in items if each["topic"] == "account.attempt_refused"]

    for path in ("/user-management/{}/reset", "/user-management/{}/reset-mail"):
        for account in ("dist-support", "no-such-account"):
            assert submit(portal, asker, path.format(account)).status_code == 404
    for path in ("/accounts/{}/mfa", "/partners/{}/users"):
        for each in ("dist-support", "no-such-account") if "accounts" in path else ("dist", "no-such-partner"):
            assert asker.get(path.format(each)).status_code == 404
    found = kept()
    assert len(found) == 8
    for newer, older in zip(found[::2], found[1::2], strict=True):
        assert newer == older
    assert "dist-support" not in look(portal, asker, "/audit").text


def reset_from_another_account(portal: Portal) -> Browser:
    """Let a person with accounts at two partners confirm a reset at the one while signed in at the other."""
    box, owner = Mailbox(), signed_in(portal, "dist-owner")
    person, _ = enrolled(portal, "three-dist")
    enforce(owner, "dist", users=True)
    portal.clock.advance(minutes=1)
    person.post("/me/mfa/reset", {"password": PASSWORD})
    link, secret = link_in(next(mail for mail in box.deliver(portal) if mail.kind == "reset_requested"))
    elsewhere = signed_in(portal, "three-resell")
    answer = submit(portal, elsewhere, f"/reset/{link}", secret=secret, password=PASSWORD)
    assert answer.headers["location"] == "/sign-in"
    portal.clock.advance(minutes=1)
    return owner


def test_a_certificate_names_nobody_of_another_tenant(portal: Portal) -> None:
    """TEN-07, I10: who confirmed a reset while signed in elsewhere is no name for a signed file."""
    owner = reset_from_another_account(portal)
    answer = owner.get("/partners/dist/certificate", **{"from": "0"})
    assert answer.status_code == 200, answer.text
    assert '"cause":"reset"' in answer.text
    assert "Three Resell" not in answer.text
    assert "three-resell" not in answer.text
    assert "Three Resell" not in look(portal, owner, "/audit/certificate?from=0").text


def test_a_reset_by_password_and_link_is_the_accounts_own_wherever_the_browser_is_signed_in(portal: Portal) -> None:
    """TEN-07, I10: the log of one tenant names no account of another, and no administrator is said to have done it."""
    owner = reset_from_another_account(portal)
    assert "three-resell" not in json.dumps(entries(owner, portal))
    person = portal.browser()
    person.sign_in(address("three-dist"), PASSWORD, "three-dist")
    confirmed = portal.watchword.store.history("user_mfa:three-dist")[-1]
    assert confirmed.actor in {"account:three-dist", "anonymous"}


def test_wrong_passwords_for_another_tenant_leave_no_account_in_its_log(portal: Portal) -> None:
    """TEN-07, I10: who signs in is nobody yet, whoever the browser was before."""
    stranger, owner = signed_in(portal, "dist2-owner"), signed_in(portal, "dist-owner")
    for _ in range(10):
        submit(portal, stranger, "/sign-in", email=address("dist-support"), password="not it")
    (locked,) = entries(owner, portal, topic="account.sign_in_locked")
    assert locked["actor"] == "anonymous"


def test_the_past_shows_no_name_that_was_erased(portal: Portal) -> None:
    """Views of the past take names of today."""
    owner, w = signed_in(portal, "dist-owner"), portal.watchword
    enforce(owner, "dist", users=True)
    before = w.store.last_position()
    origin = Origin(actor="operator", command_id=w.sockets.chance.new_id(), at=portal.clock.now())
    directory.erase("dist-support", origin, w.sockets)
    entries(owner, portal)
    for path in (f"/user-management?as_of={before}", "/audit", f"/audit/certificate?from=0&to={before}", "/"):
        shown = look(portal, owner, path)
        assert shown.status_code == 200, path
        assert "Dist Support" not in shown.text, path
        assert address("dist-support") not in shown.text, path
