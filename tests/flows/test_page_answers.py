"""What every answer of a page carries, and what odd input is told."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends

from api.cli.importing import take_file
from api.doors import SIGNED_IN, Admit, Asked
from api.frame.files import STATIC
from api.pages import users
from api.routes import Door
from api.settings import BadSetting, Settings, read
from api.web import create_app
from tests.directory import address
from tests.flows.pages import FROM_OUR_PAGE, entries, look, submit
from tests.flows.steps import enforce, signed_in
from tests.services import Portal


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Checkpoints in a folder of the test's own: each database is another log."""
    return replace(settings, ledger_dir=tmp_path / "ledger")


# ── Headers, methods, files ──


def guarded(answer: httpx.Response) -> bool:
    """Say whether an answer can be framed, sniffed, referred or kept by nobody."""
    headers = answer.headers
    return (
        "frame-ancestors 'none'" in headers.get("content-security-policy", "")
        and headers.get("x-content-type-options") == "nosniff"
        and headers.get("referrer-policy") == "same-origin"
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
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE"):
        answer = owner.http.request(method, f"{portal.address}/security-settings/policy")
        expected = (303, None) if method == "HEAD" else (405, "POST")
        assert (answer.status_code, answer.headers.get("allow")) == expected
        assert "access-control-allow-origin" not in answer.headers


def test_an_answer_to_a_fault_of_ours_carries_the_headers_too(portal: Portal) -> None:
    """SEC-06: whatever goes wrong, it is a page of ours, in the same walls, with an id to be found by in the log."""
    app, faulty = create_app(portal.watchword), APIRouter(route_class=Door)

    @faulty.get("/faulty")
    def fault(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> None:
        raise ZeroDivisionError(f"a secret of {asked.caller.actor}")

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
        assert look(portal, owner, "/security-settings/policy", **{name: "POST"}).status_code == 303
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


def test_more_organizations_than_a_menu_holds_make_it_a_field(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = signed_in(portal, "dist-owner")
    assert '<option value="dist-org">' in look(portal, owner, "/user-management").text
    monkeypatch.setattr(users, "ORGANIZATIONS_IN_A_MENU", 0)
    page = look(portal, owner, "/user-management?organization=dist-org").text
    assert '<input id="organization" name="organization" value="dist-org"' in page
    assert "<option value=" not in page.partition('for="organization"')[2]


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


def test_x07_a_browser_without_fetch_metadata_sends_its_form_and_another_sites_is_refused(portal: Portal) -> None:
    """X07: under same-origin a form carries its true origin, so that nothing but it is needed, and "null" is nobody's."""
    owner = signed_in(portal, "dist-owner")
    assert look(portal, owner, "/security-settings").headers["referrer-policy"] == "same-origin"
    url, data = f"{portal.address}/security-settings/enable", {"csrf_token": owner.csrf}
    for origin in ("null", "https://evil.example", portal.address.replace("http:", "https:"), ""):
        assert owner.http.post(url, data=data, headers={"Origin": origin}).status_code == 403, origin
        fetched = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert owner.http.post(url, data=data, headers=fetched).status_code == 403, origin
    assert owner.http.post(url, data=data, headers={"Origin": portal.address}).status_code == 303
