"""Who may do what, cell by cell. The expectation is written out here; nothing of it is taken from the code."""

from itertools import product

import pytest

from domain.facts import PartnerType, Role
from domain.kernel import Refused
from domain.permissions import (
    Action,
    AnotherTenant,
    Member,
    OutranksYou,
    OwnAccount,
    PartnerTypeHasNoPolicy,
    RoleNotAllowed,
    check,
    check_reset,
    may,
)

COLUMNS = ["owner", "super_admin", "admin", "support", "auditor", "end_user"]
EXPECTED = {
    ("see_policy", "distributor"): "yes yes yes yes yes no",
    ("see_policy", "sub_reseller"): "yes yes yes yes yes no",
    ("see_policy", "reseller"): "no no no no no no",
    ("change_policy", "distributor"): "yes yes yes no no no",
    ("change_policy", "sub_reseller"): "yes yes yes no no no",
    ("change_policy", "reseller"): "no no no no no no",
    ("see_users", "distributor"): "yes yes yes yes yes no",
    ("see_users", "sub_reseller"): "yes yes yes yes yes no",
    ("see_users", "reseller"): "yes yes yes yes yes no",
    ("reset_user", "distributor"): "yes yes yes no no no",
    ("reset_user", "sub_reseller"): "yes yes yes no no no",
    ("reset_user", "reseller"): "yes yes yes no no no",
    ("see_audit", "distributor"): "yes yes yes no yes no",
    ("see_audit", "sub_reseller"): "yes yes yes no yes no",
    ("see_audit", "reseller"): "yes yes yes no yes no",
    ("manage_sign_on", "distributor"): "yes yes no no no no",
    ("manage_sign_on", "sub_reseller"): "yes yes no no no no",
    ("manage_sign_on", "reseller"): "yes yes no no no no",
}
CELLS = [
    (action, kind, role, answer == "yes")
    for (action, kind), row in EXPECTED.items()
    for role, answer in zip(COLUMNS, row.split(), strict=True)
]


def member(role: str, kind: str = "distributor", *, partner: str = "par-1", name: str = "acc-1") -> Member:
    return Member(account_id=name, partner_id=partner, partner_type=PartnerType(kind), role=Role(role))


def refusal_of(actor: Member, action: str, *, at: str) -> type[Refused] | None:
    try:
        check(actor, Action(action), partner_id=at)
    except Refused as refusal:
        return type(refusal)
    return None


def reset_refusal(actor: Member, target: Member) -> type[Refused] | None:
    try:
        check_reset(actor, target)
    except Refused as refusal:
        return type(refusal)
    return None


def test_the_expectation_speaks_of_every_cell() -> None:
    assert set(EXPECTED) == {(action.value, kind.value) for action, kind in product(Action, PartnerType)}
    assert set(COLUMNS) == {role.value for role in Role}


@pytest.mark.parametrize(("action", "kind", "role", "allowed"), CELLS)
def test_the_table_of_permissions_holds_at_the_own_partner(action: str, kind: str, role: str, allowed: bool) -> None:
    """F01, F19, F20, S34, table 3"""
    actor = member(role, kind)
    assert (refusal_of(actor, action, at="par-1") is None) is allowed
    assert may(actor, Action(action)) is allowed


@pytest.mark.parametrize(("action", "kind", "role", "_allowed"), CELLS)
def test_nobody_may_do_anything_at_another_partner(action: str, kind: str, role: str, _allowed: bool) -> None:
    """F02, F03, S34, table 3: its parent, its sub-reseller or a stranger; an outsider is told nothing else."""
    assert refusal_of(member(role, kind), action, at="par-2") is AnotherTenant


@pytest.mark.parametrize("role", ["owner", "super_admin", "admin"])
def test_a_reseller_has_no_policy_and_is_told_so(role: str) -> None:
    """F01"""
    assert refusal_of(member(role, "reseller"), "see_policy", at="par-1") is PartnerTypeHasNoPolicy
    assert refusal_of(member(role, "reseller"), "change_policy", at="par-1") is PartnerTypeHasNoPolicy


@pytest.mark.parametrize("role", ["support", "auditor", "end_user"])
@pytest.mark.parametrize("kind", list(PartnerType))
def test_support_auditors_and_end_users_change_nothing_because_of_their_role(kind: PartnerType, role: str) -> None:
    """F19, F20, S34"""
    assert refusal_of(member(role, kind), "change_policy", at="par-1") is RoleNotAllowed
    assert refusal_of(member(role, kind), "reset_user", at="par-1") is RoleNotAllowed


def test_a_role_change_gives_the_right_at_once_and_takes_it_at_once() -> None:
    """F21: the same account before, as an administrator, and after."""
    asked = [refusal_of(member(role), "reset_user", at="par-1") for role in ("support", "admin", "support")]
    assert asked == [RoleNotAllowed, None, RoleNotAllowed]


# ── Reset of another: role of the actor x role of the target ──

RESETS = {
    #               owner super_admin admin support auditor end_user
    "owner": "yes yes yes yes yes yes",
    "super_admin": "outranks yes yes yes yes yes",
    "admin": "outranks outranks yes yes yes yes",
    "support": "role role role role role role",
    "auditor": "role role role role role role",
    "end_user": "role role role role role role",
}
ANSWERS = {"yes": None, "outranks": OutranksYou, "role": RoleNotAllowed}
RESET_CELLS = [
    (kind.value, actor, target, answer)
    for kind in PartnerType
    for actor, row in RESETS.items()
    for target, answer in zip(COLUMNS, row.split(), strict=True)
]


@pytest.mark.parametrize(("kind", "actor", "target", "answer"), RESET_CELLS)
def test_an_administrator_resets_whoever_does_not_stand_above(kind: str, actor: str, target: str, answer: str) -> None:
    """S34, F19, D4, D6: anyone of the same partner or of its organizations, in every partner type."""
    reset = reset_refusal(member(actor, kind), member(target, kind, name="acc-2"))
    assert reset is ANSWERS[answer]


@pytest.mark.parametrize(("actor", "target"), list(product(COLUMNS, COLUMNS)))
def test_nobody_resets_a_user_of_another_partner(actor: str, target: str) -> None:
    """S34, table 3: users of a sub-reseller and of any other partner."""
    distributor, elsewhere = member(actor), member(target, "sub_reseller", partner="par-2", name="acc-2")
    assert reset_refusal(distributor, elsewhere) is AnotherTenant
    assert reset_refusal(elsewhere, distributor) is AnotherTenant


@pytest.mark.parametrize("role", ["owner", "super_admin", "admin"])
def test_the_own_mfa_is_not_reset_by_the_administrators_path(role: str) -> None:
    """D7"""
    assert reset_refusal(member(role), member(role)) is OwnAccount
