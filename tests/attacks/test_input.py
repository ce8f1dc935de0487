"""Whatever can be typed: too long, too deep, unprintable, another type, a header, a formula, a script."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.attacks import walk
from tests.attacks.raw import status_of
from tests.attacks.site import Site
from tests.directory import PASSWORD, address
from tests.flows.steps import signed_in


def test_inp_04_what_is_too_long_is_refused_before_it_costs_anything(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    browser = site.browser()
    browser.session()
    email = address(account)
    for body, status in (
        ({"email": email, "password": "x" * 257}, 422),
        ({"email": email, "password": "x" * 1_000_000}, 413),
        ({"email": "a" * 100_000 + "@x.example", "password": "x"}, 413),
        ({"email": "a" * 255 + "@x.example", "password": "x"}, 422),
        ({"email": email, "password": PASSWORD} | {f"key-{n}": "x" for n in range(10_000)}, 413),
        ({"email": email, "password": PASSWORD} | {f"k{n}": 1 for n in range(2_000)}, 422),
        ({"code": "1" * 1_000_000}, 413),
        ({"code": "1" * 21}, 403),
    ):
        path = "/sign-in/code" if "code" in body else "/sign-in"
        answer = browser.post(path, body)
        assert answer.status_code in {status, 401, 422} if path.endswith("code") else {status}, answer.text[:200]
    sent = {"X-CSRF-Token": browser.csrf, "Origin": browser.origin, "Content-Type": "application/json"}
    for deep in ("[" * 30_000, '{"a":' * 10_000, f'{{"email": {"[" * 20_000}', '{"email": 1' + "0" * 60_000 + "}"):
        answer = browser.http.post("/sign-in", content=deep.encode(), headers=sent)
        assert answer.status_code in {400, 422}, deep[:20]
    assert "sign_in_locked" not in site.topics(account, "account"), "none of it was compared, so none was counted"
    assert browser.sign_in(email, PASSWORD)["state"] == "signed_in"


def test_inp_04_a_body_without_an_end_and_headers_without_a_limit_are_cut_off(site: Site) -> None:
    browser = site.browser()
    browser.session()

    def endless() -> Iterator[bytes]:
        for _ in range(1_000):
            yield b"x" * 100_000

    try:
        answer = browser.http.post("/sign-in", content=endless(), headers={"Content-Type": "application/json"})
        assert answer.status_code in {403, 413}
    except httpx.TransportError:
        pass  # it was hung up on
    head = "GET /api/v1/session HTTP/1.1\r\nHost: mfa.example\r\n"
    for line in (f"Cookie: {'a=b; ' * 2_000}", f"X-Long: {'x' * 1_000_000}"):
        assert status_of(site, f"{head}{line}\r\nConnection: close\r\n\r\n") in {200, 400, 413, 431}
    request = f"GET /api/v1/session?{'q' * 1_000_000} HTTP/1.1\r\nHost: mfa.example\r\nConnection: close\r\n\r\n"
    assert status_of(site, request) in {200, 400, 414, 431}
    assert browser.session()["state"] == "anonymous"


TEXTS = (
    "\x00",
    "a\x00b",
    "\ufffe",
    "\x1b[2J\x1b]0;x\x07",
    "\ud800",
    "\u202e\u2066",
    "\x7f\x85",
    "a\r\nb",
    "\U0010ffff",
    "İ" * 50,
)


def fields(document: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    """Return the names of the fields of an operation's JSON body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = content.get("$ref", "").rpartition("/")[2]
    return list(document["components"]["schemas"].get(name, {}).get("properties", {}))


