"""The coverage certificate and the difference, as reviewers get them: over HTTP, as a page, at the console."""

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api import bootstrap
from api.certificate import canonical, verify_certificate
from api.cli.main import console as commands
from api.settings import Settings
from domain.kernel import Envelope
from handlers import directory
from handlers.adapters.notes import Verifier
from handlers.ports import Origin
from tests.directory import PASSWORD, ROLES, address
from tests.flows.steps import Mailbox, enforce, enrolled, link_in, reason, set_up, signed_in
from tests.flows.test_console import watchword as run
from tests.services import Portal


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Checkpoints in a folder of the test's own: each database is another log."""
    monkeypatch.setenv("LEDGER_DIR", str(tmp_path / "ledger"))
    return replace(settings, ledger_dir=tmp_path / "ledger")


@pytest.fixture
def console(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The console on the test's clock."""
    monkeypatch.setattr("api.cli.coverage.plugged", lambda: nullcontext(portal.watchword))

    def command(*words: str) -> Any:
        result = CliRunner().invoke(commands(words[0]), words)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    return command


@pytest.fixture
def story(portal: Portal) -> "Story":
    return Story(portal)


class Story:
    """Enforced, set up, reset by the owner with a reason, set up again; minutes lie between."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.owner = signed_in(portal, "dist-owner")
        self.begin = self.wait()
        self.enforced = self.fact(enforce(self.owner, "dist", users=True).json()["position"])
        self.wait()
        person, _ = enrolled(portal, "dist-support")
        self.enrolled = self.newest("user_mfa.verified")
        self.wait()
        self.owner, box = enrolled(portal, "dist-owner")[0], Mailbox()
        box.deliver(portal)
        reset = self.owner.post("/accounts/dist-support/mfa/reset", {"reason": "lost phone"})
        self.reset = self.fact(reset.json()["position"])
        self.wait()
        person.session()
        person.sign_in(address("dist-support"), PASSWORD)
        set_up(portal, person, token=link_in(box.deliver(portal)[0])[1])
        self.again = self.newest("user_mfa.verified")
        self.wait()
        self.end = portal.clock.now()

    def wait(self) -> datetime:
        self.portal.clock.advance(minutes=4)
        return self.portal.clock.now()

    def fact(self, position: int) -> Envelope:
        return self.portal.watchword.store.at([position])[0]

    def newest(self, topic: str) -> Envelope:
        history = self.portal.watchword.store.history("user_mfa:dist-support")
        return next(each for each in reversed(history) if topic == each.fact.TOPIC)

    def certificate(self, **asked: object) -> dict[str, Any]:
        query = {"from": self.begin.isoformat(), "to": self.end.isoformat()} | asked
        answer = self.owner.get("/partners/dist/certificate", **query)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
        found: dict[str, Any] = answer.json()
        return found


def seconds(begin: datetime, end: datetime) -> str:
    return f"{Decimal((end - begin) // (datetime.resolution)) / 1_000_000:.6f}"


def text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def gap(cause: str, begin: datetime, end: datetime) -> dict[str, Any]:
    """Return a gap that ended with the set-up."""
    instants = {"from": text(begin), "to": text(end), "covered_again_at": text(end)}
    return {"cause": cause, **instants, "seconds": seconds(begin, end)}


def test_each_gap_is_there_to_the_microsecond_with_cause_actor_and_reason(story: Story) -> None:
    found = story.certificate()
    accounts = {each["account_id"]: each for each in found["accounts"]}
    ours = {f"dist-{role}" for role in ROLES} | {"dist-admin2", "three-dist"}
    assert set(accounts) == ours, "whom the policy demands it of, and nobody of another population or partner"
    person = accounts["dist-support"]
    who: dict[str, Any] = {"actor": "account:dist-owner", "actor_name_today": "Dist Owner", "reason": "lost phone"}
    who |= {"position": story.reset.position, "lost_at": text(story.reset.at)}
    who |= {"seconds_until_covered_again": seconds(story.reset.at, story.again.at)}
    assert person["gaps"] == [
        gap("not_enrolled", story.enforced.at, story.enrolled.at),
        gap("reset", story.reset.at, story.again.at) | who,
    ]
    required = Decimal(seconds(story.enforced.at, story.end))
    gaps = sum(Decimal(each["seconds"]) for each in person["gaps"])
    assert (person["name_today"], Decimal(person["required_seconds"])) == ("Dist Support", required)
    assert Decimal(person["covered_seconds"]) == required - gaps
    assert Decimal(person["percent_covered"]) == int((required - gaps) / required * 1_000_000) / Decimal(10_000)
    assert accounts["dist-admin"]["gaps"][0]["covered_again_at"] is None
    totals = found["totals"]
    assert (totals["accounts"], Decimal(totals["required_seconds"])) == (7, 7 * required)
    assert totals["gaps"]["reset"]["count"] == 1
    assert not re.search(r"secret|@", json.dumps(found))


def test_it_says_all_that_it_takes_to_run_it_again(story: Story, console: Callable[..., Any]) -> None:
    found = story.certificate()
    versions = [(each["version"], each["enforce_partner_users"], each["from"], each["to"]) for each in found["policy"]]
    first, change, last = text(story.begin), text(story.enforced.at), text(story.end)
    assert versions == [(0, False, first, change), (1, True, change, last)]
    none = {each["population"]: (each["from"], each["to"]) for each in found["without_requirement"]}
    assert none == {"partner_users": (first, change), "organizations": (first, last)}
    assert (found["span"]["from"], found["span"]["to"]) == (first, last)
    w = story.portal.watchword
    line, note = bootstrap.ledger(w).notes.verifier, found["ledger"]["checkpoint"]
    assert Verifier(line).open(note).split("\n")[:2] == [found["origin"], str(found["ledger"]["size"])]
    leaf = bootstrap.ledger(w).tree.leaf_at(found["span"]["to_position"])
    assert leaf is not None
    assert leaf.number < found["ledger"]["size"]
    again = console(*found["query"]["command"].removeprefix("watchword ").split())
    assert verify_certificate(again, line)
    changed = {name for name in found if found[name] != again[name]}
    assert changed <= {"made_at", "signature", "ledger"}
    by_position = story.certificate(**{"from": story.enforced.position, "to": story.reset.position})
    assert by_position["span"]["seconds"] == seconds(story.enforced.at, story.reset.at)
    assert by_position["totals"]["gaps"]["reset"]["count"] == 0


def test_a_changed_byte_fails_verification(story: Story) -> None:
    line = bootstrap.ledger(story.portal.watchword).notes.verifier
    answer = story.owner.get("/partners/dist/certificate", **{"from": story.enforced.position})
    whole = answer.content
    assert verify_certificate(json.loads(whole), line)
    signed, _, signature = whole.rpartition(b',"signature":')
    content = {name: part for name, part in answer.json().items() if name != "signature"}
    assert (signed + b"}", signature[:-1]) == (canonical(content), canonical(answer.json()["signature"]))
    for place in range(len(whole)):
        changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        try:
            document = json.loads(changed)
        except ValueError:
            continue
        assert not verify_certificate(document, line), (place, whole[place - 20 : place + 20])
    assert not verify_certificate(json.loads(whole), line.replace("watchword", "watchw0rd"))
    assert not verify_certificate({}, line)


def test_names_are_those_of_today_and_nobody_is_remembered_who_was_erased(story: Story) -> None:
    w = story.portal.watchword
    directory.erase("dist-owner", Origin("operator", "erase-1", w.sockets.clock.now()), w.sockets)
    token = w.tokens.create("reviews", ["audit"], "dist")
    story.owner = story.portal.browser(headers={"Authorization": f"Bearer {token}"})
    accounts = {each["account_id"]: each for each in story.certificate()["accounts"]}
    assert accounts["dist-owner"]["name_today"] == "erased account"
    assert accounts["dist-support"]["gaps"][1]["actor_name_today"] == "erased account"


def test_a_difference_names_who_changed_and_the_facts(story: Story, console: Callable[..., Any]) -> None:
    answer = story.owner.get("/partners/dist/diff", **{"from": story.begin.isoformat(), "to": story.reset.position})
    found = answer.json()
    person = next(each for each in found["items"] if each["account_id"] == "dist-support")
    assert (person["before"]["factor"], person["after"]["factor"]) == ("none", "pending")
    assert person["kinds"] == ["enrolled", "was_reset", "lost_cover"]
    assert person["positions"] == [story.enrolled.position, story.reset.position]
    active = [{each["population"]: each["active"] for each in found[name]} for name in ("sums_before", "sums_after")]
    assert active == [{"organizations": 0, "partner_users": 0}, {"organizations": 0, "partner_users": 1}]
    query = {"from": story.begin.isoformat(), "to": story.reset.position, "limit": 1}
    first = story.owner.get("/partners/dist/diff", **query).json()
    rest = story.owner.get("/partners/dist/diff", cursor=first["next_cursor"], **query).json()
    assert first["items"] + rest["items"] == found["items"]
    assert rest["next_cursor"] is None
    words = ("audit", "diff", "--partner", "dist", story.begin.isoformat(), str(story.reset.position))
    said = console(*words, "--json")
    assert said["items"] == found["items"]
    assert said["kinds"] == {"enrolled": 2, "was_reset": 1, "lost_cover": 1}
    assert re.search(r"dist-support +enrolled, was reset, lost cover", console(*words))


def test_it_is_a_page_and_a_file_that_stands_alone(story: Story, console: Callable[..., Any], tmp_path: Path) -> None:
    address = f"{story.portal.address}/audit/certificate"
    empty = story.owner.http.get(address).text
    assert ('name="from"' in empty, "Gaps" in empty) == (True, False)
    shown = story.owner.http.get(address, params={"from": story.begin.isoformat(), "to": story.end.isoformat()}).text
    assert [word in shown for word in ("Dist Owner (lost phone)", "Never set up before", "polyline")] == [True] * 3
    assert "style=" not in shown
    link = unescape(re.findall(r'href="(/api/v1/partners/dist/certificate[^"]*)"', shown)[0])
    signed = story.owner.http.get(story.portal.address + link).json()
    assert verify_certificate(signed, bootstrap.ledger(story.portal.watchword).notes.verifier)
    words = ("audit", "certificate", "--partner", "dist", "--from", str(story.enforced.position))
    assert "accounts without a gap" in console(*words, "--html", str(tmp_path / "c.html"))
    alone = (tmp_path / "c.html").read_text()
    assert "lost phone" in alone
    assert not re.search(r"<(a|script|form|link|img)\b|/static/", alone)


def test_only_reviewers_of_the_partner_get_it_and_each_look_is_recorded(story: Story) -> None:
    story.portal.clock.advance(minutes=2)
    support = signed_in(story.portal, "sub-support")
    for path in ("certificate", "diff"):
        for account in ("dist2-owner", "sub-owner", "resell-owner"):
            assert signed_in(story.portal, account).get(f"/partners/dist/{path}").status_code == 404
        assert reason(support.get(f"/partners/sub/{path}")) == (403, "role_not_allowed")
    assert support.http.get(f"{story.portal.address}/audit/certificate").status_code == 403
    story.certificate()
    assert story.portal.watchword.store.history("audit:dist")[-1].actor == "account:dist-owner"


def test_a_span_that_makes_no_sense_is_named(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    for words in ("from=tomorrow", "from=2026-01-01T00:00:00", "from=9999-01-01", "from=999999999", "from=20 to=10"):
        asked = dict(word.split("=") for word in words.split())
        for path in ("certificate", "diff"):
            answer = owner.get(f"/partners/dist/{path}", **asked)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, max(asked)), words
    assert owner.get("/partners/dist/certificate", to="2001-01-01").status_code == 422, "the partner was not there"
    wrong = run(portal, "audit", "certificate", "--partner", "dist", "--from", "tomorrow", status=2)
    assert "Invalid value: from: give a position" in wrong
