"""Of whom MFA is required, and what each login leads to, cell by cell."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from domain import user_mfa
from domain.facts import (
    Disabled,
    Enabled,
    Enforced,
    EnforcementLifted,
    Factor,
    Initiator,
    Population,
    Purpose,
    ResetConfirmed,
    SetupStarted,
    Verified,
)
from domain.kernel import Fact, replay
from domain.partner_policy import PartnerPolicy, evolve
from domain.requirement import LoginStep, Requirement, Why, login_step, population_of, requirement

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STARTED = SetupStarted(setup_id="set-1", secret_ref="sec-1", session="ses-1", expires_at=NOON)
SET_UP = Verified(purpose=Purpose.SETUP, time_step=100, gives_back=0)

PERSONS: dict[str, list[Fact]] = {
    "none": [],
    "pending": [Enabled()],
    "set up half": [STARTED],
    "active": [STARTED, SET_UP],
    "switched off": [STARTED, SET_UP, Disabled(was=Factor.ACTIVE)],
    "own reset": [STARTED, SET_UP, ResetConfirmed(by=Initiator.PERSON, reset_id="res-1")],
    "reset by administrator": [
        STARTED,
        SET_UP,
        ResetConfirmed(by=Initiator.ADMINISTRATOR, reset_id="res-1", expires_at=NOON + timedelta(hours=24)),
    ],
    "reset by administrator though never set up": [
        ResetConfirmed(by=Initiator.ADMINISTRATOR, reset_id="res-1", expires_at=NOON + timedelta(hours=24)),
    ],
}


@dataclass(frozen=True)
class Row:
    """One history of a person, and where its login leads while MFA is demanded of nobody, and of this person."""

    person: str
    not_required: LoginStep
    required: LoginStep


ROWS = [
    Row("none", LoginStep.DASHBOARD, LoginStep.SETUP),
    Row("pending", LoginStep.SETUP, LoginStep.SETUP),
    Row("set up half", LoginStep.DASHBOARD, LoginStep.SETUP),
    Row("active", LoginStep.CODE, LoginStep.CODE),
    Row("switched off", LoginStep.DASHBOARD, LoginStep.SETUP),
    Row("own reset", LoginStep.DASHBOARD, LoginStep.SETUP),
    Row("reset by administrator", LoginStep.SETUP, LoginStep.SETUP),
    Row("reset by administrator though never set up", LoginStep.SETUP, LoginStep.SETUP),
]
# Partner option, organization option, place: is MFA required, and by which rule?
DEMANDS = [
    ("off", "off", None, False, Why.NOT_ENFORCED),
    ("off", "off", "org-1", False, Why.NOT_ENFORCED),
    ("on", "off", None, True, Why.ENFORCED_FOR_PARTNER_USERS),
    ("on", "off", "org-1", False, Why.NOT_ENFORCED),
    ("off", "on", None, False, Why.NOT_ENFORCED),
    ("off", "on", "org-1", True, Why.ENFORCED_FOR_ORGANIZATIONS),
    ("on", "on", None, True, Why.ENFORCED_FOR_PARTNER_USERS),
    ("on", "on", "org-1", True, Why.ENFORCED_FOR_ORGANIZATIONS),
]


def policy_of(partner_option: str, organization_option: str) -> PartnerPolicy:
    facts: list[Fact] = []
    if partner_option == "on":
        facts.append(Enforced(population=Population.PARTNER_USERS))
    if organization_option == "on":
        facts.append(Enforced(population=Population.ORGANIZATIONS))
    return replay(evolve, PartnerPolicy(), facts)


@pytest.mark.parametrize(("partner", "organization", "place", "required", "why"), DEMANDS)
def test_each_option_binds_its_own_population_and_says_so(
    partner: str, organization: str, place: str | None, required: bool, why: Why
) -> None:
    """S10, S12, S13, F05: and the rule and the version of the policy are named."""
    policy = policy_of(partner, organization)
    needed = requirement(policy, population_of(place))
    assert needed == Requirement(required=required, why=why, policy_version=policy.version)


@pytest.mark.parametrize(("partner", "organization", "place", "required", "_why"), DEMANDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.person)
def test_what_a_login_leads_to(
    row: Row, partner: str, organization: str, place: str | None, required: bool, _why: Why
) -> None:
    """S16, S23, S32, S33, S41, F04, F05, F13, F14, table 4.

    The way in, password or a provider's sign-in with MFA of its own, is no argument: it exempts nobody.
    """
    person = replay(user_mfa.evolve, user_mfa.UserMFA(), PERSONS[row.person])
    needed = requirement(policy_of(partner, organization), population_of(place))
    assert login_step(person, needed) is (row.required if required else row.not_required)


def test_a_distributors_demand_does_not_reach_the_users_of_its_sub_reseller() -> None:
    """F02, F03: a person is judged by the policy of the own partner, and no other is asked."""
    policies = {"distributor": policy_of("on", "on"), "its sub-reseller": policy_of("off", "off")}
    for place in (None, "org-1"):
        needed = requirement(policies["its sub-reseller"], population_of(place))
        assert login_step(user_mfa.UserMFA(), needed) is LoginStep.DASHBOARD


def test_when_enforcement_ends_who_is_active_is_still_asked_and_who_is_not_walks_on() -> None:
    """D9"""
    lifted = evolve(policy_of("on", "off"), EnforcementLifted(population=Population.PARTNER_USERS))
    needed = requirement(lifted, Population.PARTNER_USERS)
    active = replay(user_mfa.evolve, user_mfa.UserMFA(), PERSONS["active"])
    assert login_step(active, needed) is LoginStep.CODE
    assert login_step(user_mfa.UserMFA(), needed) is LoginStep.DASHBOARD
    assert needed.policy_version == 2
