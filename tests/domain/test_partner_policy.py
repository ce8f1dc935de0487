"""What a partner may demand, option by option, and that any walk through its policy replays."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.facts import Enabled, Enforced, EnforcementLifted, EveryoneSignedOut, Population
from domain.kernel import Fact, Refused, replay
from domain.partner_policy import PartnerPolicy, PolicyChangedMeanwhile, evolve
from tests.domain.bench import history_of

given = history_of(evolve, PartnerPolicy())

PARTNER_USERS, ORGANIZATIONS = Population.PARTNER_USERS, Population.ORGANIZATIONS
NOBODY: frozenset[Population] = frozenset()
EVERYBODY = frozenset({PARTNER_USERS, ORGANIZATIONS})
CHOICES = [NOBODY, frozenset({PARTNER_USERS}), frozenset({ORGANIZATIONS}), EVERYBODY]

USERS_ENFORCED = Enforced(population=PARTNER_USERS)
ORGANIZATIONS_ENFORCED = Enforced(population=ORGANIZATIONS)
USERS_LIFTED = EnforcementLifted(population=PARTNER_USERS)


@pytest.mark.parametrize("wanted", CHOICES, ids=lambda wanted: "+".join(sorted(wanted)) or "none")
@pytest.mark.parametrize("before", CHOICES, ids=lambda before: "+".join(sorted(before)) or "none")
def test_none_either_or_both_options_can_be_chosen_from_any_state(
    before: frozenset[Population], wanted: frozenset[Population]
) -> None:
    """S09, S10, S12, S13, F07: every change from one choice to another, each option touching its own population."""
    policy = given(*(Enforced(population=population) for population in sorted(before)))
    outcome = policy.when(lambda p: p.set_demands(wanted, seen_version=None))
    assert {fact.population for fact in outcome.facts if isinstance(fact, Enforced)} == wanted - before
    assert {fact.population for fact in outcome.facts if isinstance(fact, EnforcementLifted)} == before - wanted
    assert len(outcome.facts) == len(wanted ^ before)
    assert policy.after(*outcome.facts).state.enforced == wanted


def test_what_is_demanded_already_is_not_demanded_again() -> None:
    """S09"""
    given(USERS_ENFORCED).when(lambda p: p.set_demands(frozenset({PARTNER_USERS}), seen_version=1)).then()


def test_enforcement_can_be_ended_and_begun_again_at_will() -> None:
    """F07"""
    lifted = given(USERS_ENFORCED, USERS_LIFTED)
    assert lifted.state.enforced == NOBODY
    lifted.when(lambda p: p.set_demands(frozenset({PARTNER_USERS}), seen_version=2)).then(USERS_ENFORCED)


def test_a_change_that_was_based_on_an_older_policy_is_refused() -> None:
    given(USERS_ENFORCED, USERS_LIFTED).when(lambda p: p.set_demands(EVERYBODY, seen_version=1)).refused(
        PolicyChangedMeanwhile, version=2
    )


def test_sign_everyone_out_now_ends_the_sessions_of_those_of_whom_mfa_is_demanded() -> None:
    """D8"""
    given().when(lambda p: p.set_demands(frozenset({ORGANIZATIONS}), seen_version=0, sign_out=True)).then(
        ORGANIZATIONS_ENFORCED, EveryoneSignedOut(population=ORGANIZATIONS)
    )
    given(USERS_ENFORCED).when(lambda p: p.set_demands(EVERYBODY, seen_version=1, sign_out=True)).then(
        ORGANIZATIONS_ENFORCED,
        EveryoneSignedOut(population=PARTNER_USERS),
        EveryoneSignedOut(population=ORGANIZATIONS),
    )


def test_sign_everyone_out_now_ends_the_sessions_of_those_whose_demand_was_just_lifted_too() -> None:
    """D8"""
    given(USERS_ENFORCED).when(lambda p: p.set_demands(NOBODY, seen_version=1, sign_out=True)).then(
        USERS_LIFTED, EveryoneSignedOut(population=PARTNER_USERS)
    )
    given(USERS_ENFORCED).when(lambda p: p.set_demands(frozenset({ORGANIZATIONS}), seen_version=1, sign_out=True)).then(
        USERS_LIFTED,
        ORGANIZATIONS_ENFORCED,
        EveryoneSignedOut(population=PARTNER_USERS),
        EveryoneSignedOut(population=ORGANIZATIONS),
    )


def test_those_whose_demand_was_lifted_earlier_or_never_stood_stay_signed_in() -> None:
    """D8"""
    for history in ((), (USERS_ENFORCED, USERS_LIFTED)):
        given(*history).when(lambda p: p.set_demands(NOBODY, seen_version=None, sign_out=True)).then()


def test_without_being_asked_nobody_is_signed_out() -> None:
    """D8: running sessions stay."""
    given().when(lambda p: p.set_demands(EVERYBODY, seen_version=0)).then(USERS_ENFORCED, ORGANIZATIONS_ENFORCED)
    given(USERS_ENFORCED).when(lambda p: p.set_demands(NOBODY, seen_version=1)).then(USERS_LIFTED)


def test_the_version_of_a_policy_counts_its_facts() -> None:
    signed_out = EveryoneSignedOut(population=PARTNER_USERS)
    assert given().state.version == 0
    assert given(USERS_ENFORCED, signed_out, USERS_LIFTED).state.version == 3


def test_signing_everyone_out_demands_nothing() -> None:
    """D8"""
    assert given(EveryoneSignedOut(population=PARTNER_USERS)).state.enforced == NOBODY


def test_a_fact_of_which_the_policy_knows_nothing_is_no_error() -> None:
    assert given(USERS_ENFORCED, Enabled()).state.enforced == {PARTNER_USERS}


class PolicyWalk(RuleBasedStateMachine):
    """Administrators change the policy in any order, with fresh and with stale eyes."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = PartnerPolicy()
        self.log: list[Fact] = []
        self.demanded: frozenset[Population] = frozenset()

    @rule(wanted=st.sampled_from(CHOICES), sign_out=st.booleans(), behind=st.integers(0, 3) | st.none())
    def change(self, wanted: frozenset[Population], sign_out: bool, behind: int | None) -> None:
        seen = None if behind is None else self.policy.version - behind
        before = self.policy
        try:
            facts = self.policy.set_demands(wanted, seen_version=seen, sign_out=sign_out)
        except Refused:
            assert behind
            assert self.policy == before
            return
        assert not behind
        signed_out = {fact.population for fact in facts if isinstance(fact, EveryoneSignedOut)}
        assert signed_out == (wanted | before.enforced if sign_out else NOBODY)
        self.log += facts
        self.policy = replay(evolve, self.policy, facts)
        self.demanded = wanted

    @invariant()
    def the_replay_of_all_facts_is_the_state_reached_step_by_step(self) -> None:
        assert replay(evolve, PartnerPolicy(), self.log) == self.policy

    @invariant()
    def exactly_what_was_wanted_last_is_demanded(self) -> None:
        assert self.policy.enforced == self.demanded
        assert self.policy.version == len(self.log)


TestPolicyWalk = PolicyWalk.TestCase
TestPolicyWalk.settings = settings(deadline=None, max_examples=50)
