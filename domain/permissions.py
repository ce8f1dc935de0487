"""Who may do what: one table, and the four questions it leaves (tenant, own account, rank, portal)."""

from dataclasses import dataclass
from enum import StrEnum

from domain.directory import RANK
from domain.facts import PartnerType, Role
from domain.kernel import Refused


class Action(StrEnum):
    """What the table speaks of. What everybody may do with the own MFA needs no row."""

    SEE_POLICY = "see_policy"
    CHANGE_POLICY = "change_policy"
    SEE_USERS = "see_users"
    RESET_USER = "reset_user"
    SEE_AUDIT = "see_audit"
    MANAGE_SIGN_ON = "manage_sign_on"


class AnotherTenant(Refused):
    """There is no such partner or account for this caller; outsiders are told nothing else."""


class PartnerTypeHasNoPolicy(Refused):
    """Enforcement exists for distributors and sub-resellers alone."""


class RoleNotAllowed(Refused):
    """This role may not do that; an owner, super admin or admin may, or can change the role."""


class OutranksYou(Refused):
    """Nobody resets an account that stands above the own."""


class OwnAccount(Refused):
    """The own MFA is reset in Security Settings, with the password and a mailed link."""


@dataclass(frozen=True, slots=True)
class Member:
    """An account as the table sees it: where it belongs and what it is trusted with."""

    account_id: str
    partner_id: str
    partner_type: PartnerType
    role: Role
    organization_id: str | None = None


_DISTRIBUTING = frozenset({PartnerType.DISTRIBUTOR, PartnerType.SUB_RESELLER})
_EVERY_TYPE = frozenset(PartnerType)
_ADMINISTRATORS = frozenset({Role.OWNER, Role.SUPER_ADMIN, Role.ADMIN})
_READERS = _ADMINISTRATORS | {Role.SUPPORT, Role.AUDITOR}

TABLE: dict[Action, tuple[frozenset[PartnerType], frozenset[Role]]] = {
    Action.SEE_POLICY: (_DISTRIBUTING, _READERS),
    Action.CHANGE_POLICY: (_DISTRIBUTING, _ADMINISTRATORS),
    Action.SEE_USERS: (_EVERY_TYPE, _READERS),
    Action.RESET_USER: (_EVERY_TYPE, _ADMINISTRATORS),
    Action.SEE_AUDIT: (_EVERY_TYPE, _ADMINISTRATORS | {Role.AUDITOR}),
    Action.MANAGE_SIGN_ON: (_EVERY_TYPE, frozenset({Role.OWNER, Role.SUPER_ADMIN})),
}
"""For each action: the partner types that know it, and the roles that may do it. All of it ends at the own partner."""


def check(actor: Member, action: Action, *, partner_id: str) -> None:
    """Refuse what the actor may not do at this partner."""
    types, roles = TABLE[action]
    if actor.partner_id != partner_id:
        raise AnotherTenant
    if actor.role not in roles:
        raise RoleNotAllowed
    if actor.partner_type not in types:
        raise PartnerTypeHasNoPolicy


def check_reset(actor: Member, target: Member) -> None:
    """Refuse to reset another's MFA across tenants, upwards in rank, or one's own by this path."""
    check(actor, Action.RESET_USER, partner_id=target.partner_id)
    if actor.account_id == target.account_id:
        raise OwnAccount
    if RANK[target.role] > RANK[actor.role]:
        raise OutranksYou


def may(actor: Member, action: Action) -> bool:
    """Say whether the actor may do this at the own partner, for pages that show or hide a control."""
    types, roles = TABLE[action]
    return actor.partner_type in types and actor.role in roles
