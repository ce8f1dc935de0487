"""Who was covered, and what changed: the figures are those of a simulation that folds the log event by event."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, pairwise

import pytest

from api import bootstrap
from api.certificate import Sums
from domain import facts as f
from domain import user_mfa
from domain.kernel import Envelope
from domain.requirement import population_of, requirement
from projections import coverage
from projections.coverage import TICK, Cause, Covered, Span, Stretch
from tests.contract.pasts import PARTNERS, VISIBLE, Past, Writer, envelopes
from tests.servers import Servers
from tests.services import settings_for

FACTS = 350
SPANS = 40
CAUSES = {f.ResetConfirmed: Cause.RESET, f.Disabled: Cause.SWITCHED_OFF}
Piece = tuple[int, int, bool, int | None]
"""From tick, to tick, covered, and the position of the fact that ended the cover."""


@pytest.fixture(scope="module", params=[11, 12, 13])
def past(request: pytest.FixtureRequest, servers: Servers, empty_template: str) -> Iterator[Past]:
    """One of several histories by chance, on clocks that disagree."""
    with servers.lent(empty_template) as database:
        watchword = bootstrap.build(settings_for(servers.folder, database))
        follower = bootstrap.projector(watchword)
        writer = Writer(watchword.store, random.Random(request.param))
        writer.begin()
        while writer.written < FACTS:
            writer.step()
        while follower.step():
            pass
        follower.close()
        with watchword.database.connection() as connection:
            yield Past(database.app_url, watchword.store, envelopes(watchword.store), connection, random.Random(0))
        watchword.close()


def spans(past: Past) -> list[Span]:
    """Return spans of all lengths: whole ones, narrow ones, ones whose instants and positions hardly fit."""
    times = sorted(each.at for each in past.log)
    found = []
    for partner in PARTNERS:
        found.append(Span(partner, 0, past.log[-1].position, times[0], times[-1] + timedelta(days=3)))
        for _ in range(SPANS):
            a, b = sorted(past.chance.sample(past.positions()[:-2], 2))
            t0, t1 = sorted(past.chance.sample(times, 2))
            found.append(Span(partner, a, b, t0, t1 + past.chance.choice([1, 86_400_000_000]) * TICK))
    return found


@dataclass
class Simulated:
    """One account's span, played event by event from the log."""

    past: Past
    span: Span
    account: str

    def ticks(self, at: datetime) -> int:
        return (min(max(at, self.span.t0), self.span.t1) - self.span.t0) // TICK

    def steps(self, log: list[Envelope]) -> list[tuple[int, int]]:
        """Return from which tick on how it stood at which position: a fact never counts before the one it followed."""
        later = [each for each in log if self.span.a < each.position <= self.span.b]
        times = accumulate((self.ticks(each.at) for each in later), max)
        return [(0, self.span.a), *zip(times, (each.position for each in later), strict=True)]

    def changes(self) -> list[Envelope]:
        """Return the facts that changed how the account looks."""
        own = [each for each in self.past.log if each.subject_id == self.account]
        positions = [0, *(each.position for each in own)]
        states = {position: self.past.status(self.account, position) for position in positions}
        return [
            each
            for (before, _), each in zip(pairwise(positions), own, strict=True)
            if states[before] != states[each.position]
        ]

    def pieces(self) -> list[Piece]:
        accounts = self.steps(self.changes())
        stream = f"partner_policy:{self.span.partner_id}"
        policies = self.steps([each for each in self.past.log if each.stream == stream])
        edges = sorted({tick for tick, _ in accounts + policies} | {self.ticks(self.span.t1)})
        found: list[Piece] = []
        for begin, end in pairwise(edges):
            at, under = (max(p for tick, p in steps if tick <= begin) for steps in (accounts, policies))
            status = self.past.status(self.account, at)
            if status is None or status["account_state"] != "open":
                continue
            policy = self.past.policy(self.span.partner_id, under)
            if requirement(policy, population_of(status["organization_id"])).required:
                active = status["factor"] == "active"
                lost = None if active else self.lost(at)
                joined = found.pop()[0] if found and found[-1][1:] == (begin, active, lost) else begin
                found.append((joined, end, active, lost))
        return found

    def lost(self, position: int) -> int | None:
        """Return where the newest cover up to a position ended."""
        mfa, found = user_mfa.UserMFA(), None
        for each in self.past.log:
            if each.subject_id == self.account and each.position <= position:
                before, mfa = mfa, user_mfa.evolve(mfa, each.fact)
                if before.factor is f.Factor.ACTIVE and mfa.factor is not f.Factor.ACTIVE:
                    found = each.position
        return found

    def again(self, lost: int | None) -> datetime | None:
        """Return when the cover came back after it had ended, or came for the first time."""
        for each in self.changes():
            if (lost or 0) < each.position <= self.span.b:
                status = self.past.status(self.account, each.position)
                if status and status["factor"] == "active":
                    return each.at
        return None


def found_in(past: Past, span: Span) -> dict[str, Covered]:
    found = list(coverage.coverage(past.connection, past.store.at, span))
    assert [each.account_id for each in found] == sorted({each.account_id for each in found})
    return {each.account_id: each for each in found}


