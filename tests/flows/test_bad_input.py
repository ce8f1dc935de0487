"""Bad input gets an answer that names the field and the remedy; nothing is lost, half done, or repeated back."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.directory import PASSWORD, address
from tests.flows.steps import reason, signed_in
from tests.services import Portal

SIGN_IN = {"email": address("dist-admin"), "password": PASSWORD}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None),
        (b"[" * 30_000, None),
        (b"\xff\xfe", None),
        (b"[]", "body"),
        (b'{"email": 7, "password": "x"}', "email"),
        (b'{"email": "a@b.example", "password": ["x"]}', "password"),
        (b'{"email": "a@b.example"}', "password"),
        (b'{"email": "not an address", "password": "x"}', "email"),
        (b'{"email": "a\\u0000@b.example", "password": "x"}', "email"),
        (b'{"email": "a@b.example", "password": "\\u0000"}', "password"),
        (b'{"email": "a@b.example", "password": "\\ud800"}', "password"),
        (b'{"email": "a@b.example", "password": "x", "role": "owner"}', "role"),
        (b'{"email": "a@b.example", "password": "' + b"x" * 300 + b'"}', "password"),
        (b'{"email": "' + b"x" * 5000 + b'@b.example", "password": "x"}', "email"),
    ],
)
def test_a_malformed_body_names_its_field(portal: Portal, body: bytes, field: str | None) -> None:
    browser = portal.browser()
    browser.session()
    headers = {"X-CSRF-Token": browser.csrf, "Origin": browser.origin, "Content-Type": "application/json"}
    answer = browser.http.post("/sign-in", content=body, headers=headers)
    assert answer.status_code in ({422} if field else {400, 422}), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    by_framework = headers | {"Content-Type": "application/json; charset=utf-8"}
    for each in (answer, browser.http.post("/sign-in", content=body, headers=by_framework)):
        assert field is None or field in [error["field"] for error in each.json()["errors"]], each.text
        assert "xxxxxx" not in each.text
    assert browser.post("/sign-in", SIGN_IN).status_code == 200


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/vnd.x+json"])
@pytest.mark.parametrize("path", ["/session/step-up", "/partners/dist/mfa-policy"])
def test_x09_the_guard_is_asked_before_the_body_is_judged(portal: Portal, kind: str, path: str) -> None:
    """X09: however the type is written, whom the route does not let in learns nothing about what was sent."""
    owner, nobody, method = signed_in(portal, "dist-owner"), portal.browser(), "PUT" if "policy" in path else "POST"
    headers = {"Content-Type": kind, "Origin": owner.origin}
    for browser, expected in ((nobody, (401, "session_ended")), (owner, (403, "cross_site"))):
        answer = browser.http.request(method, path, content=b"{", headers={**headers, "X-CSRF-Token": "wrong"})
        assert reason(answer) == expected
    headers["X-CSRF-Token"] = owner.csrf
    assert reason(owner.http.request(method, path, content=b"{", headers=headers)) == (422, "bad_input")


def test_a_malformed_id_in_the_path_is_named_whoever_reads_it(portal: Portal) -> None:
    browser = portal.browser()
    browser.session()
    answers = [
        browser.http.post(
            "/unlock/no%40id/confirm",
            content=b'{"secret": "x"}',
            headers={"X-CSRF-Token": browser.csrf, "Origin": browser.origin, "Content-Type": kind},
        )
        for kind in ("application/json", "application/json; charset=utf-8")
    ]
    assert [each.status_code for each in answers] == [422, 422]
    assert "link_id" in [error["field"] for error in answers[0].json()["errors"]]


@pytest.mark.parametrize(
    "code",
    [
        "１２３４５６",
        "𝟏𝟐𝟑𝟒𝟓𝟔",
        "٠١٢٣٤٥",
        "12345\u200b6",
        "12345\u00a06",
        "+123456",
        "123456\n",
        "12345\x006",
        123456,
        "1234567",
        "12345",
        None,
    ],
)
def test_a_code_is_six_ascii_digits_or_it_is_not_looked_at(portal: Portal, code: Any) -> None:
    person = signed_in(portal, "dist-support")
    person.start_setup()
    before = portal.watchword.store.last_position()
    answer = person.post("/me/mfa/setup/confirm", {"code": code})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "code")
    assert portal.watchword.store.last_position() == before


def test_a_large_body_is_turned_away(portal: Portal) -> None:
    browser = portal.browser()
    browser.session()
    assert reason(browser.post("/sign-in", {"email": "a" * 1_000_000, "password": "x"})) == (413, "too_large")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10**30}, "limit"),
        ({"sort": "password"}, "sort"),
        ({"mfa_status": "active"}, "mfa_status"),
        ({"role": "god"}, "role"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"cursor": "ÿ"}, "cursor"),
        ({"min_position": -1}, "min_position"),
        ({"q": "\x00"}, "q"),
    ],
)
def test_a_wrong_query_names_its_parameter(portal: Portal, query: dict[str, Any], field: str) -> None:
    answer = signed_in(portal, "dist-owner").get("/partners/dist/users", **query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_every_wrong_parameter_is_named_and_only_to_who_is_let_in(portal: Portal) -> None:
    path, wrong = f"/partners/{'x' * 101}/users", {"limit": 0, "sort": "rank", "q": "\x00", "role": "owner"}
    answer = signed_in(portal, "dist-owner").get(path, **wrong)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["partner_id", "q", "sort", "limit"]
    assert reason(portal.browser().get(path, **wrong)) == (401, "session_ended")


def test_pages_of_users_join_without_gap_or_repetition(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    whole = [row["account_id"] for row in owner.get("/partners/dist/users", limit=200).json()["items"]]
    for sort in ("name", "-name", "email", "-email"):
        found: list[str] = []
        cursor: str | None = None
        while True:
            more: dict[str, Any] = {"cursor": cursor} if cursor else {}
            page = owner.get("/partners/dist/users", limit=2, sort=sort, **more).json()
            found += [row["account_id"] for row in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(found) == sorted(whole), sort
    forged = owner.get("/partners/dist/users", limit=2).json()["next_cursor"]
    assert owner.get("/partners/dist/users", sort="-email", cursor=forged).status_code == 422


def test_a_search_takes_percent_signs_for_what_they_are(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    for words in ("%", "_", "\\", "' OR 1=1 --"):
        assert owner.get("/partners/dist/users", q=words).json()["items"] == [] or words == "_"
    assert [row["account_id"] for row in owner.get("/partners/dist/users", q="ADMIN2").json()["items"]] == [
        "dist-admin2"
    ]


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.timeout(300)
def test_the_whole_api_keeps_to_its_description(portal: Portal) -> None:
    """Generated requests of a signed-in owner: each answer is one that the OpenAPI document describes."""
    owner = signed_in(portal, "dist-owner")
    document = owner.get("/openapi.json").json()
    sent = {
        "Origin": owner.origin,
        "Cookie": f"watchword={owner.http.cookies['watchword']}",
        "X-CSRF-Token": owner.csrf,
    }
    described: Any = schemathesis.openapi.from_dict(document)
    operations = [each.ok() for each in described.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        if operation.method.upper() == "DELETE":
            continue

        @settings(
            max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
        )
        @given(case=operation.as_strategy())
        def generated(case: Any) -> None:
            answer = case.call(base_url=portal.address, headers=sent)
            case.validate_response(answer, checks=CHECKS)

        generated()
