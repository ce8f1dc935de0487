"""Who may become what: partners, organizations and accounts."""

from itertools import pairwise

import pytest

from domain.directory import (
    RANK,
    Account,
    AccountIsErased,
    Organization,
    ParentDoesNotFit,
    Partner,
    PartnerIsFixed,
    RoleDoesNotFit,
    evolve_account,
    evolve_organization,
    evolve_partner,
)
from domain.facts import (
    AccountDisabled,
    AccountErased,
    AccountMoved,
    AccountRegistered,
    AccountRestored,
    Enabled,
    OrganizationRegistered,
    OrganizationRenamed,
    PartnerRegistered,
    PartnerRenamed,
    PartnerType,
    Role,
    RoleChanged,
)
from tests.domain.bench import history_of

given_partner = history_of(evolve_partner, Partner())
given_organization = history_of(evolve_organization, Organization())
given_account = history_of(evolve_account, Account())

ACME = PartnerRegistered(name="Acme", type=PartnerType.DISTRIBUTOR)
LITTLE = PartnerRegistered(name="Little", type=PartnerType.SUB_RESELLER, parent="par-1")
BAKERY = OrganizationRegistered(name="Bakery", partner_id="par-1")
ADMIN = AccountRegistered(partner_id="par-1", role=Role.ADMIN)
END_USER = AccountRegistered(partner_id="par-1", organization_id="org-1", role=Role.END_USER)
DISABLED, RESTORED, ERASED = AccountDisabled(), AccountRestored(), AccountErased()

# ── Partners ──


@pytest.mark.parametrize("fact", [ACME, LITTLE, PartnerRegistered(name="R", type=PartnerType.RESELLER)])
def test_a_partner_joins(fact: PartnerRegistered) -> None:
    given_partner().when(lambda p: p.register(name=fact.name, type=fact.type, parent=fact.parent)).then(fact)


@pytest.mark.parametrize(
    ("kind", "parent"),
    [(PartnerType.DISTRIBUTOR, "par-1"), (PartnerType.RESELLER, "par-1"), (PartnerType.SUB_RESELLER, None)],
)
def test_a_sub_reseller_alone_has_a_parent(kind: PartnerType, parent: str | None) -> None:
    given_partner().when(lambda p: p.register(name="X", type=kind, parent=parent)).refused(ParentDoesNotFit)


def test_a_partner_that_is_told_twice_is_told_once() -> None:
    given_partner(LITTLE).when(lambda p: p.register(name="Little", type=LITTLE.type, parent="par-1")).then()


def test_a_partner_may_take_another_name() -> None:
    renamed = PartnerRenamed(name="Acme Ltd")
    given_partner(ACME).when(lambda p: p.register(name="Acme Ltd", type=ACME.type, parent=None)).then(renamed)
    partner = given_partner(ACME, renamed)
    assert partner.state == Partner(name="Acme Ltd", type=ACME.type)
    partner.when(lambda p: p.register(name="Acme Ltd", type=ACME.type, parent=None)).then()


@pytest.mark.parametrize(
    ("kind", "parent"), [(PartnerType.SUB_RESELLER, "par-2"), (PartnerType.DISTRIBUTOR, None)], ids=["parent", "type"]
)
def test_a_partner_keeps_its_type_and_its_parent(kind: PartnerType, parent: str | None) -> None:
    given_partner(LITTLE).when(lambda p: p.register(name="Little", type=kind, parent=parent)).refused(PartnerIsFixed)


# ── Organizations ──


def test_a_partner_takes_on_a_customer_once() -> None:
    given_organization().when(lambda o: o.register(name="Bakery", partner_id="par-1")).then(BAKERY)
    given_organization(BAKERY).when(lambda o: o.register(name="Bakery", partner_id="par-1")).then()


def test_a_customer_may_take_another_name() -> None:
    renamed = OrganizationRenamed(name="Café")
    given_organization(BAKERY).when(lambda o: o.register(name="Café", partner_id="par-1")).then(renamed)
    assert given_organization(BAKERY, renamed).state == Organization(name="Café", partner_id="par-1")


