"""Partner, Organization, Account: who belongs where, and what each may become."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from domain.facts import (
    AccountDisabled,
    AccountErased,
    AccountMoved,
    AccountRegistered,
    AccountRestored,
    DomainProved,
    DomainWithdrawn,
    IdentityInvited,
    IdentityLinked,
    IdentityUnlinked,
    LinkedBy,
    OrganizationRegistered,
    OrganizationRenamed,
    PartnerRegistered,
    PartnerRenamed,
    PartnerType,
    PasswordChanged,
    Role,
    RoleChanged,
)
from domain.kernel import Fact, Refused

RANK = {Role.OWNER: 3, Role.SUPER_ADMIN: 2, Role.ADMIN: 1, Role.SUPPORT: 0, Role.AUDITOR: 0, Role.END_USER: 0}
"""Who stands above whom: nobody resets an account that outranks the own."""


class PartnerIsFixed(Refused):
    """What was registered under one partner, type or parent stays there: register a new one instead."""


class RoleDoesNotFit(Refused):
    """Organization users are end users, and end users belong to an organization."""


class ParentDoesNotFit(Refused):
    """A sub-reseller has a parent; a distributor or reseller has none."""


class AccountIsErased(Refused):
    """This account was erased; it cannot be used again."""


class AnotherIdentityLinked(Refused):
    """The account has another identity of this provider: unlink that one first."""


class InvitationOver(Refused):
    """The invitation was used, replaced, or has run out."""


@dataclass(frozen=True, slots=True)
class Partner:
    """One tenant."""

    name: str = ""
    type: PartnerType | None = None
    parent: str | None = None
    domains: frozenset[str] = frozenset()
    """Mail domains that are proved to be the partner's."""

    def register(self, *, name: str, type: PartnerType, parent: str | None) -> list[Fact]:  # noqa: A002 the word of the facts
        """Join, or take another name; said twice it changes nothing."""
        if (type is PartnerType.SUB_RESELLER) != (parent is not None):
            raise ParentDoesNotFit
        if self.type is None:
            return [PartnerRegistered(name=name, type=type, parent=parent)]
        if (self.type, self.parent) != (type, parent):
            raise PartnerIsFixed
        return [] if self.name == name else [PartnerRenamed(name=name)]

    def prove(self, domain: str) -> list[Fact]:
        """Take a mail domain as the partner's."""
        return [] if domain in self.domains else [DomainProved(domain=domain)]

    def withdraw(self, domain: str) -> list[Fact]:
        """Take a mail domain as the partner's no longer."""
        return [DomainWithdrawn(domain=domain)] if domain in self.domains else []


@dataclass(frozen=True, slots=True)
class Organization:
    """One customer of one partner."""

    name: str = ""
    partner_id: str | None = None

    def register(self, *, name: str, partner_id: str) -> list[Fact]:
        """Take on a customer, or rename it; said twice it changes nothing."""
        if self.partner_id is None:
            return [OrganizationRegistered(name=name, partner_id=partner_id)]
        if self.partner_id != partner_id:
            raise PartnerIsFixed
        return [] if self.name == name else [OrganizationRenamed(name=name)]


