"""Programs of the portal pull the log, and prove that they missed nothing of it."""

import hashlib
import importlib.util
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.bootstrap import ledger
from api.rest import events
from domain.merkle import leaf_hash
from handlers.adapters.messages import message_of
from tests.flows.steps import enforce, enrolled, reason, signed_in
from tests.portal import Browser
from tests.services import Portal

REST = 2**62


def reconciler() -> Any:
    spec = importlib.util.spec_from_file_location("reconcile", Path(__file__).parents[2] / "docs" / "reconcile.py")
    assert spec and spec.loader  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECONCILE = reconciler()


def program(portal: Portal, partner: str, scope: str = "audit") -> Browser:
    token = portal.watchword.tokens.create(f"{scope}-{partner}", [scope], partner)
    return portal.browser(headers={"Authorization": f"Bearer {token}"})


def pulled(browser: Browser, limit: int = 7) -> list[dict[str, Any]]:
    """Pull the whole feed."""
    found: list[dict[str, Any]] = []
    after, page = 0, dict[str, Any](more=True)
    while page["more"]:
        answer = browser.get("/events", after=after, limit=limit)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        assert all(after < int(item["sequence"]) <= page["next"] for item in page["items"])
        found += page["items"]
        after = page["next"]
    assert after == page["position"]
    return found