def test_a_customer_stays_with_its_partner() -> None:
    given_organization(BAKERY).when(lambda o: o.register(name="Bakery", partner_id="par-2")).refused(PartnerIsFixed)


# ── Accounts ──


def test_a_person_gets_an_account_once() -> None:
    given_account().when(lambda a: a.register(partner_id="par-1", organization_id=None, role=Role.ADMIN)).then(ADMIN)
    given_account(ADMIN).when(lambda a: a.register(partner_id="par-1", organization_id=None, role=Role.ADMIN)).then()


def test_nobody_is_an_end_user_of_a_partner() -> None:
    given_account().when(lambda a: a.register(partner_id="par-1", organization_id=None, role=Role.END_USER)).refused(
        RoleDoesNotFit
    )


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.END_USER}))
def test_nobody_of_an_organization_opens_the_partner_portal(role: Role) -> None:
    given_account(END_USER).when(lambda a: a.register(partner_id="par-1", organization_id="org-1", role=role)).refused(
        RoleDoesNotFit
    )


@pytest.mark.parametrize("role", [Role.OWNER, Role.SUPER_ADMIN, Role.SUPPORT, Role.AUDITOR])
def test_a_role_may_change(role: Role) -> None:
    """F21, D14"""
    changed = RoleChanged(role=role)
    given_account(ADMIN).when(lambda a: a.register(partner_id="par-1", organization_id=None, role=role)).then(changed)
    assert given_account(ADMIN, changed).state.role is role


def test_an_account_may_move_within_its_partner() -> None:
    """D14"""
    moved = AccountMoved(organization_id="org-2", role=Role.END_USER)
    given_account(END_USER).when(
        lambda a: a.register(partner_id="par-1", organization_id="org-2", role=Role.END_USER)
    ).then(moved)
    assert given_account(END_USER, moved).state == Account(partner_id="par-1", organization_id="org-2")
    given_account(END_USER).when(lambda a: a.register(partner_id="par-1", organization_id=None, role=Role.ADMIN)).then(
        AccountMoved(organization_id=None, role=Role.ADMIN)
    )


def test_an_account_never_moves_to_another_partner() -> None:
    given_account(ADMIN).when(lambda a: a.register(partner_id="par-2", organization_id=None, role=Role.ADMIN)).refused(
        PartnerIsFixed
    )


def test_a_person_may_be_kept_from_signing_in_and_let_in_again() -> None:
    given_account(ADMIN).when(Account.disable).then(DISABLED)
    given_account(ADMIN).when(Account.restore).then()
    disabled = given_account(ADMIN, DISABLED)
    assert disabled.state.disabled
    disabled.when(Account.disable).then()
    disabled.when(Account.restore).then(RESTORED)
    assert disabled.after(RESTORED).state == given_account(ADMIN).state


def test_a_person_may_be_forgotten_and_does_not_come_back() -> None:
    given_account(ADMIN).when(Account.erase).then(ERASED)
    erased = given_account(ADMIN, ERASED)
    assert erased.state.disabled
    erased.when(Account.erase).then()
    erased.when(Account.disable).then()
    erased.when(Account.restore).refused(AccountIsErased)
    erased.when(lambda a: a.register(partner_id="par-1", organization_id=None, role=Role.ADMIN)).refused(
        AccountIsErased
    )


# ── Ranks, and what is not theirs ──


def test_an_owner_stands_above_a_super_admin_and_a_super_admin_above_an_admin() -> None:
    """D6"""
    ladder = [Role.OWNER, Role.SUPER_ADMIN, Role.ADMIN, Role.SUPPORT]
    assert all(RANK[higher] > RANK[lower] for higher, lower in pairwise(ladder))
    assert RANK[Role.SUPPORT] == RANK[Role.AUDITOR] == RANK[Role.END_USER]
    assert set(RANK) == set(Role)


def test_a_fact_of_which_the_directory_knows_nothing_is_no_error() -> None:
    assert given_partner(ACME, Enabled()).state == given_partner(ACME).state
    assert given_organization(BAKERY, Enabled()).state == given_organization(BAKERY).state
    assert given_account(ADMIN, Enabled()).state == given_account(ADMIN).state
