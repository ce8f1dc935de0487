"""A request of which only a part arrives changes nothing, whatever the part is and whichever parser reads it."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import uvicorn
from starlette.types import Message

from api.bootstrap import Watchword
from api.routes import Door
from api.web import create_app
from tests.directory import PASSWORD, address
from tests.flows.pages import state_of, submit
from tests.flows.steps import enforce, reason, signed_in
from tests.flows.test_guard import in_state
from tests.portal import Browser
from tests.services import Portal, SetClock, projecting, serving

JSON: dict[str, Any] = {
    "email": address("dist-admin"),
    "password": PASSWORD,
    "account_id": "three-dist",
    "code": "123456",
    "secret": "none",
    "mailed_token": "none",
    "reason": "lost phone",
    "enforce_partner_users": False,
    "enforce_organizations": False,
    "sign_everyone_out": True,
}
POLICY = {"version": "1", "enforce_partner_users": "off", "enforce_organizations": "off", "sign_everyone_out": "on"}
FORM = {name: str(value) for name, value in JSON.items()} | POLICY | {"credits_mfa": "on", "provider_id": "none"}
"""Every field that decides something, in one form: a route takes those that it knows."""
AT_ONCE = 64
"""Connections that are open together."""


@pytest.fixture(params=["httptools", "h11"])
def parsed_by(request: pytest.FixtureRequest, watchword: Watchword) -> Iterator[tuple[Portal, uvicorn.Server]]:
    """The application behind each of the parsers that uvicorn has."""
    options = {"http": "h11"} if request.param == "h11" else {}
    clock = watchword.sockets.clock
    assert isinstance(clock, SetClock)
    with serving(watchword, **options) as server, projecting(watchword):
        portal = Portal(watchword, clock, watchword.settings.public_url)
        yield portal, server
        for browser in portal.browsers:
            browser.http.close()


def unsafe_routes(portal: Portal) -> list[tuple[str, Door]]:
    """Return every route that may change something, with its method."""
    doors = [route for route in create_app(portal.watchword).routes if isinstance(route, Door)]
    found = [(method, door) for door in doors for method in door.methods or () if method not in {"GET", "HEAD"}]
    assert len(found) > 30
    return found


def request_of(method: str, door: Door, browser: Browser) -> tuple[bytes, bytes]:
    """Return the head and the body of a request that the guard lets in."""
    if door.include_in_schema:
        fields = door.dependant.body_params
        known = getattr(fields[0].field_info.annotation, "model_fields") if fields else {}  # noqa: B009 a model's class
        body, kind = json.dumps({name: JSON[name] for name in known}).encode(), "application/json"
    else:
        body, kind = urlencode({"csrf_token": browser.csrf} | FORM).encode(), "application/x-www-form-urlencoded"
    path = re.sub(r"\{partner_id\}", "dist", door.path)
    path = re.sub(r"\{account_id\}", "dist-support", re.sub(r"\{\w+\}", "none", path))
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(browser.origin).netloc}\r\nOrigin: {browser.origin}\r\n"
        f"Cookie: watchword={browser.http.cookies['watchword']}\r\nX-CSRF-Token: {browser.csrf}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body


async def send_cut(portal: Portal, requests: list[tuple[bytes, bytes]]) -> int:
    """Send every true prefix of each body, close the connection, and return how many that were."""
    gate, port = asyncio.Semaphore(AT_ONCE), portal.watchword.settings.port

    async def cut(content: bytes) -> None:
        async with gate:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(content)
            writer.close()
            await writer.wait_closed()

    parts = [head + body[:length] for head, body in requests for length in range(len(body))]
    await asyncio.gather(*map(cut, parts))
    return len(parts)


def until_all_are_judged(server: uvicorn.Server) -> None:
    deadline = time.monotonic() + 60
    while server.server_state.tasks or server.server_state.connections:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_x01_no_part_of_a_body_changes_anything(parsed_by: tuple[Portal, uvicorn.Server]) -> None:
    """X01: every prefix of every form and JSON body, from a browser that the route lets in."""
    portal, server = parsed_by
    browsers = {state: in_state(portal, state) for state in ("anonymous", "identified", "mfa_code_required")}
    browsers |= {"signed_in": signed_in(portal, "dist-owner"), "mfa_setup_required": signed_in(portal, "dist-admin2")}
    browsers["mfa_setup_required"].post("/me/mfa/enable")
    browsers["mfa_setup_required"].sign_in(address("dist-admin2"), PASSWORD)
    enforce(browsers["signed_in"], "dist", users=False, organizations=True)
    requests = []
    for method, door in unsafe_routes(portal):
        assert door.guard is not None
        states_let_in = {state.value for state in door.guard.states}
        chosen = sorted(states_let_in & {"signed_in"} or states_let_in)
        requests += [request_of(method, door, browsers[state]) for state in chosen]
    for browser in portal.browsers:
        browser.http.close()  # connections that are kept would be waited for
    before = portal.watchword.store.last_position()
    assert asyncio.run(send_cut(portal, requests)) > 1000
    until_all_are_judged(server)
    assert portal.watchword.store.last_position() == before
    for state, browser in browsers.items():
        assert state_of(portal, browser.http.cookies["watchword"]) == state


@pytest.mark.parametrize(
    "last", [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
)
def test_x01_a_server_that_says_it_is_over_too_early_is_not_believed(portal: Portal, last: Message) -> None:
    """X01: the length that was announced counts; a disconnect answers nothing."""
    owner = signed_in(portal, "dist-owner")
    body = f"csrf_token={owner.csrf}".encode()
    names = {"host": urlsplit(portal.address).netloc, "origin": portal.address, "content-length": str(len(body) + 1)}
    names |= {
        "cookie": f"watchword={owner.http.cookies['watchword']}",
        "content-type": "application/x-www-form-urlencoded",
    }
    headers = [(name.encode(), value.encode()) for name, value in names.items()]
    scope = {"type": "http", "method": "POST", "path": "/security-settings/enable", "query_string": b""}
    messages, sent = iter([{"type": "http.request", "body": body, "more_body": True}, last]), []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    before = portal.watchword.store.last_position()
    asyncio.run(create_app(portal.watchword)({**scope, "headers": headers}, receive, send))
    assert [each["status"] for each in sent if "status" in each] == ([400] if last["type"] == "http.request" else [])
    assert portal.watchword.store.last_position() == before


@pytest.mark.parametrize("missing", list(POLICY))
@pytest.mark.parametrize("instead", [{}, {"enforce_organizations": "of"}, {"version": "x", "sign_everyone_out": ""}])
def test_x01_a_policy_form_without_one_of_its_fields_is_refused_by_its_name(
    portal: Portal, missing: str, instead: dict[str, str]
) -> None:
    """X01: an absent field never means "no", and neither does half a value."""
    owner = signed_in(portal, "dist-owner")
    assert enforce(owner, "dist", organizations=True).status_code == 200
    before = portal.watchword.store.last_position()
    fields = {name: value for name, value in (POLICY | instead).items() if name != missing}
    answer = submit(portal, owner, "/security-settings/policy", **fields)
    assert answer.status_code == 422
    assert any(f"the field {name} has to be" in answer.text for name in (missing, *instead))
    assert portal.watchword.store.last_position() == before


@pytest.mark.parametrize("missing", ["enforce_partner_users", "enforce_organizations"])
def test_x01_a_json_policy_without_one_of_its_options_is_refused_by_its_name(portal: Portal, missing: str) -> None:
    """X01: what a program leaves out is no "no" either."""
    owner = signed_in(portal, "dist-owner")
    assert enforce(owner, "dist", users=True, organizations=True).status_code == 200
    body = {name: False for name in ("enforce_partner_users", "enforce_organizations") if name != missing}
    answer = owner.put("/partners/dist/mfa-policy", body)
    assert reason(answer) == (422, "bad_input")
    assert [each["field"] for each in answer.json()["errors"]] == [missing]
