"""Is MFA required of this account, why, and where does its login lead? Pure functions of policy and person."""

from dataclasses import dataclass
from enum import StrEnum

from domain.facts import Factor, Population
from domain.partner_policy import PartnerPolicy
from domain.user_mfa import UserMFA


class Why(StrEnum):
    """The rule behind a requirement, or behind its absence."""

    ENFORCED_FOR_PARTNER_USERS = "enforced_for_partner_users"
    ENFORCED_FOR_ORGANIZATIONS = "enforced_for_organizations"
    NOT_ENFORCED = "not_enforced"


@dataclass(frozen=True, slots=True)
class Requirement:
    """Whether a person has to use MFA, by which rule, and under which version of the partner's policy."""

    required: bool
    why: Why
    policy_version: int


class LoginStep(StrEnum):
    """What stands between the password and the dashboard."""

    DASHBOARD = "dashboard"
    CODE = "code"
    SETUP = "setup"


def population_of(organization_id: str | None) -> Population:
    """Return the population to which a person of this place belongs. Each option touches its own alone."""
    return Population.PARTNER_USERS if organization_id is None else Population.ORGANIZATIONS


def requirement(policy: PartnerPolicy, population: Population) -> Requirement:
    """Say whether the partner's own policy demands MFA of the population; no other partner's policy counts."""
    if population not in policy.enforced:
        return Requirement(required=False, why=Why.NOT_ENFORCED, policy_version=policy.version)
    partner_users = population is Population.PARTNER_USERS
    why = Why.ENFORCED_FOR_PARTNER_USERS if partner_users else Why.ENFORCED_FOR_ORGANIZATIONS
    return Requirement(required=True, why=why, policy_version=policy.version)


def login_step(mfa: UserMFA, needed: Requirement, *, credited: bool = False) -> LoginStep:
    """Return where a login leads. An active authenticator is always asked, enforced or not.

    ``credited``: an identity provider's MFA counts as ours, by that provider's setting. It replaces the code and the
    set-up, but not the set-up that an administrator's reset asks for.
    """
    if credited and not mfa.owed_to_administrator():
        return LoginStep.DASHBOARD
    if mfa.factor is Factor.ACTIVE:
        return LoginStep.CODE
    return LoginStep.SETUP if mfa.asks_for_setup(required=needed.required) else LoginStep.DASHBOARD
