"""Every page: with every weaker session, without its CSRF token, from other sites, and for another tenant."""

import re
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends
from fastapi.routing import iter_route_contexts

from api.doors import SIGNED_IN, Admit, Asked
from api.pages import home
from api.rest import PREFIX
from api.routes import Door
from api.web import create_app, undeclared
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, signed_in
from tests.flows.test_guard import in_state
from tests.portal import Browser
from tests.services import Portal

FORM = "application/x-www-form-urlencoded"
OPEN_TO_ALL = {
    "GET /sign-in",
    "POST /sign-in",
    "POST /sign-out",
    "GET /reset/{reset_id}",
    "POST /reset/{reset_id}",
    "GET /unlock/{link_id}",
    "POST /unlock/{link_id}",
    "GET /sign-in/with",
    "POST /sign-in/with",
    "GET /sign-in/back",
    "GET /invited/{link_id}",
    "POST /invited/{link_id}",
    "POST /sso/logout/{provider_id}",
}
SIGNED = {"/sso/logout/{provider_id}"}
"""A program's call, not a browser's: its signed token alone proves it, and no cookie counts."""
OPEN_TO = {
    "anonymous": set[str](),
    "identified": {"GET /sign-in/account", "POST /sign-in/account"},
    "mfa_code_required": {"GET /sign-in/code", "POST /sign-in/code"},
    "mfa_setup_required": {
        "GET /mfa/setup",
        "POST /mfa/setup",
        "POST /mfa/setup/confirm",
        "POST /mfa/setup/leave",
        "POST /mfa/setup/mail",
    },
}
GOES_ON = {
    "anonymous": "/sign-in",
    "identified": "/sign-in/account",
    "mfa_code_required": "/sign-in/code",
    "mfa_setup_required": "/mfa/setup",
}


def routes(portal: Portal) -> list[tuple[str, str]]:
    """Return every method and path of the pages, from the route table itself."""
    found = []
    for route in iter_route_contexts(create_app(portal.watchword).routes):
        if route.path and not route.path.startswith((PREFIX, "/static", "/healthz", "/readyz")):
            found += [(method, route.path) for method in route.methods or ()]
    assert len(found) > 20
    return sorted(found)


def filled(path: str) -> str:
    return re.sub(r"\{account_id\}", "dist-support", re.sub(r"\{(reset|link|provider)_id\}", "none", path))


def ask(portal: Portal, browser: Browser, method: str, path: str, **headers: Any) -> httpx.Response:
    """Ask for a page as a browser does, with the CSRF token of the session in the form."""
    token = headers.pop("token", browser.csrf)
    sent = {"Origin": portal.address, "Sec-Fetch-Site": "same-origin", **headers}
    body = {"csrf_token": token} if method == "POST" else None
    return browser.http.request(method, f"{portal.address}{filled(path)}", headers=sent, data=body)


