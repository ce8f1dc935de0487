"""Every past moment, from spans: what they say is what a fold of the log up to that position says."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, product
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow

from api import bootstrap
from domain import directory, partner_policy, user_mfa
from domain import facts as f
from domain.kernel import Envelope, Fact, replay
from domain.requirement import population_of, requirement
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.ports import Change, Origin
from projections import runner, status_history, user_status
from tests.contract.plugs import NOON
from tests.servers import Servers
from tests.services import settings_for

PARTNERS = ("p-1", "p-2")
ORGANIZATIONS = {"o-1": "p-1", "o-2": "p-1", "o-3": "p-2"}
ACCOUNTS = 12
FACTS = 400
FAR = datetime(9999, 1, 1, tzinfo=UTC)
VISIBLE = ("organization_id", "role", "account_state", "factor", "owed", "since", "locked_until")


@dataclass
class Writer:
    """Writes anything that can happen to a few accounts, in any order, over some days, on clocks that disagree."""

    store: PostgresEventStore
    chance: random.Random
    versions: Counter[str] = field(default_factory=Counter)
    places: dict[str, str] = field(default_factory=dict)
    """The partner of each account."""
    now: datetime = NOON
    written: int = 0

    def add(self, stream: str, fact: Fact, tenant: str) -> None:
        self.now += timedelta(seconds=self.chance.choice([0, 0, 1, 20, 90, 4000, 40_000]))
        at = self.now - timedelta(seconds=self.chance.choice([0, 0, 0, 2, 70, 100_000]))
        self.written += 1
        change = Change(stream, self.versions[stream], [fact], tenant)
        self.store.append(change, origin=Origin(f"account:{self.chance.randrange(3)}", f"c-{self.written}", at))
        self.versions[stream] += 1

    def begin(self) -> None:
        for partner in PARTNERS:
            kind = f.PartnerType.DISTRIBUTOR
            self.add(f"partner:{partner}", f.PartnerRegistered(name=partner, type=kind), partner)
        for organization, partner in ORGANIZATIONS.items():
            fact = f.OrganizationRegistered(name=organization.title(), partner_id=partner)
            self.add(f"organization:{organization}", fact, partner)
        self.register()

    def register(self) -> None:
        partner = self.chance.choice(PARTNERS)
        organization, role = self.place(partner)
        account = f"a-{len(self.places):02}"
        self.places[account] = partner
        fact = f.AccountRegistered(partner_id=partner, organization_id=organization, role=role)
        self.add(f"account:{account}", fact, partner)

    def place(self, partner: str) -> tuple[str | None, f.Role]:
        organization = self.chance.choice([None, *(o for o, p in ORGANIZATIONS.items() if p == partner)])
        return organization, f.Role.END_USER if organization else self.chance.choice([f.Role.OWNER, f.Role.SUPPORT])

    def step(self) -> None:
        """Do one thing that the rules let happen; not all of it changes what is seen."""
        account = self.chance.choice(sorted(self.places))
        partner = self.places[account]
        if len(self.places) < ACCOUNTS and self.chance.random() < 0.2:
            self.register()
        elif self.chance.random() < 0.1:
            population = self.chance.choice(list(f.Population))
            kind = self.chance.choice([f.Enforced, f.EnforcementLifted, f.EveryoneSignedOut])
            self.add(f"partner_policy:{partner}", kind(population=population), partner)
        elif self.chance.random() < 0.3:
            self.add(f"account:{account}", self.chance.choice(self.of_account(account)), partner)
        else:
            for fact in self.chance.choice(self.of_mfa(account)):
                self.add(f"user_mfa:{account}", fact, partner)

    def of_account(self, account: str) -> list[Fact]:
        organization, role = self.place(self.places[account])
        found = [f.AccountMoved(organization_id=organization, role=role), f.RoleChanged(role=role), f.PasswordChanged()]
        if f.AccountErased() not in self.store_facts(f"account:{account}"):
            found += [f.AccountDisabled(), f.AccountRestored(), f.AccountRestored()]
            found += [f.AccountErased()] if self.chance.random() < 0.1 else []
        return found

    def of_mfa(self, account: str) -> list[list[Fact]]:
        mfa = replay(user_mfa.evolve, user_mfa.UserMFA(), self.store_facts(f"user_mfa:{account}"))
        until = self.now + timedelta(minutes=30)
        shown = f.SetupStarted(setup_id="s", secret_ref="x", session="s", expires_at=until)
        wrong = f.VerificationFailed(purpose=f.Purpose.SIGN_IN, reason=f.FailureReason.WRONG, challenge="s")
        found: list[list[Fact]] = [
            [shown, f.Verified(purpose=f.Purpose.SETUP, time_step=1, gives_back=0)],
            [f.ResetConfirmed(by=f.Initiator.PERSON, reset_id="r")],
            [f.ResetConfirmed(by=f.Initiator.ADMINISTRATOR, reset_id="r", expires_at=until)],
        ]
        if not mfa.guesses.dead:
            found += [[f.Locked(until=until)], [f.Unlocked()], [f.Disabled(was=mfa.factor)]]
        if mfa.factor is f.Factor.NONE:
            found += [[f.Enabled()]] * 3
        if mfa.factor is f.Factor.ACTIVE and not mfa.guesses.dead:
            right = f.Verified(purpose=f.Purpose.SIGN_IN, time_step=1, gives_back=0)
            found += [[right], [right], [wrong], [f.Locked(until=None)]]
        return found

    def store_facts(self, stream: str) -> list[Fact]:
        return [each.fact for each in self.store.history(stream)]


@dataclass
class Past:
    """A history, the view of it, and a fold of our own."""

    url: str
    store: PostgresEventStore
    log: list[Envelope]
    connection: psycopg.Connection[DictRow]
    chance: random.Random

    @property
    def accounts(self) -> dict[str, str]:
        """The partner of each account."""
        facts = ((each.subject_id, each.fact) for each in self.log)
        return {subject: fact.partner_id for subject, fact in facts if isinstance(fact, f.AccountRegistered)}

    def policy(self, partner: str, position: int) -> partner_policy.PartnerPolicy:
        found = partner_policy.PartnerPolicy()
        for each in self.log:
            if each.stream == f"partner_policy:{partner}" and each.position <= position:
                found = partner_policy.evolve(found, each.fact)
        return found

    def status(self, account: str, position: int) -> dict[str, Any] | None:
        """Fold the log up to a position with the rules of the domain, as one person would by hand."""
        place, mfa, since, there = directory.Account(), user_mfa.UserMFA(), None, False
        for each in self.log:
            if each.subject_id != account or each.position > position:
                continue
            there = there or isinstance(each.fact, f.AccountRegistered)
            place, mfa = directory.evolve_account(place, each.fact), user_mfa.evolve(mfa, each.fact)
            if isinstance(each.fact, f.AccountRegistered | f.Enabled | f.Disabled | f.ResetConfirmed) or (
                isinstance(each.fact, f.Verified) and each.fact.purpose is f.Purpose.SETUP
            ):
                since = each.at
        if not there:
            return None
        return {
            "organization_id": place.organization_id,
            "role": place.role.value,
            "account_state": "erased" if place.erased else "disabled" if place.disabled else "open",
            "factor": mfa.factor.value,
            "owed": mfa.owed_to_administrator(),
            "since": since,
            "locked_until": FAR if mfa.guesses.dead else mfa.guesses.locked_until,
        }

    def counted(self, partner: str, position: int) -> list[dict[str, Any]]:
        """Count the accounts of a partner one by one."""
        every = [self.status(account, position) for account, of in self.accounts.items() if of == partner]
        rows = []
        for population in ("organizations", "partner_users"):
            there = [
                each["factor"]
                for each in every
                if each
                and each["account_state"] == "open"
                and (each["organization_id"] is None) == (population == "partner_users")
            ]
            counts = {"accounts": len(there), "active": there.count("active"), "pending": there.count("pending")}
            rows.append({"population": population, **counts})
        return rows

    def positions(self) -> list[int]:
        last = self.log[-1].position
        return [0, *(each.position for each in self.log), last + 1, last + 1000]


def envelopes(store: PostgresEventStore) -> list[Envelope]:
    found: list[Envelope] = []
    while page := store.read(found[-1].position if found else 0, 500):
        found += page
    return found


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
    assert user_status.organizations(past.connection, "p-1", 5) == [("o-1", "O-1"), ("o-2", "O-2")]
    assert user_status.organizations(past.connection, "p-1", 1) == [("o-1", "O-1")]


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
            assert [row["account_id"] for row in rows] == sorted(account for account, each in there.items() if each)
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
    before = runner.verify(past.url, past.store.read, status_history.NAME)
    assert before.equal
    assert before.rows > FACTS / 2
    past.connection.execute("UPDATE status_interval SET factor = 'active' WHERE to_position IS NULL")
    past.connection.execute("UPDATE adoption SET active = active + 1")
    broken = runner.verify(past.url, past.store.read, status_history.NAME)
    assert not broken.equal
    assert runner.rebuild(past.url, past.store.read, status_history.NAME) == past.log[-1].position
    assert runner.verify(past.url, past.store.read, status_history.NAME) == before


def give_names(past: Past) -> None:
    """Give every account a name; the log knows none."""
    query = "INSERT INTO person VALUES (%s, %s, %s, %s, %s, %s)"
    for account, partner in past.accounts.items():
        address = f"{account}@mail.example"
        past.connection.execute(query, (account, partner, "somewhere", account, address, address))


def pages(connection: psycopg.Connection[DictRow], wanted: user_status.Filter) -> list[dict[str, Any]]:
    """Turn pages until the end."""
    found: list[dict[str, Any]] = []
    while page := user_status.page(connection, wanted):
        found += page
        wanted = replace(wanted, after=(page[-1]["sort_key"], page[-1]["account_id"]))
    return found