def test_coverage_is_what_a_simulation_event_by_event_gives(past: Past) -> None:
    causes, covered = Counter[Cause](), 0
    for span in spans(past):
        simulated = {a: Simulated(past, span, a) for a, partner in past.accounts.items() if partner == span.partner_id}
        expected = {account: pieces for account, each in simulated.items() if (pieces := each.pieces())}
        found = found_in(past, span)
        assert {
            account: [(s.begin, s.end, s.active, s.lost) for s in each.stretches] for account, each in found.items()
        } == expected, span
        for account, each in found.items():
            assert sorted(each.lost) == sorted({s.lost for s in each.stretches if s.lost is not None})
            for gap in (stretch for stretch in each.stretches if not stretch.active):
                lost = next((e for e in past.log if e.position == gap.lost), None)
                assert each.cause(gap) == (CAUSES[type(lost.fact)] if lost else Cause.NOT_ENROLLED)
                assert lost is None or each.lost[lost.position] == lost
                assert gap.again_at == simulated[account].again(gap.lost)
                causes[each.cause(gap)] += 1
            covered += each.ticks(active=True)
    assert covered
    assert set(causes) == set(Cause), causes


def test_it_does_not_depend_on_the_size_of_a_page(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    for span in spans(past)[:: SPANS // 4]:
        whole = found_in(past, span)
        for page in (1, 3):
            monkeypatch.setattr(coverage, "PAGE", page)
            assert found_in(past, span) == whole
        monkeypatch.undo()


def test_sums_and_days_are_those_of_the_accounts(past: Past) -> None:
    for span in spans(past)[:: SPANS // 8]:
        sums, found = Sums(span), found_in(past, span).values()
        for account in found:
            sums.add(account)
        every = [(account, stretch) for account in found for stretch in account.stretches]
        assert sums.accounts == len(found)
        assert sums.without_gap == sum(all(s.active for s in account.stretches) for account in found)
        assert sums.covered == sum(s.end - s.begin for _, s in every if s.active)
        assert sums.required == sum(s.end - s.begin for _, s in every)
        for cause, (number, ticks) in sums.gaps.items():
            gaps = [s for account, s in every if not s.active and account.cause(s) is cause]
            assert (number, ticks) == (len(gaps), sum(s.end - s.begin for s in gaps))
        assert list(sums.days()) == by_day(span, [stretch for _, stretch in every])


def by_day(span: Span, stretches: list[Stretch]) -> list[tuple[date, int, int]]:
    """Cut every stretch at each midnight (UTC), and add up."""
    required: Counter[date] = Counter()
    covered: Counter[date] = Counter()
    for stretch in stretches:
        begin, end = span.t0 + stretch.begin * TICK, span.t0 + stretch.end * TICK
        while begin < end:
            midnight = datetime.combine(begin.date(), datetime.min.time(), UTC) + timedelta(days=1)
            ticks = (min(end, midnight) - begin) // TICK
            required[begin.date()] += ticks
            covered[begin.date()] += ticks * stretch.active
            begin = min(end, midnight)
    return [(day, required[day], covered[day]) for day in sorted(required)]


def test_a_difference_is_that_of_two_folds(past: Past) -> None:
    seen: Counter[str] = Counter()
    for span in spans(past):
        expected = {}
        for account, partner in past.accounts.items():
            changes = Simulated(past, span, account).changes()
            positions = [each.position for each in changes if span.a < each.position <= span.b]
            if partner == span.partner_id and positions:
                expected[account] = (past.status(account, span.a), past.status(account, span.b), positions)
        asked = (past.connection, past.store.at, span.partner_id, span.a, span.b)
        found = list(coverage.difference(*asked))
        assert [each.account_id for each in found] == sorted(expected), span
        for each in found:
            states = [row and {name: row[name] for name in VISIBLE} for row in (each.before, each.after)]
            assert (*states, each.positions) == expected[each.account_id]
            assert set(each.kinds) == kinds(past, each.account_id, each.positions), each
            seen.update(each.kinds)
        for number, each in enumerate(found):
            assert list(coverage.difference(*asked, after=each.account_id, limit=2)) == found[number + 1 : number + 3]
    assert {"joined", "left", "enrolled", "was_reset", "lost_cover", "moved", "role_changed", "locked"} <= set(seen)


def kinds(past: Past, account: str, positions: list[int]) -> set[str]:
    """Return what happened at the positions, from folds before and after each."""
    found = set()
    for each in (each for each in past.log if each.position in positions):
        old, new = past.status(account, each.position - 1), past.status(account, each.position)
        assert new
        if old is None:
            found.add("joined")
            continue
        changed = {name for name in VISIBLE if old[name] != new[name]}
        happened = {
            "restored": "account_state" in changed and new["account_state"] == "open",
            "left": "account_state" in changed and new["account_state"] != "open",
            "enrolled": "factor" in changed and new["factor"] == "active",
            "lost_cover": "factor" in changed and old["factor"] == "active",
            "was_reset": each.fact.TOPIC == "user_mfa.reset_confirmed",
            "switched_on": each.fact.TOPIC == "user_mfa.enabled",
            "moved": "organization_id" in changed,
            "role_changed": "role" in changed,
            "locked": "locked_until" in changed and new["locked_until"] is not None,
        }
        found |= {kind for kind, it_did in happened.items() if it_did}
    return found


def test_it_is_found_by_indexes_and_no_table_is_read_from_end_to_end(past: Past) -> None:
    values = {"partner": "p-1", "a": 300, "b": 305, "after": "", "limit": None, "page": 3}
    with past.connection.transaction(force_rollback=True):
        past.connection.execute("SET LOCAL enable_seqscan = off")
        for query in (coverage._CHANGED, coverage._ACCOUNTS, coverage._VERSIONS):
            plan = past.connection.execute(f"EXPLAIN {query}", values).fetchall()
            assert "Seq Scan" not in str(plan)