def test_a_route_that_does_not_say_whom_it_lets_in_stops_the_start(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(portal.watchword)
    assert undeclared(app.routes) == []
    inner, outer = APIRouter(), APIRouter()
    doors = APIRouter(route_class=Door)

    @inner.get("/open-to-all")
    def open_to_all() -> None: ...

    @doors.get("/never-asks", dependencies=[Depends(Admit(SIGNED_IN))])
    def never_asks() -> None:
        """Declared, but nothing asks the guard."""

    @inner.get("/no-door")
    def no_door(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> None:
        """Declared, but no door asks the guard."""
        del asked

    outer.include_router(inner, prefix="/far")
    outer.include_router(doors, prefix="/far")
    app.include_router(outer)
    assert undeclared(app.routes) == ["/far/open-to-all", "/far/no-door", "/far/never-asks"]
    monkeypatch.setattr(home.router, "routes", [*home.router.routes, *inner.routes])
    with pytest.raises(RuntimeError, match="open-to-all"):
        create_app(portal.watchword)


@pytest.mark.parametrize("state", list(OPEN_TO))
def test_a_weaker_session_sees_its_own_pages_and_no_other(portal: Portal, state: str) -> None:
    browser = in_state(portal, state)
    before = portal.watchword.store.last_position()
    for method, path in routes(portal):
        name = f"{method} {path}"
        if name in OPEN_TO_ALL | OPEN_TO[state]:
            continue
        answer = ask(portal, browser, method, path)
        if method == "GET":
            assert (answer.status_code, answer.headers["location"]) == (303, GOES_ON[state]), name
            assert not answer.content
        else:
            assert answer.status_code == (401 if state == "anonymous" else 403), name
            assert answer.headers["content-type"].startswith("text/html")
    assert portal.watchword.store.last_position() == before, "nothing was stored"
    assert browser.session()["state"] == state


def test_a_form_needs_the_csrf_token_of_its_own_sign_in_and_comes_from_our_pages(portal: Portal) -> None:
    owner, other = signed_in(portal, "dist-owner"), signed_in(portal, "dist-admin")
    before = portal.watchword.store.last_position()
    refused: list[dict[str, str]] = [
        {"token": ""},
        {"token": other.csrf},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Content-Type": "text/plain"},
    ]
    posts = [path for method, path in routes(portal) if method == "POST"]
    assert len(posts) > 10
    for path in posts:
        if path in SIGNED:
            assert ask(portal, owner, "POST", path).status_code == 400
            continue
        for headers in refused:
            answer = ask(portal, owner, "POST", path, **headers)
            not_needed = "token" in headers and path.startswith("/sign-in") and path != "/sign-in/again"
            assert answer.status_code == (303 if not_needed else 403), (path, headers, answer.status_code)
            assert not not_needed or answer.headers["location"] == "/", "X08: who is signed in already goes on"
        multipart = {"Sec-Fetch-Site": "same-origin", "Origin": portal.address}
        answer = owner.http.post(portal.address + filled(path), headers=multipart, files={"csrf_token": owner.csrf})
        assert answer.status_code == 403, path
        url = f"{portal.address}{filled(path)}"
        bare = owner.http.post(url, data={"csrf_token": owner.csrf}, headers={"Origin": "null"})
        assert bare.status_code == 403, "an old browser's null origin is nobody's"
    assert portal.watchword.store.last_position() == before
    assert owner.session()["state"] == "signed_in"


def test_the_pages_of_a_tenant_show_and_change_nothing_of_another(portal: Portal) -> None:
    for account in ("dist2-owner", "sub-owner", "resell-owner"):
        browser = signed_in(portal, account)
        shown = ask(portal, browser, "GET", "/user-management").text
        assert address("dist-support") not in shown
        assert "Dist Inc" not in shown
        dialog = browser.http.get(f"{portal.address}/user-management?ask=reset&account=dist-support")
        assert dialog.status_code == 404
        assert "dist-support" not in dialog.text
        for path in ("/user-management/{account_id}/reset", "/user-management/{account_id}/reset-mail"):
            assert ask(portal, browser, "POST", path).status_code == 404
    assert not portal.watchword.store.history("user_mfa:dist-support")


def test_a_service_token_opens_no_page(portal: Portal) -> None:
    token = portal.watchword.tokens.create("w", ["read", "write", "audit"], "*")
    for method, path in routes(portal):
        answer = httpx.request(
            method, portal.address + filled(path), headers={"Authorization": f"Bearer {token}"}, follow_redirects=False
        )
        assert answer.status_code == 403, (method, path)


def test_looking_at_a_page_changes_nothing(portal: Portal) -> None:
    """Every GET, the scanner's of a mailed link too. That reviewers looked is recorded, and nothing else."""
    browser, _ = enrolled(portal, "dist-owner")
    before = portal.watchword.store.last_position()
    topics = set()
    for method, path in routes(portal):
        if method == "GET":
            for kind in ("GET", "GET", "HEAD"):
                assert ask(portal, browser, kind, path).status_code in {200, 303, 410}, (path, kind)
            added = portal.watchword.store.read(before, 500)
            assert not added or path.startswith("/audit"), path
            topics |= {each.fact.TOPIC for each in added}
            before = portal.watchword.store.last_position()
    assert topics == {"audit.read"}
    assert browser.session()["state"] == "signed_in"


def test_no_page_repeats_what_was_typed_as_a_secret(portal: Portal) -> None:
    browser = portal.browser()
    browser.session()
    data = {"csrf_token": browser.csrf, "email": address("dist-admin"), "password": "not the Password <b>"}
    sent = {"Origin": portal.address, "Sec-Fetch-Site": "same-origin"}
    answer = browser.http.post(f"{portal.address}/sign-in", data=data, headers=sent)
    assert answer.status_code == 401
    assert "not the Password" not in answer.text
    assert address("dist-admin") in answer.text, "the address need not be typed again"
    evil = {**data, "email": '"><script>1</script>@x.example', "password": PASSWORD}
    answer = browser.http.post(f"{portal.address}/sign-in", data=evil, headers=sent)
    assert answer.status_code == 422
    assert "<script>1" not in answer.text
