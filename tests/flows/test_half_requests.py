"""X01: of a request of which only a part arrives nothing is carried out, and a field that is missing never means no."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

import pytest
import uvicorn

from api.bootstrap import Watchword
from api.embedded.ports import free_port
from api.rest import PREFIX
from api.web import create_app
from tests.directory import PASSWORD
from tests.flows import test_guard, test_pages_guard
from tests.flows.pages import look, submit
from tests.flows.steps import enforce, enrolled, next_code, signed_in
from tests.portal import Browser
from tests.services import Portal, projecting

FIELDS = {
    "email": "nobody@example.org",
    "reason": "lost phone",
    "password": PASSWORD,
    "account_id": "dist-support",
    "provider_id": "none",
    "code": "123456",
    "enforce_partner_users": "on",
    "enforce_organizations": "on",
    "sign_everyone_out": "on",
}
"""What the pages' forms have; each takes of it what it knows."""
JSON = b'{"enforce_partner_users": false, "enforce_organizations": false, "sign_everyone_out": true}'


@contextmanager
def served_by(watchword: Watchword, parser: str) -> Iterator[Portal]:
    """Serve on a port of its own, with one of the two parsers of the server."""
    port = free_port()
    own = replace(watchword, settings=replace(watchword.settings, port=port, public_url=f"http://127.0.0.1:{port}"))
    server = uvicorn.Server(uvicorn.Config(create_app(own), port=port, log_level="error", http=parser))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        portal = Portal(own, own.sockets.clock, own.settings.public_url)  # type: ignore[arg-type]
        yield portal
        for browser in portal.browsers:
            browser.http.close()
    finally:
        server.should_exit = True
        thread.join(10)


def send_part(portal: Portal, browser: Browser, line: str, kind: str, body: bytes, length: int) -> None:
    """Send a request that says how long its whole body is, and close the connection after a part of it."""
    parts = urlsplit(portal.address)
    cookies = "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items())
    head = (
        f"{line} HTTP/1.1\r\nHost: {parts.netloc}\r\nOrigin: {portal.address}\r\nCookie: {cookies}\r\n"
        f"X-CSRF-Token: {browser.csrf}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=10) as connection:
        connection.sendall(head.encode() + body[:length])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass


def lengths(body: bytes, *, every: bool) -> list[int]:
    """Return the lengths of the prefixes that are tried: all, or those at the ends of fields and one beside them."""
    ends = {number + step for number, byte in enumerate(body) if byte in b"&=,:" for step in (0, 1)}
    return list(range(len(body))) if every else sorted({0, 1, len(body) - 1, *ends})


@pytest.mark.parametrize("parser", ["httptools", "h11"])
def test_x01_no_prefix_of_any_form_or_body_is_carried_out(watchword: Watchword, parser: str) -> None:
    with served_by(watchword, parser) as portal, projecting(portal.watchword):
        owner = signed_in(portal, "dist-owner")
        assert enforce(owner, "dist", users=True, organizations=True).status_code == 200
        before = portal.watchword.store.last_position()
        tried = 0
        form = "application/x-www-form-urlencoded"
        for method, path in test_pages_guard.routes(portal):
            if method != "GET":
                body = urlencode({"csrf_token": owner.csrf, "version": "2", **FIELDS}).encode()
                for length in lengths(body, every=path.endswith("/policy")):
                    send_part(portal, owner, f"{method} {test_pages_guard.filled(path)}", form, body, length)
                    tried += 1
        for method, short in test_guard.routes(portal):
            if method in {"POST", "PUT", "PATCH"}:
                path = PREFIX + short.replace("{id}", "dist" if "partners" in short else "dist-support")
                for length in lengths(JSON, every=path.endswith("/mfa-policy")):
                    send_part(portal, owner, f"{method} {path}", "application/json", JSON, length)
                    tried += 1
        assert tried > 1_000
        assert owner.session()["state"] == "signed_in"
        time.sleep(0.5)  # whatever was begun in a thread has ended
        assert portal.watchword.store.last_position() == before
        policy = owner.get("/partners/dist/mfa-policy").json()
        assert (policy["enforce_partner_users"], policy["enforce_organizations"]) == (True, True)


@pytest.mark.parametrize(
    "missing", ["enforce_partner_users", "enforce_organizations", "sign_everyone_out", "version", "csrf_token"]
)
def test_x01_a_field_of_the_policy_that_is_missing_never_means_no(portal: Portal, missing: str) -> None:
    owner = signed_in(portal, "dist-owner")
    enforce(owner, "dist", users=True, organizations=True)
    before = portal.watchword.store.last_position()
    whole = {"enforce_partner_users": "off", "enforce_organizations": "off", "sign_everyone_out": "off", "version": "2"}
    given = {"csrf_token": owner.csrf, **whole}
    del given[missing]
    answer = owner.http.post(
        f"{portal.address}/security-settings/policy", data=given, headers={"Origin": portal.address}
    )
    assert answer.status_code == (403 if missing == "csrf_token" else 422)
    if missing != "csrf_token":
        assert f'href="#policy-{missing}"' in answer.text
    assert portal.watchword.store.last_position() == before


@pytest.mark.parametrize("missing", ["enforce_partner_users", "enforce_organizations"])
def test_x01_a_demand_that_is_missing_in_json_is_refused_too(portal: Portal, missing: str) -> None:
    owner = signed_in(portal, "dist-owner")
    body = {"enforce_partner_users": True, "enforce_organizations": True}
    del body[missing]
    answer = owner.put("/partners/dist/mfa-policy", body)
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [missing])