def a_story(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    enrolled(portal, "dist-support")
    enforce(owner, "dist", users=True)
    enrolled(portal, "dist2-support")
    enforce(signed_in(portal, "dist2-owner"), "dist2", users=True)


# ── The feed ──


def test_a_program_for_all_partners_gets_every_fact_in_the_order_of_the_log(portal: Portal) -> None:
    a_story(portal)
    log = portal.watchword.store.read(0, 1000)
    items = pulled(program(portal, "*"))
    assert [int(item["sequence"]) for item in items] == [envelope.position for envelope in log]
    rows = ledger(portal.watchword).tree.facts(0, REST, 1000)
    assert [item["leafhash"] for item in items] == [leaf_hash(row.leaf()).hex() for row in rows]
    for item, envelope in zip(items, log, strict=True):
        _, body, headers = message_of(envelope, portal.watchword.settings.public_url)
        assert item["data"] == json.loads(body)
        named = {name.removeprefix("ce-") for name in headers if name.startswith("ce-")}
        assert named <= set(item), "what messages say, the feed says"
        assert (item["id"], item["tenant"]) == (f"watchword:{envelope.position}", envelope.tenant)
        assert (item["subject"], item["version"]) == (envelope.stream, envelope.version)
        assert item["type"] == f"watchword.{envelope.fact.versioned_topic()}"


def test_a_program_of_one_partner_gets_its_facts_alone(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    a_story(portal)
    monkeypatch.setattr(events, "LOOKED_AT", 5)
    monkeypatch.setattr(events, "_PAGE", 3)
    whole = pulled(program(portal, "*"))
    assert program(portal, "nobody").get("/events").json()["next"] == int(whole[4]["sequence"])
    for partner in ("dist", "dist2", "resell"):
        items = pulled(program(portal, partner), 3)
        assert items == [item for item in whole if item["tenant"] == partner]
        assert items


def test_reading_the_feed_adds_nothing_to_the_log(portal: Portal) -> None:
    browser = program(portal, "dist")
    before = portal.watchword.store.last_position()
    pulled(browser)
    assert browser.get("/events/range", **{"from": 1, "to": before}).status_code == 200
    assert portal.watchword.store.last_position() == before


@pytest.mark.parametrize("path", ["/events", "/events/range"])
def test_only_programs_with_the_scope_audit_come_in(portal: Portal, path: str) -> None:
    asked = {"from": 1, "to": 1}
    assert reason(portal.browser().get(path, **asked)) == (401, "session_ended")
    for account in ("dist-owner", "dist-auditor"):
        assert signed_in(portal, account).get(path, **asked).status_code == 403
    for scope in ("read", "write"):
        assert reason(program(portal, "*", scope).get(path, **asked)) == (403, "not_among_these")
    assert program(portal, "*").get(path, **asked).status_code == 200


@pytest.mark.parametrize(
    ("path", "asked", "field"),
    [
        ("/events", {"after": -1}, "after"),
        ("/events", {"after": 10**9}, "after"),
        ("/events", {"limit": 0}, "limit"),
        ("/events", {"limit": 10**6}, "limit"),
        ("/events/range", {"to": 3}, "from"),
        ("/events/range", {"from": 0, "to": 3}, "from"),
        ("/events/range", {"from": 1}, "to"),
        ("/events/range", {"from": 3, "to": 2}, "to"),
        ("/events/range", {"from": 10**9, "to": 10**9}, "to"),
        ("/events/range", {"from": 1, "to": 9}, "to"),
    ],
)
def test_a_question_that_makes_no_sense_names_its_field(
    portal: Portal, path: str, asked: dict[str, int], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "WIDEST", 8)
    answer = program(portal, "*").get(path, **asked)
    assert reason(answer) == (422, "bad_input")
    assert [each["field"] for each in answer.json()["errors"]] == [field]


# ── Sums of ranges ──


def test_a_range_has_count_and_hash_of_the_ledgers_leaves(portal: Portal) -> None:
    a_story(portal)
    last = portal.watchword.store.last_position()
    facts = ledger(portal.watchword).tree.facts(0, REST, 1000)
    tenants = {each.position: each.tenant for each in portal.watchword.store.read(0, 1000)}
    chance = random.Random(11)
    for partner in ("*", "dist", "dist2"):
        browser = program(portal, partner)
        for first, to in [(1, last), (last, last), *(sorted(chance.choices(range(1, last), k=2)) for _ in range(6))]:
            own = [each for each in facts if first <= each.position <= to and partner in {"*", tenants[each.position]}]
            total = hashlib.sha256(b"".join(leaf_hash(each.leaf()) for each in own)).hexdigest()
            expected = {"from": first, "to": to, "count": len(own), "hash": total}
            assert browser.get("/events/range", **{"from": first, "to": to}).json() == expected


# ── The consumer's part ──


def test_the_consumers_part_needs_nothing_but_python_and_is_short() -> None:
    lines = Path(RECONCILE.__file__ or "").read_text().splitlines()
    assert len(lines) < 120
    assert not [line for line in lines if line.startswith(("from api", "from handlers", "from domain"))]


@pytest.mark.parametrize("partner", ["*", "dist"])
def test_a_consumer_finds_what_it_missed_over_http(portal: Portal, partner: str) -> None:
    a_story(portal)
    token = portal.watchword.tokens.create("consumer", ["audit"], partner)
    fetch = RECONCILE.over_http(portal.address, token)
    items = pulled(portal.browser(headers={"Authorization": f"Bearer {token}"}))
    processed = [(int(item["sequence"]), item["leafhash"]) for item in items]
    last = portal.watchword.store.last_position()
    assert RECONCILE.missing(fetch, processed, to=last) == {}
    chance = random.Random(partner)
    for _ in range(3):
        got, expected = disturbed(processed, last, chance)
        assert RECONCILE.missing(fetch, got, to=last) == expected
    unseen = [(position, None) for position, _ in processed]
    lost = unseen.pop(5)
    changed = dict.fromkeys((position for position, _ in unseen), "changed")
    assert RECONCILE.missing(fetch, unseen, to=last) == {lost[0]: "missing", **changed}, "X101: no hash proves nothing"


def disturbed(
    right: list[tuple[int, str]], last: int, chance: random.Random
) -> tuple[list[tuple[int, str]], dict[int, str]]:
    """Drop, change, double and invent some messages; return them in any order, and what is to be found."""
    got, wrong = list[tuple[int, str]](), dict[int, str]()
    for position, leafhash in right:
        other = hashlib.sha256(leafhash.encode()).hexdigest()
        match chance.choice(["keep"] * 6 + ["drop", "change", "double", "double and change"]):
            case "keep":
                got.append((position, leafhash))
            case "drop":
                wrong[position] = "missing"
            case "change":
                got.append((position, other))
                wrong[position] = "changed"
            case "double":
                got += [(position, leafhash)] * 2
            case _:
                got += [(position, leafhash), (position, other)]
                wrong[position] = "changed"
    unused = sorted(set(range(1, last + 1)) - {position for position, _ in right})
    for position in chance.sample(unused, min(2, len(unused))):
        got.append((position, "00" * 32))
        wrong[position] = "unknown"
    chance.shuffle(got)
    return got, wrong


@given(seed=st.integers(), size=st.integers(0, 60), start=st.integers(1, 70), widest=st.integers(1, 80))
@settings(max_examples=300, deadline=None)
def test_whatever_was_dropped_changed_doubled_or_invented_is_found(
    seed: int, size: int, start: int, widest: int
) -> None:
    chance = random.Random(seed)
    last = 70
    log = {
        position: hashlib.sha256(bytes([position])).hexdigest()
        for position in sorted(chance.sample(range(1, last), size))
    }
    got, wrong = disturbed(list(log.items()), last, chance)
    RECONCILE.WIDEST = widest
    expected = {position: what for position, what in wrong.items() if position >= start}
    assert RECONCILE.missing(counting(log), got, to=last, start=start) == expected


def counting(log: dict[int, str]) -> Callable[[int, int], dict[str, Any]]:
    def fetch(first: int, last: int) -> dict[str, Any]:
        own = [leafhash for position, leafhash in log.items() if first <= position <= last]
        return {"count": len(own), "hash": hashlib.sha256(bytes.fromhex("".join(own))).hexdigest()}

    return fetch


def test_one_missing_message_among_a_million_takes_few_questions() -> None:
    RECONCILE.WIDEST = 2**20
    asked: list[tuple[int, int]] = []

    def fetch(first: int, last: int) -> dict[str, Any]:
        asked.append((first, last))
        count = last - first + 1
        return {"count": count, "hash": hashlib.sha256(bytes(32 * count)).hexdigest()}

    processed = [(position, "00" * 32) for position in range(1, 2**20 + 1) if position != 777_777]
    assert RECONCILE.missing(fetch, processed, to=2**20) == {777_777: "missing"}
    assert len(asked) == 41
