"""X21: a fact of a newer release, or a damaged one, stops its own account and nothing else; every page and program goes on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from api.cli.serve import _fold_again_what_can_be_read_now
from api.settings import Settings
from domain.facts import RoleChanged
from domain.kernel import FACTS
from handlers.adapters.postgres import reading
from projections.views import VIEWS, wait_for
from tests.directory import PASSWORD, address
from tests.flows.pages import look
from tests.flows.steps import column, enforce, reason, signed_in
from tests.services import Portal

ADD = """
    INSERT INTO stored_events (originator_id, originator_version, topic, state) SELECT %(stream)s,
        coalesce(max(originator_version), 0) + 1, %(topic)s, %(state)s FROM stored_events WHERE originator_id = %(stream)s
    RETURNING notification_id"""
Strange = Callable[[Portal], int]


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Checkpoints in a folder of the test's own: each database is another log."""
    monkeypatch.setenv("LEDGER_DIR", str(tmp_path / "ledger"))
    return replace(settings, ledger_dir=tmp_path / "ledger")


def add(portal: Portal, topic: str, state: bytes, stream: str = "account:dist-support") -> int:
    with psycopg.connect(portal.watchword.settings.need("admin_database_url")) as owner:
        row = owner.execute(ADD, {"stream": stream, "topic": topic, "state": state}).fetchone()
        owner.execute("NOTIFY stored_events")
    assert row is not None
    position = int(row[0])
    assert wait_for(portal.watchword.database.one, list(VIEWS), position, 10), "the views go on"
    return position


def state_of(portal: Portal, fact: dict[str, Any]) -> bytes:
    more = {
        "actor": "operator",
        "tenant": "dist",
        "command_id": "x",
        "correlation_id": "",
        "ip_prefix": "",
        "session": "",
    }
    return orjson.dumps({"fact": fact, "at": portal.clock.now(), **more})


def unheard_of(portal: Portal) -> int:
    return add(portal, "account.nicknamed.v1", state_of(portal, {"colour": "blue"}))


def newer(portal: Portal) -> int:
    return add(portal, "account.role_changed.v9", state_of(portal, {"role": "admin", "until": "tomorrow"}))


def of_another_shape(portal: Portal) -> int:
    return add(portal, "account.role_changed.v1", state_of(portal, {"role": "admin", "more": 1}))


def damaged(portal: Portal) -> int:
    return add(portal, "account.role_changed.v1", b"\xff\x00 no JSON")


STRANGE = [unheard_of, newer, of_another_shape, damaged]


@pytest.mark.parametrize("strange", STRANGE, ids=lambda each: each.__name__)
def test_x21_its_account_is_on_hold_and_named_and_everything_else_goes_on(portal: Portal, strange: Strange) -> None:
    owner = signed_in(portal, "dist-owner")
    position = strange(portal)
    ready = portal.browser().http.get(f"{portal.address}/readyz")
    assert ready.status_code == 503
    assert f"position {position} of account:dist-support" in ready.json()["unfit"]["facts"]
    rows = owner.get("/partners/dist/users", min_position=position, limit=200).json()["items"]
    assert [row["account_id"] for row in rows if row["unreadable"]] == ["dist-support"]
    assert "on hold" in look(portal, owner, "/user-management?q=dist-support").text
    other = enforce(owner, "dist", users=True)
    assert other.status_code == 200
    assert column(owner, "dist", "dist-admin", other.json()["position"])["required"] is True
    assert signed_in(portal, "sub-owner").session()["state"] == "signed_in"


@pytest.mark.parametrize("strange", STRANGE, ids=lambda each: each.__name__)
def test_x21_nothing_is_decided_on_its_stream(portal: Portal, strange: Strange) -> None:
    stream = "user_mfa:dist-support"
    topic, state = {
        "unheard_of": ("user_mfa.painted.v1", state_of(portal, {"colour": "blue"})),
        "newer": ("user_mfa.enabled.v2", state_of(portal, {"by": "somebody"})),
        "of_another_shape": ("user_mfa.enabled.v1", state_of(portal, {"by": "somebody"})),
        "damaged": ("user_mfa.enabled.v1", b"{"),
    }[strange.__name__]
    owner = signed_in(portal, "dist-owner")
    position = add(portal, topic, state, stream)
    assert reason(owner.post("/accounts/dist-support/mfa/reset", {})) == (503, "unavailable")
    person = portal.browser()
    person.session()
    answer = person.post("/sign-in", {"email": address("dist-support"), "password": PASSWORD})
    assert reason(answer) == (503, "unavailable")
    assert "Retry-After" not in answer.headers, "only a newer release, or a repair, changes this answer"
    assert "can only be read by a newer release" in answer.json()["detail"]
    assert stream not in answer.text
    assert portal.watchword.store.last_position() == position
    assert owner.post("/accounts/dist-admin/mfa/reset", {}).status_code == 200


@pytest.mark.parametrize("strange", STRANGE, ids=lambda each: each.__name__)
def test_x21_every_page_and_answer_of_the_past_goes_on(portal: Portal, strange: Strange) -> None:
    owner = signed_in(portal, "dist-owner")
    begin = portal.clock.now().isoformat()
    portal.clock.advance(minutes=1)
    enforce(owner, "dist", users=True)
    position = strange(portal)
    portal.clock.advance(minutes=1)
    for path in ("/", "/user-management", "/audit", "/audit?account=dist-support", "/me/history", "/security-settings"):
        assert look(portal, owner, path).status_code == 200, path
    for path, asked in (
        ("/partners/dist/audit", {}),
        ("/partners/dist/summary", {}),
        ("/partners/dist/users", {"as_of": position}),
        ("/accounts/dist-support/mfa", {"as_of": position}),
        ("/partners/dist/difference", {"from": 1, "to": position}),
    ):
        answer = owner.get(path, **asked)
        assert answer.status_code in {200, 404}, (path, answer.text)
    token = portal.watchword.tokens.create("consumer", ["audit"], "*")
    program = portal.browser(headers={"Authorization": f"Bearer {token}"})
    feed = program.get("/events", after=position - 1).json()["items"]
    assert [item["sequence"] for item in feed][:1] == [str(position)]
    assert program.get("/events/range", **{"from": 1, "to": position}).status_code == 200
    found = owner.get("/partners/dist/certificate", **{"from": begin, "to": portal.clock.now().isoformat()})
    assert found.status_code == 200, found.text
    assert found.json()["remarks"]["unreadable_facts"]["first"] == [position]


def test_x21_a_release_that_can_read_the_fact_folds_it_in_and_the_account_goes_on(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = signed_in(portal, "dist-owner")
    state = state_of(portal, {"role": "admin"})
    position = add(portal, "account.role_changed.v2", state)
    assert column(owner, "dist", "dist-support", position)["role"] == "support"
    monkeypatch.setitem(FACTS, "account.role_changed.v2", RoleChanged)
    reading._shape.cache_clear()
    _fold_again_what_can_be_read_now(portal.watchword)
    row = column(owner, "dist", "dist-support", position)
    assert (row["role"], row["unreadable"]) == ("admin", False)
    assert "facts" not in portal.browser().http.get(f"{portal.address}/readyz").json()["unfit"]
    reading._shape.cache_clear()