# ── What was sent is shown again ──


def boxes(text: str) -> dict[str, bool]:
    names = ("enforce_partner_users", "enforce_organizations", "sign_everyone_out")
    return {name: " checked" in text.partition(f'id="{name}"')[2].partition(">")[0] for name in names}


def test_x60_after_a_mistyped_password_the_boxes_are_as_they_were_sent(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    portal.clock.advance(minutes=14)
    owner.session()
    portal.clock.advance(minutes=5)
    page = look(portal, owner, "/security-settings")
    assert boxes(page.text) == dict.fromkeys(boxes(page.text), False)
    sent = {"enforce_partner_users": "on", "enforce_organizations": "off", "sign_everyone_out": "on", "version": "0"}
    answer = submit(portal, owner, "/security-settings/policy", password="mistyped", **sent)
    assert answer.status_code == 401
    assert boxes(answer.text) == {
        "enforce_partner_users": True,
        "enforce_organizations": False,
        "sign_everyone_out": True,
    }
    assert 'id="policy-password-hint">' in answer.text
    assert submit(portal, owner, "/security-settings/policy", password=PASSWORD, **sent).status_code == 303


def test_x60_nothing_is_said_to_be_saved_when_nothing_was(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    sent = {"enforce_partner_users": "on", "enforce_organizations": "off", "sign_everyone_out": "off"}
    submit(portal, owner, "/security-settings/policy", version="0", **sent)
    assert "The policy is saved" in look(portal, owner, "/security-settings").text
    before = portal.watchword.store.last_position()
    submit(portal, owner, "/security-settings/policy", version="1", **sent)
    page = look(portal, owner, "/security-settings").text
    assert "Nothing was changed" in page
    assert "saved" not in page
    assert portal.watchword.store.last_position() == before


@pytest.mark.parametrize("path", ["/user-management/dist-support/reset", "/security-settings/reset"])
def test_x61_what_is_wrong_with_a_dialog_is_said_inside_it_and_what_was_typed_is_kept(
    portal: Portal, path: str
) -> None:
    owner, key = enrolled(portal, "dist-owner")
    portal.clock.advance(minutes=14)
    owner.session()
    portal.clock.advance(minutes=5)
    code = next_code(portal, key)
    answer = submit(portal, owner, path, password="mistyped", code=code, reason="lost her phone")
    assert answer.status_code == 401
    before, _, dialog = answer.text.partition("<dialog")
    assert 'role="alert"' not in before
    assert 'role="alert"' in dialog
    assert "password-hint" in dialog
    if path.startswith("/user"):
        assert 'value="lost her phone"' in dialog


# ── Addresses that only forms post to, and HEAD ──


def test_x02_head_is_as_get_without_a_body(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    for path in ("/healthz", "/readyz", "/", "/sign-in", "/security-settings", f"{PREFIX}/session"):
        head, get = (owner.http.request(method, f"{portal.address}{path}") for method in ("HEAD", "GET"))
        assert (head.status_code, head.content) == (get.status_code, b""), path


def test_x02_who_opens_the_address_of_a_form_is_led_to_its_page(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    for path, page in (
        ("/mfa/setup/confirm", "/mfa/setup"),
        ("/security-settings/policy", "/security-settings"),
        ("/user-management/dist-support/reset", "/user-management"),
        ("/sign-out", "/"),
    ):
        answer = look(portal, owner, path)
        assert (answer.status_code, answer.headers["location"]) == (303, page)