def test_inp_05_unprintable_text_in_any_field_is_answered_and_stays_out_of_the_log(site: Site) -> None:
    partner = site.partner("owner", "support")
    owner = signed_in(site, f"{partner}-owner")
    document = owner.get("/openapi.json").json()
    written = site.log.stat().st_size
    tried = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if owner.session()["state"] != "signed_in":  # so many wrong passwords end a session
                site.clock.advance(minutes=31)
                owner = signed_in(site, f"{partner}-owner")
            for name, text in itertools.product(fields(document, operation), TEXTS):
                url, body = re.sub(r"\{\w+\}", "none", path), json.dumps({name: text}).encode()
                answer = raw(owner, method.upper(), url, body)
                assert 400 <= answer.status_code < 500 or answer.status_code == 200, (path, name, text)
                tried += 1
    assert tried > 100
    owner = site.browser()
    owner.session()
    for body in (
        b'{"email": "\xff\xfe", "password": "x"}',
        b"\xff",
        b"\x00",
        b'{"email": "a\x00"}',
        "{}".encode("utf-16"),
    ):
        assert raw(owner, "POST", "/api/v1/sign-in", body).status_code in {400, 422}
    site.clock.advance(minutes=31)
    owner = signed_in(site, f"{partner}-owner")
    for path in (
        "/api/v1/accounts/%00/mfa",
        "/api/v1/partners/%ff%fe/users",
        "/user-management?q=%00",
        "/reset/%1b%5b2J",
    ):
        assert walk.ask(owner, "GET", path).status_code in {404, 410, 422}, path
    new = site.log.read_bytes()[written:]
    assert b"Traceback" not in new
    assert not re.search(rb"[\x00-\x08\x0b-\x1f]", new)


def raw(browser: Any, method: str, path: str, body: bytes) -> httpx.Response:
    sent = {"X-CSRF-Token": browser.csrf, "Origin": browser.origin, "Content-Type": "application/json"}
    answer: httpx.Response = browser.http.request(method, f"{browser.origin}{path}", content=body, headers=sent)
    return answer


@pytest.mark.parametrize("door", ["users", "audit", "summary"])
def test_inp_08_no_filter_and_no_cursor_is_taken_for_anything_else(site: Site, door: str) -> None:
    mine, theirs = site.partner("owner", "support"), site.partner("support")
    owner = signed_in(site, f"{mine}-owner")
    parameters = owner.get("/openapi.json").json()["paths"][f"/api/v1/partners/{{partner_id}}/{door}"]["get"][
        "parameters"
    ]
    names = [each["name"] for each in parameters if each["in"] == "query" and each["name"] != "min_position"]
    values = (
        "'",
        "' OR 1=1 --",
        '"',
        "%",
        "[]",
        "[1]",
        "{}",
        "-1",
        "1e309",
        "9" * 40,
        "0x10",
        "null",
        "1;SELECT pg_sleep(0)",
        "",
    )
    for name in names:
        for value in values:
            answer = owner.get(f"/partners/{mine}/{door}", **{name: value})
            assert answer.status_code in {200, 422}, (name, value)
            assert theirs not in answer.text
        many = owner.http.get(f"/partners/{mine}/{door}", params=[(name, "a"), (name, "b")])
        assert many.status_code in {200, 422}


def test_inp_08_a_cursor_that_was_changed_or_comes_from_elsewhere_is_refused(site: Site) -> None:
    mine, theirs = site.partner("owner", "support"), site.partner("owner", "support")
    owner, other = signed_in(site, f"{mine}-owner"), signed_in(site, f"{theirs}-owner")
    position = site.caught_up()
    cursor = owner.get(f"/partners/{mine}/users", limit=1, min_position=position).json()["next_cursor"]
    foreign = other.get(f"/partners/{theirs}/users", limit=1, min_position=position).json()["next_cursor"]
    assert cursor
    assert foreign
    for each in (foreign, cursor[:-2], cursor + "A", cursor[::-1], "A" * 80, "....", "ÿ"):
        assert owner.get(f"/partners/{mine}/users", cursor=each).status_code == 422, each
    assert owner.get(f"/partners/{mine}/users", cursor=cursor, sort="email").status_code == 422
