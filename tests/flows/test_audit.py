"""What reviewers ask: everything that happened, in words and in data, and how it stood at any moment."""

import re
from datetime import timedelta
from typing import Any

import pytest

from api import past
from api.words import sentence
from domain.kernel import FACTS
from handlers import directory
from handlers.ports import Origin
from tests.directory import PASSWORD, address
from tests.flows.steps import Mailbox, column, enforce, enrolled, give_code, reason, signed_in, step_up, wrong_code
from tests.history.test_goldens import GOLDENS
from tests.portal import Browser
from tests.services import Portal


def read(browser: Browser, partner: str = "dist", /, **asked: Any) -> list[dict[str, Any]]:
    """Return the whole answer, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        last = browser.get("/me/mfa").json()["position"]
        answer = browser.get(
            f"/partners/{partner}/audit", min_position=last, **asked, **({"cursor": cursor} if cursor else {})
        )
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("topic", GOLDENS)
def test_every_fact_is_a_sentence_of_its_own(topic: str) -> None:
    fact = FACTS[topic].model_validate_json(GOLDENS[topic].read_text())
    words = sentence(fact)
    assert words != fact.TOPIC.replace("_", " ").replace(".", ": ").capitalize(), "say it in api/words.py"
    assert "_" not in words


def test_a_story_is_read_in_words_and_in_data_newest_first(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    person, key = enrolled(portal, "dist-support")
    enforce(owner, "dist", users=True)
    person.sign_out()
    person.sign_in(address("dist-support"), PASSWORD)
    person.post("/sign-in/code", {"code": wrong_code(portal, key)})
    give_code(portal, person, key)
    reset = owner.post("/accounts/dist-support/mfa/reset", {"reason": "lost phone"}).json()["position"]
    Mailbox().deliver(portal)
    items = read(owner, account="dist-support")
    assert [each["position"] for each in items] == sorted((each["position"] for each in items), reverse=True)
    assert [each["what"] for each in reversed(items)] == [
        "Account registered with the role support",
        "Set-up begun: a new key was shown",
        "Authenticator app set up: MFA is active",
        "Wrong code",
        "Signed in with a code",
        "MFA reset by an administrator (lost phone)",
        "Mail that MFA is active: on its way",
        "Mail with the link to the set-up: on its way",
        "Mail sent",
        "Mail sent",
    ]
    entry = next(each for each in items if each["position"] == reset)
    assert (entry["account"], entry["actor_name"]) == ("Dist Support", "Dist Owner")
    assert (entry["topic"], entry["from_network"]) == ("user_mfa.reset_confirmed", "127.0.0.0/24")
    assert entry["policy_version"] == 1
    assert entry["data"]["reason"] == "lost phone"
    assert not re.search(r"secret|@", str(items))


def test_it_is_filtered_by_whom_who_what_and_when(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    before = portal.clock.now()
    portal.clock.advance(minutes=5)
    enforce(owner, "dist", users=True)
    between = portal.watchword.store.last_position()
    portal.clock.advance(minutes=5)
    enforce(owner, "dist", users=False)
    both = read(owner, topic="partner_policy.")
    assert [each["topic"] for each in both] == ["partner_policy.enforcement_lifted", "partner_policy.enforced"]
    assert read(owner, topic="partner_policy.enforced") == both[1:]
    assert read(owner, actor="account:dist-owner", topic="partner_policy.") == both
    assert read(owner, actor="account:dist-admin") == []
    assert read(owner, topic="partner_policy.", to=between) == both[1:]
    assert read(owner, **{"topic": "partner_policy.", "from": between}) == both[:1]
    assert read(owner, **{"topic": "partner_policy.", "from": before.isoformat()}) == both
    at = (before + timedelta(minutes=7)).isoformat()
    assert read(owner, topic="partner_policy.", to=at) == both[1:]
    today = portal.clock.now().date().isoformat()
    assert read(owner, **{"topic": "partner_policy.", "to": today, "from": before.date().isoformat()}) == both
    assert len(read(owner, limit=1)) == len(read(owner, limit=200))


@pytest.mark.parametrize(
    ("begins", "meant"), [(True, "2026-10-31T23:59:59.999999+00:00"), (False, "2026-11-01T23:59:59.999999+00:00")]
)
def test_a_span_holds_the_first_and_the_last_moment_of_its_days(meant: str, *, begins: bool) -> None:
    """What happened at the very midnight belongs to the day that begins there."""
    assert past._instant("2026-11-01", "from", begins=begins).isoformat() == meant


def test_a_refused_attempt_stands_there(portal: Portal) -> None:
    support = signed_in(portal, "dist-support")
    assert support.post("/accounts/dist-admin/mfa/reset", {}).status_code == 403
    (entry,) = read(signed_in(portal, "dist-auditor"), topic="account.attempt_refused")
    assert entry["what"] == "Refused: reset user (role not allowed)"
    assert (entry["account_id"], entry["actor"]) == ("dist-admin", "account:dist-support")


def test_reading_is_recorded_itself_once_a_minute_and_so_is_all_that_an_auditor_looks_at(portal: Portal) -> None:
    auditor, owner = signed_in(portal, "dist-auditor"), signed_in(portal, "dist-owner")
    for _ in range(3):
        auditor.get("/partners/dist/users")
        owner.get("/partners/dist/users")
        auditor.get("/partners/dist/audit")
        owner.get("/partners/dist/audit")
    seen = {(each["actor"], each["data"]["what"]) for each in read(owner, topic="audit.read")}
    assert seen == {
        ("account:dist-auditor", "see_users"),
        ("account:dist-auditor", "see_audit"),
        ("account:dist-owner", "see_audit"),
    }
    assert len(read(owner, topic="audit.read")) == 3
    portal.clock.advance(minutes=2)
    auditor.get("/partners/dist/audit")
    assert len(read(owner, topic="audit.read", actor="account:dist-auditor")) == 3


def test_nobody_reads_another_partners_log(portal: Portal) -> None:
    for account in ("dist2-owner", "sub-owner", "resell-auditor"):
        assert reason(signed_in(portal, account).get("/partners/dist/audit")) == (404, "another_tenant")
    for account in ("dist-support", "dist-org-user"):
        assert reason(signed_in(portal, account).get("/partners/dist/audit")) == (403, "role_not_allowed")
    other = signed_in(portal, "dist2-owner")
    assert not [each for each in read(other, "dist2") if "dist-" in str(each["stream"])]
    assert read(other, "dist2", account="dist-support") == []


def test_a_service_needs_the_scope_audit(portal: Portal) -> None:
    tokens = portal.watchword.tokens
    for scope, status in (("read", 403), ("audit", 200)):
        header = {"Authorization": f"Bearer {tokens.create(scope, [scope], 'dist')}"}
        assert portal.browser(headers=header).get("/partners/dist/audit").status_code == status


@pytest.mark.parametrize(
    "asked",
    [
        {"topic": "user_mfa.nothing"},
        {"from": "yesterday"},
        {"to": "2026-01-01T10:00:00"},
        {"from": "999999999"},
        {"cursor": "x"},
        {"account": "a/b"},
    ],
)
def test_a_question_that_makes_no_sense_is_told_what_to_ask(portal: Portal, asked: dict[str, str]) -> None:
    answer = signed_in(portal, "dist-owner").get("/partners/dist/audit", **asked)
    assert reason(answer) == (422, "bad_input")
    assert answer.json()["errors"][0]["field"] in asked


# ── How it stood ──


def test_every_query_answers_as_of_any_moment(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    at_first = portal.watchword.store.last_position()
    enrolled(portal, "dist-support")
    active = portal.watchword.store.last_position()
    portal.clock.advance(minutes=10)
    enforce(owner, "dist", users=True)
    enforced_at = portal.clock.now()
    enforced = portal.watchword.store.last_position()
    portal.clock.advance(minutes=10)
    step_up(portal, owner)
    end = owner.post("/accounts/dist-support/mfa/reset", {}).json()["position"]
    assert column(owner, "dist", "dist-support", end)["factor"] == "pending"
    for moment, factor, required in (
        (at_first, "none", False),
        (active, "active", False),
        (enforced, "active", True),
        (enforced_at.isoformat(), "active", True),
        (end, "pending", True),
    ):
        users = owner.get("/partners/dist/users", as_of=moment, limit=200, min_position=end).json()
        row = next(each for each in users["items"] if each["account_id"] == "dist-support")
        assert (row["factor"], row["required"]) == (factor, required), moment
        account = owner.get("/accounts/dist-support/mfa", as_of=moment).json()
        assert (account["factor"], account["required"], account["as_of"]) == (factor, required, users["as_of"])
        policy = owner.get("/partners/dist/mfa-policy", as_of=moment).json()
        assert (policy["enforce_partner_users"], policy["version"]) == (required, int(required))
        summary = owner.get("/partners/dist/summary", as_of=moment).json()
        own = next(each for each in summary["populations"] if each["population"] == "partner_users")
        assert (own["active"], own["pending"], own["required"]) == (factor == "active", factor == "pending", required)
    now = owner.get("/partners/dist/summary", min_position=end).json()
    assert [each["population"] for each in now["populations"]] == ["organizations", "partner_users"]
    assert now["adoption"][-1]["pending"] == 1


def test_why_names_the_rule_the_version_and_the_facts(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    enrolled(portal, "dist-support")
    verified = portal.watchword.store.last_position()
    enforce(owner, "dist", users=True)
    enforced = portal.watchword.store.last_position()
    enforce(owner, "dist", users=True, organizations=True)
    answer = owner.get("/accounts/dist-support/mfa").json()
    assert (answer["why"], answer["policy_version"]) == ("enforced_for_partner_users", 2)
    assert [(each["position"], each["what"]) for each in answer["because"]] == [
        (verified, "Authenticator app set up: MFA is active"),
        (enforced, "MFA enforced for all partner users"),
    ]


@pytest.mark.parametrize("moment", ["999999", "2199-01-01T00:00:00Z", "last week", "2026-01-01T10:00:00", "-1"])
def test_a_moment_that_was_not_is_refused(portal: Portal, moment: str) -> None:
    owner = signed_in(portal, "dist-owner")
    for path in (
        "/partners/dist/users",
        "/partners/dist/mfa-policy",
        "/partners/dist/summary",
        "/accounts/dist-owner/mfa",
    ):
        answer = owner.get(path, as_of=moment)
        assert reason(answer) == (422, "bad_input"), path
        assert answer.json()["errors"][0]["field"] == "as_of"


def test_before_the_beginning_there_is_nobody(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    assert owner.get("/partners/dist/users", as_of=0).json()["items"] == []
    assert owner.get("/partners/dist/users", as_of="2001-01-01").json()["items"] == []
    assert reason(owner.get("/partners/dist/mfa-policy", as_of=0)) == (404, "another_tenant")


def test_an_erased_account_stays_in_the_log_without_its_name(portal: Portal) -> None:
    enrolled(portal, "dist-support")
    w = portal.watchword
    origin = Origin(actor="operator", command_id=w.sockets.chance.new_id(), at=portal.clock.now())
    directory.erase("dist-support", origin, w.sockets)
    items = read(signed_in(portal, "dist-owner"), account="dist-support")
    assert items[0]["what"] == "Name, address and keys erased"
    assert {each["account"] for each in items} == {None}
    assert "Dist Support" not in str(items)