@dataclass(frozen=True, slots=True)
class Account:
    """One person's place at one partner."""

    partner_id: str | None = None
    organization_id: str | None = None
    role: Role = Role.END_USER
    disabled: bool = False
    erased: bool = False
    identities: dict[str, str] = field(default_factory=dict)
    """By provider, the digest of the identity that is linked."""
    invitation: IdentityInvited | None = None

    def register(self, *, partner_id: str, organization_id: str | None, role: Role) -> list[Fact]:
        """Get an account, or another role or place of the same partner; said twice it changes nothing."""
        if (role is Role.END_USER) != (organization_id is not None):
            raise RoleDoesNotFit
        if self.erased:
            raise AccountIsErased
        if self.partner_id is None:
            return [AccountRegistered(partner_id=partner_id, organization_id=organization_id, role=role)]
        if self.partner_id != partner_id:
            raise PartnerIsFixed
        if self.organization_id != organization_id:
            return [AccountMoved(organization_id=organization_id, role=role)]
        return [] if self.role is role else [RoleChanged(role=role)]

    def disable(self) -> list[Fact]:
        """Keep the person from signing in."""
        return [] if self.disabled else [AccountDisabled()]

    def restore(self) -> list[Fact]:
        """Let a disabled person sign in again."""
        if self.erased:
            raise AccountIsErased
        return [AccountRestored()] if self.disabled else []

    def set_password(self) -> list[Fact]:
        """Get another password."""
        if self.erased:
            raise AccountIsErased
        return [PasswordChanged()]

    def erase(self) -> list[Fact]:
        """Forget the person; the history stays."""
        return [] if self.erased else [AccountErased()]

    def invite(self, invitation: IdentityInvited) -> list[Fact]:
        """Let whoever holds the invitation link an identity; an older invitation ends."""
        if self.erased:
            raise AccountIsErased
        return [invitation]

    def invited(self, invitation_id: str, at: datetime) -> IdentityInvited:
        """Return the invitation that stands, if it is this one."""
        found = self.invitation
        if found is None or found.invitation_id != invitation_id or found.expires_at < at:
            raise InvitationOver
        return found

    def link(self, provider_id: str, subject_digest: str, by: LinkedBy) -> list[Fact]:
        """Let an identity open this account; said twice it changes nothing."""
        if self.erased:
            raise AccountIsErased
        if self.identities.get(provider_id, subject_digest) != subject_digest:
            raise AnotherIdentityLinked
        if provider_id in self.identities:
            return []
        return [IdentityLinked(provider_id=provider_id, subject_digest=subject_digest, by=by)]

    def unlink(self, provider_id: str) -> list[Fact]:
        """Let the identity of a provider open this account no longer."""
        if provider_id not in self.identities:
            return []
        return [IdentityUnlinked(provider_id=provider_id, subject_digest=self.identities[provider_id])]


def evolve_partner(partner: Partner, fact: Fact) -> Partner:
    """Apply one fact. No rule, no refusal."""
    match fact:
        case PartnerRegistered():
            return Partner(name=fact.name, type=fact.type, parent=fact.parent)
        case PartnerRenamed():
            return replace(partner, name=fact.name)
        case DomainProved():
            return replace(partner, domains=partner.domains | {fact.domain})
        case DomainWithdrawn():
            return replace(partner, domains=partner.domains - {fact.domain})
        case _:
            return partner


def evolve_organization(organization: Organization, fact: Fact) -> Organization:
    """Apply one fact. No rule, no refusal."""
    match fact:
        case OrganizationRegistered():
            return Organization(name=fact.name, partner_id=fact.partner_id)
        case OrganizationRenamed():
            return replace(organization, name=fact.name)
        case _:
            return organization


def evolve_account(account: Account, fact: Fact) -> Account:
    """Apply one fact. No rule, no refusal."""
    match fact:
        case AccountRegistered():
            return Account(partner_id=fact.partner_id, organization_id=fact.organization_id, role=fact.role)
        case AccountMoved():
            return replace(account, organization_id=fact.organization_id, role=fact.role)
        case RoleChanged():
            return replace(account, role=fact.role)
        case AccountDisabled():
            return replace(account, disabled=True)
        case AccountRestored():
            return replace(account, disabled=False)
        case AccountErased():
            return replace(account, disabled=True, erased=True, identities={}, invitation=None)
        case IdentityInvited():
            return replace(account, invitation=fact)
        case IdentityLinked():
            return _linked(account, fact)
        case IdentityUnlinked():
            left = {each: digest for each, digest in account.identities.items() if each != fact.provider_id}
            return replace(account, identities=left)
        case _:
            return account


def _linked(account: Account, fact: IdentityLinked) -> Account:
    used = account.invitation is not None and account.invitation.provider_id == fact.provider_id
    identities = account.identities | {fact.provider_id: fact.subject_digest}
    return replace(account, identities=identities, invitation=None if used else account.invitation)
