"""Security Settings: both sections, the switch, the policy."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.security import (
    ORGANIZATIONS,
    PERSONAL,
    POLICY,
    RESET,
    USERS,
    active,
    options,
    save_policy,
    settings_of,
    status,
    switch,
)
from tests.browser.steps import dashboard, enter, give_code, open_menu, set_up, sign_in, sign_out, told, warned
from tests.browser.window import Windows
from tests.directory import PASSWORD
from tests.flows.steps import column, enforce, next_code, signed_in
from tests.services import Portal

# ── The page ──


def test_both_menus_open_the_same_page(portal: Portal, window: Windows) -> None:
    """S01 S02 S03 S04: the same address, the same state, and exactly two sections."""
    assert portal.address == window.origin
    page, seen = window(), []
    sign_in(page, "dist-owner")
    for menu in ("Account", "Settings"):
        open_menu(page, menu, "Security Settings")
        expect(page.get_by_role("heading", level=1)).to_have_text("Security Settings")
        seen.append((page.url, page.get_by_role("main").aria_snapshot()))
        page.goto("/")
    assert seen[0] == seen[1]
    page.goto("/security-settings")
    expect(page.get_by_role("heading", level=2)).to_have_text([PERSONAL, POLICY])


@pytest.mark.parametrize("account", ["resell-owner", "dist-org-user"])
def test_who_may_not_see_the_policy_sees_the_personal_section_alone(window: Windows, account: str) -> None:
    """S04 F01: a reseller has no enforcement, and an end user neither."""
    page = window()
    settings_of(page, account)
    expect(page.get_by_role("heading", level=2)).to_have_text([PERSONAL])
    expect(page.get_by_role("checkbox")).to_have_count(0)


@pytest.mark.parametrize("account", ["dist-support", "dist-auditor", "sub-support"])
def test_support_and_auditor_read_the_policy_and_cannot_change_it(window: Windows, account: str) -> None:
    """F20."""
    page = window()
    settings_of(page, account)
    expect(page.get_by_role("heading", level=2)).to_have_text([PERSONAL, POLICY])
    for name in (USERS, ORGANIZATIONS):
        expect(page.get_by_label(name)).to_be_disabled()
    expect(page.get_by_role("button", name="Save the policy")).to_have_count(0)
    expect(page.get_by_role("main")).to_contain_text("An owner, super admin or admin changes it")


# ── The personal switch ──


def test_switching_on_finishes_at_the_next_login(portal: Portal, window: Windows) -> None:
    """S01 S05 S06 S07 S08: a banner, no code in this session, the column says Inactive, nobody else is touched."""
    page = window()
    settings_of(page, "dist-support")
    expect(status(page)).to_contain_text("Inactive")
    expect(switch(page)).not_to_be_checked()
    switch(page).click()
    told(page, "switched on")
    expect(switch(page)).to_be_checked()
    expect(status(page)).to_contain_text("Inactive")
    page.goto("/user-management")
    expect(page.get_by_role("heading", level=1)).to_have_text("User Management")
    owner, position = signed_in(portal, "dist-owner"), portal.watchword.store.last_position()
    row = column(owner, "dist", "dist-support", position)
    assert (row["mfa_status"], row["factor"]) == ("Inactive", "pending")
    assert column(owner, "dist", "dist-admin", position)["factor"] == "none"
    sign_out(page)
    sign_in(page, "dist-support")
    set_up(portal, page)
    dashboard(page)
    page.goto("/security-settings")
    expect(status(page)).to_contain_text(re.compile(r"\bActive"))


def test_a_pending_wish_is_taken_back_by_the_switch(window: Windows) -> None:
    """S06 F09."""
    page = window()
    settings_of(page, "dist-support")
    switch(page).click()
    told(page, "switched on")
    switch(page).click()
    told(page, "switched off")
    expect(switch(page)).not_to_be_checked()
    sign_out(page)
    sign_in(page, "dist-support")
    dashboard(page)


def test_where_nothing_is_enforced_it_may_be_switched_off_at_any_time(portal: Portal, window: Windows) -> None:
    """F09: a dialog asks, and closing it changes nothing; later it asks for password and code too (D15)."""
    page = window()
    key = active(portal, page, "dist-support")
    switch(page).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(status(page)).to_contain_text(re.compile(r"\bActive"))
    switch(page).click()
    expect(dialog.locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    portal.clock.advance(minutes=16)
    switch(page).click()
    dialog.get_by_label("Password").fill("not it")
    dialog.get_by_label("Verification code").fill(next_code(portal, key))
    dialog.get_by_role("button", name="Switch off").click()
    warned(page, re.compile("password", re.IGNORECASE))
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_label("Verification code").fill(next_code(portal, key))
    dialog.get_by_role("button", name="Switch off").click()
    told(page, "switched off")
    sign_out(page)
    sign_in(page, "dist-support")
    dashboard(page)


def test_where_enforced_the_switch_is_shown_and_inactive(portal: Portal, window: Windows) -> None:
    """F05 F06 F10 F11 S15: with the reason beside it; a reset is still possible."""
    enforce(signed_in(portal, "dist-owner"), "dist", users=True)
    page = window()
    active(portal, page, "dist-owner")
    expect(switch(page)).to_be_visible()
    expect(switch(page)).to_be_checked()
    expect(switch(page)).to_be_disabled()
    expect(switch(page)).to_have_accessible_description(re.compile("enforced"))
    page.goto("/security-settings?ask=switch-off")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name=RESET)).to_be_enabled()


def test_a_new_app_takes_the_place_of_the_old_one(portal: Portal, window: Windows) -> None:
    """F22: the old one works until the new one is proved."""
    page, other = window(), window()
    old = active(portal, page, "dist-support")
    page.get_by_role("link", name="Link another authenticator app").click()
    expect(page.get_by_role("main")).to_contain_text("works until the new one is verified")
    new = set_up(portal, page)
    assert new != old
    expect(page).not_to_have_url(re.compile("/mfa/setup"))
    sign_in(other, "dist-support")
    enter(other, next_code(portal, old))
    warned(other, re.compile("code", re.IGNORECASE))
    give_code(portal, other, new)
    dashboard(other)


# ── The policy ──


def test_each_option_is_kept_by_itself(portal: Portal, window: Windows) -> None:
    """S09 S10 S12 S13 S14 F07: none, the first, the second, both, and off again, at will; each with a banner."""
    page, owner = window(), signed_in(portal, "dist-admin2")
    settings_of(page, "dist-admin")
    assert options(page) == (False, False)
    for users, organizations in ((True, False), (False, True), (True, True), (False, False), (True, False)):
        save_policy(page, users=users, organizations=organizations)
        told(page, "The policy is saved")
        page.reload()
        assert options(page) == (users, organizations)
        position = portal.watchword.store.last_position()
        assert column(owner, "dist", "dist-support", position)["required"] is users
        assert column(owner, "dist", "dist-org-user", position)["required"] is organizations


def test_enforcing_binds_who_switched_it_on_and_leaves_the_session(portal: Portal, window: Windows) -> None:
    """S15 S16 F05: from the next login on."""
    page = window()
    settings_of(page, "sub-owner")
    save_policy(page, users=True, organizations=False)
    told(page, "The policy is saved")
    page.goto("/")
    dashboard(page)
    sign_out(page)
    sign_in(page, "sub-owner")
    expect(page).to_have_url(re.compile("/mfa/setup$"))
    expect(page.get_by_role("main")).to_contain_text("requires MFA")
    set_up(portal, page)
    dashboard(page)


def test_everybody_whom_the_policy_touches_is_signed_out_at_once(window: Windows) -> None:
    """S13 and D8: the population touched, and nobody else."""
    page, person, end_user, elsewhere = window(), window(), window(), window()
    settings_of(page, "dist-owner")
    sign_in(person, "dist-support")
    sign_in(end_user, "dist-org-user")
    sign_in(elsewhere, "sub-owner")
    save_policy(page, users=False, organizations=True, sign_out_all=True)
    told(page, "everybody it touches was signed out")
    end_user.goto("/")
    expect(end_user).to_have_url(re.compile("/sign-in$"))
    for other in (person, elsewhere):
        other.goto("/")
        dashboard(other)
    page.goto("/security-settings")
    save_policy(page, users=True, organizations=True, sign_out_all=True)
    expect(page).to_have_url(re.compile("/sign-in$"))
    person.goto("/security-settings")
    expect(person).to_have_url(re.compile("/sign-in$"))
    elsewhere.goto("/")
    dashboard(elsewhere)


def test_a_policy_that_somebody_else_has_changed_meanwhile_is_not_overwritten(portal: Portal, window: Windows) -> None:
    """S09."""
    page = window()
    settings_of(page, "dist-owner")
    enforce(signed_in(portal, "dist-admin"), "dist", organizations=True)
    save_policy(page, users=True, organizations=False)
    warned(page, re.compile("."))
    page.goto("/security-settings")
    assert options(page) == (False, True)


def test_long_after_the_login_the_policy_asks_for_the_password_in_the_same_form(
    portal: Portal, window: Windows
) -> None:
    """S14 F20 and D15: a wrong one changes nothing."""
    page = window()
    settings_of(page, "dist-owner")
    for _ in range(2):  # an administrator is signed out after 15 idle minutes
        portal.clock.advance(minutes=8)
        page.reload()
    page.get_by_label("Password").fill("not it")
    save_policy(page, users=True, organizations=False)
    warned(page, re.compile("password", re.IGNORECASE))
    fresh = window()
    settings_of(fresh, "dist-admin")
    assert options(fresh) == (False, False)
    page.get_by_label("Password").fill(PASSWORD)
    save_policy(page, users=True, organizations=False)
    told(page, "The policy is saved")
