"""Whom a policy binds, and what an account shares with no other, as people see it."""

import pytest
from playwright.sync_api import expect

from tests.browser.steps import dashboard, give_code, give_password, set_up, sign_in
from tests.browser.window import Windows
from tests.directory import ROLES
from tests.services import Portal


def enforce_both(window: Windows, account: str) -> None:
    """Sign in as somebody who may, tick both boxes, and save."""
    page = window()
    sign_in(page, account)
    page.goto("/security-settings")
    page.get_by_label("Enforce MFA for all partner users").check()
    page.get_by_label("Enforce MFA for all organizations").check()
    page.get_by_role("button", name="Save the policy").click()
    expect(page.get_by_role("status")).to_contain_text("The policy is saved")


def test_a_distributor_binds_neither_users_nor_end_users_of_its_sub_reseller(window: Windows) -> None:
    """F02 F03: whatever it enforces, they come to their dashboards, and its page names nobody else."""
    enforce_both(window, "dist-owner")
    for account, name in (("sub-owner", "Dashboard"), ("sub-org-user", "End-User Portal")):
        page = window()
        sign_in(page, account)
        dashboard(page, name)
    page = window()
    sign_in(page, "sub-owner")
    page.goto("/security-settings")
    expect(page.get_by_label("Enforce MFA for all partner users")).not_to_be_checked()
    expect(page.get_by_label("Enforce MFA for all organizations")).not_to_be_checked()


@pytest.mark.parametrize("role", ROLES)
def test_enforcement_binds_every_role(window: Windows, role: str) -> None:
    """F08 S15: the next login of each leads to the set-up, the owner's who switched it on too."""
    enforce_both(window, "dist-owner")
    page = window()
    give_password(page, f"dist-{role}")
    expect(page.get_by_role("button", name="Setup MFA")).to_be_visible()


def test_accounts_of_one_address_may_use_different_apps(portal: Portal, window: Windows) -> None:
    """F23 F12: each with a key of its own, and each asks for its own code."""
    keys = {}
    for account in ("three-dist", "three-resell"):
        page = window()
        sign_in(page, account)
        page.goto("/mfa/setup")
        keys[account] = set_up(portal, page)
    assert len(set(keys.values())) == 2
    for account, key in keys.items():
        page = window()
        sign_in(page, account)
        give_code(portal, page, key)
        dashboard(page)
