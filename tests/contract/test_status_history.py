"""Every past moment, from spans: what they say is what a fold of the log up to that position says."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise, product
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow

from api import bootstrap
from domain import facts as f
from domain.kernel import Envelope
from domain.requirement import population_of, requirement
from projections import rebuilding, status_history, user_status
from tests.contract.pasts import FACTS, PARTNERS, VISIBLE, Past, Writer, envelopes
from tests.contract.plugs import NOON
from tests.servers import Servers
from tests.services import settings_for


@pytest.fixture(scope="module", params=[1, 2, 3])
def past(request: pytest.FixtureRequest, servers: Servers, empty_template: str) -> Iterator[Past]:
    """One of several histories by chance, followed while it was written: now a fact at a time, now a page."""
    with servers.lent(empty_template) as database:
        watchword = bootstrap.build(settings_for(servers.folder, database))
        follower = bootstrap.projector(watchword)
        writer = Writer(watchword.store, random.Random(request.param))
        writer.begin()
        while writer.written < FACTS:
            writer.step()
            if writer.chance.random() < 0.1:
                follower.step()
        follower.step()
        follower.close()
        with watchword.database.connection() as connection:
            past = Past(database.app_url, watchword.store, envelopes(watchword.store), connection, random.Random(0))
            give_names(past)
            yield past
        watchword.close()


def test_an_account_at_a_position_is_what_a_fold_of_the_log_up_to_there_gives(past: Past) -> None:
    for account, partner in past.accounts.items():
        for position in past.chance.sample(past.positions(), 60):
            found = status_history.status_at(past.connection, partner, account, position)
            assert (found and {name: found[name] for name in VISIBLE}) == past.status(account, position), position
            assert status_history.status_at(past.connection, "p-else", account, position) is None


def test_organizations_are_those_of_the_partner_by_name(past: Past) -> None:
    for partner, most, found in (("p-1", 2, [["o-1", "O-1"], ["o-2", "O-2"]]), ("p-1", 1, None), ("p-none", 1, [])):
        assert user_status.ask_organizations(past.connection, partner, most).fetchone() == {"found": found}


def test_spans_follow_each_other_without_a_gap_and_each_differs_from_the_one_before(past: Past) -> None:
    query = "SELECT * FROM status_interval ORDER BY account_id, from_position"
    spans = past.connection.execute(query).fetchall()
    times = {each.position: each.at for each in past.log}
    assert {span["account_id"] for span in spans} == set(past.accounts)
    assert all(span["from_at"] == times[span["from_position"]] for span in spans)
    for before, span in pairwise(spans):
        if before["account_id"] == span["account_id"]:
            assert (before["to_position"], before["to_at"]) == (span["from_position"], span["from_at"])
            assert [before[name] for name in VISIBLE] != [span[name] for name in VISIBLE]
        else:
            assert before["to_position"] is before["to_at"] is None
    logins = sum(isinstance(each.fact, f.Verified) and each.fact.purpose is f.Purpose.SIGN_IN for each in past.log)
    assert logins > 5, "there were logins, and no span begins with one that changed nothing"


def test_a_policy_at_a_position_is_what_a_fold_of_the_log_up_to_there_gives(past: Past) -> None:
    for partner in PARTNERS:
        registered = next(each.position for each in past.log if each.stream == f"partner:{partner}")
        for position in past.positions():
            found, folded = status_history.policy_at(past.connection, partner, position), past.policy(partner, position)
            assert (found is None) == (position < registered)
            if found:
                said = (found["enforce_partner_users"], found["enforce_organizations"], found["version"])
                assert said == (*(each in folded.enforced for each in f.Population), folded.version)
        now = past.connection.execute("SELECT * FROM partner_policy WHERE partner_id = %s", (partner,)).fetchone()
        newest = status_history.policy_at(past.connection, partner, past.log[-1].position)
        assert now
        assert newest
        assert {**now, **newest} == {**newest, **now}


def test_a_page_of_the_past_is_the_page_that_was_there(past: Past) -> None:
    for position in past.chance.sample(past.positions(), 40):
        for partner in PARTNERS:
            asked = user_status.Filter(partner, limit=5, as_of=position)
            rows = pages(past.connection, asked)
            there = {account: past.status(account, position) for account, of in past.accounts.items() if of == partner}
            assert [row["account_id"] for row in rows] == sorted(
                account for account, each in there.items() if each and each["account_state"] != "erased"
            )
            for row in rows:
                seen = {**row, "organization_id": row["organization"]}
                assert {name: seen[name] for name in VISIBLE} == there[row["account_id"]]
                demanded = requirement(past.policy(partner, position), population_of(row["organization"])).required
                assert row["required"] == demanded
                assert row["mfa_status"] == ("Active" if row["factor"] == "active" else "Inactive")
                assert row["organization_name"] == (row["organization"] and row["organization"].title())
                assert row["last_verified_at"] is row["mail_kind"] is row["mail_state"] is row["mail_tries"] is None
            for status in ("Active", "Inactive"):
                found = pages(past.connection, replace(asked, mfa_status=status, descending=True))
                assert found == [row for row in rows[::-1] if row["mfa_status"] == status]


def test_the_page_at_the_last_position_is_the_page_of_now(past: Past) -> None:
    for partner in PARTNERS:
        now = pages(past.connection, user_status.Filter(partner))
        then = pages(past.connection, user_status.Filter(partner, as_of=past.log[-1].position))
        assert [list(row) for row in now] == [list(row) for row in then], "the same columns in the same order"
        assert any(row["last_verified_at"] for row in now)
        assert [{**row, "last_verified_at": None} for row in now] == then


@pytest.mark.parametrize("few", [0, 2, 10_000])
def test_a_filter_leaves_out_what_does_not_match_on_whichever_way_it_is_found(
    past: Past, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_status, "FEW", few)
    last = past.log[-1].position
    wishes: list[dict[str, Any]] = [
        {},
        {"mfa_status": "Active"},
        {"mfa_status": "Inactive"},
        {"organization_id": "o-1"},
    ]
    wishes += [{"role": "owner"}, {"role": "end_user", "mfa_status": "Active"}]
    for wish, words, by_address, as_of in product(
        wishes, (None, "a-0", "a-03"), (False, True), (None, last, last // 2)
    ):
        asked = user_status.Filter("p-1", by_address=by_address, as_of=as_of, limit=3)
        every = pages(past.connection, asked)
        found = pages(past.connection, replace(asked, words=words, **wish))
        assert found == [row for row in every if matches(row, wish, words)], (wish, words, as_of)


def matches(row: dict[str, Any], wish: dict[str, Any], words: str | None) -> bool:
    named = {**row, "organization_id": row["organization"]}
    return all(named[name] == value for name, value in wish.items()) and (words is None or words in row["name"])


def test_counts_now_and_at_a_position_are_what_counting_gives(past: Past) -> None:
    last = past.log[-1].position
    for partner in PARTNERS:
        assert status_history.sums(past.connection, partner) == past.counted(partner, last)
        for position in past.positions():
            found = status_history.sums(past.connection, partner, position)
            assert found == past.counted(partner, position), position
    nobody = [
        {"population": each, "accounts": 0, "active": 0, "pending": 0} for each in ("organizations", "partner_users")
    ]
    assert (
        status_history.sums(past.connection, "p-else") == status_history.sums(past.connection, "p-else", last) == nobody
    )


def test_the_curve_of_adoption_adds_up_to_the_counts(past: Past) -> None:
    last = past.log[-1].position
    for partner in PARTNERS:
        rows = status_history.adoption_of(past.connection, partner)
        assert [(row["day"], row["population"]) for row in rows] == sorted({(r["day"], r["population"]) for r in rows})
        newest = {row["population"]: row for row in rows}
        for counted in past.counted(partner, last):
            assert {name: newest[counted["population"]][name] for name in counted} == counted
        half = rows[len(rows) // 2]["day"]
        assert status_history.adoption_of(past.connection, partner, half) == [row for row in rows if row["day"] <= half]


def test_a_day_of_the_curve_counts_the_facts_of_that_day_alone(past: Past) -> None:
    """Facts late at night on a slow clock stand behind facts of the next day, and still count for their own."""
    days = {each.at.date() for each in past.log}
    for partner in PARTNERS:
        changed: Counter[date] = Counter()
        for before, each in pairwise([Envelope(f.PasswordChanged(), "", 0, NOON, "", "", ""), *past.log]):
            counts = [
                sum(row["active"] for row in past.counted(partner, at)) for at in (before.position, each.position)
            ]
            changed[each.at.date()] += counts[1] - counts[0]
        rows = status_history.adoption_of(past.connection, partner)
        for day in days:
            active = {row["population"]: row["active"] for row in rows if row["day"] <= day}
            assert sum(active.values()) == sum(n for other, n in changed.items() if other <= day), day


def test_the_position_of_an_instant_is_before_the_first_later_fact(past: Past) -> None:
    times = sorted({each.at for each in past.log})
    moment = timedelta(microseconds=1)
    near = [at + shift for at in times for shift in (-moment, timedelta(), moment, timedelta(minutes=1))]
    for instant in [times[0] - timedelta(days=9), *past.chance.sample(near, 200), times[-1] + timedelta(days=9)]:
        later = (each.position for each in past.log if each.at > instant)
        first = next(later, past.log[-1].position + 1)
        assert status_history.position_at(past.connection, past.store.read, instant) == first - 1, instant


def test_the_position_of_an_instant_does_not_depend_on_how_far_the_view_has_come(past: Past) -> None:
    instant = past.log[-1].at
    known = status_history.position_at(past.connection, past.store.read, instant)
    with past.connection.transaction(force_rollback=True):
        past.connection.execute("DELETE FROM log_minute")
        past.connection.execute("DELETE FROM notification_tracking")
        assert status_history.position_at(past.connection, past.store.read, instant) == known


def test_the_view_is_what_the_log_says_and_a_rebuild_gives_the_same(past: Past) -> None:
    before = rebuilding.verify(past.url, past.store.read, status_history.NAME)
    assert before.equal
    assert before.rows > FACTS / 2
    past.connection.execute("UPDATE status_interval SET factor = 'active' WHERE to_position IS NULL")
    past.connection.execute("UPDATE adoption SET active = active + 1")
    broken = rebuilding.verify(past.url, past.store.read, status_history.NAME)
    assert not broken.equal
    assert rebuilding.rebuild(past.url, past.store.read, status_history.NAME) == past.log[-1].position
    assert rebuilding.verify(past.url, past.store.read, status_history.NAME) == before


def give_names(past: Past) -> None:
    """Give every account a name; the log knows none."""
    query = "INSERT INTO person VALUES (%s, %s, %s, %s, %s, %s)"
    for account, partner in past.accounts.items():
        address = f"{account}@mail.example"
        past.connection.execute(query, (account, partner, "somewhere", account, address, address))


def test_x111_whoever_was_erased_since_is_in_every_list_of_the_past_and_lists_and_sums_agree(past: Past) -> None:
    """Erasing deletes the row of the person; the test's directory has names of all, which are deleted here for a while."""
    last = past.log[-1].position
    states = {account: past.status(account, last) for account in past.accounts}
    erased = [account for account, state in states.items() if state and state["account_state"] == "erased"]
    with past.connection.transaction(force_rollback=True):
        past.connection.execute("DELETE FROM person WHERE account_id = ANY(%s)", (erased,))
        seen = set()
        for position, partner in product(past.chance.sample(past.positions(), 60), PARTNERS):
            rows = pages(past.connection, user_status.Filter(partner, limit=7, as_of=position))
            listed = Counter(
                "organizations" if row["organization"] else "partner_users"
                for row in rows
                if row["account_state"] == "open"
            )
            active = Counter(
                "organizations" if row["organization"] else "partner_users"
                for row in rows
                if row["account_state"] == "open" and row["factor"] == "active"
            )
            for sum_ in status_history.sums(past.connection, partner, position):
                assert (sum_["accounts"], sum_["active"]) == (listed[sum_["population"]], active[sum_["population"]])
            for row in rows:
                there = past.status(row["account_id"], position)
                assert there
                assert there["account_state"] == row["account_state"] != "erased"
                if row["account_id"] in erased:
                    seen.add(row["account_id"])
                    assert (row["name"], row["email"]) == ("erased account", "")
            for status in ("Active", "Inactive"):
                found = pages(past.connection, user_status.Filter(partner, limit=5, as_of=position, mfa_status=status))
                assert found == [row for row in rows if row["mfa_status"] == status]
        assert seen or not erased


def pages(connection: psycopg.Connection[DictRow], wanted: user_status.Filter) -> list[dict[str, Any]]:
    """Turn pages until the end."""
    found: list[dict[str, Any]] = []
    while page := user_status.page(connection, wanted):
        found += page
        wanted = replace(wanted, after=(page[-1]["sort_key"], page[-1]["account_id"]))
    return found
