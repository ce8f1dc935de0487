"""User Management: the list, and who may not reset."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from api.cli.importing import take_file
from tests.browser.management import actions, addresses, ask_about, cell, manage, people, reset, says
from tests.browser.steps import (
    dashboard,
    sign_in,
    sign_out,
)
from tests.browser.window import Windows
from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, enrolled, signed_in, wrong_code
from tests.services import Portal

# ── The list ──


def test_everybody_of_the_partner_is_listed_with_the_status(portal: Portal, window: Windows) -> None:
    """S11 S35 S36: partner users and the users of its organizations, Active or Inactive; nobody of elsewhere."""
    enrolled(portal, "dist-org-user")
    page = window()
    manage(page, "dist-owner")
    expect(page).to_have_url(re.compile("/user-management$"))
    expect(page.get_by_role("columnheader", name="MFA Status")).to_be_visible()
    for account in ("dist-owner", "dist-super_admin", "dist-admin", "dist-support", "dist-auditor"):
        says(page, account, "Inactive")
    says(page, "dist-org-user", "Active")
    assert not [each for each in addresses(page) if each.startswith(("sub-", "resell-", "dist2-"))]
    expect(page.get_by_text(re.compile(r"As of position \d+ of the log, up to date"))).to_be_visible()


def test_what_is_required_pending_and_locked_stands_beside_the_status(portal: Portal, window: Windows) -> None:
    """S08 S36: the column itself keeps its two values."""
    _, key = enrolled(portal, "dist-support")
    for _ in range(2):
        browser = portal.browser()
        browser.sign_in(address("dist-support"), PASSWORD)
        for _again in range(5):
            browser.post("/sign-in/code", {"code": wrong_code(portal, key)})
    assert signed_in(portal, "dist-org-user").post("/me/mfa/enable").status_code == 200
    page = window()
    manage(page, "dist-owner")
    enforce(signed_in(portal, "dist-admin"), "dist", users=True)
    page.reload()
    says(page, "dist-support", "Active")
    expect(cell(page, "dist-support", "MFA Status")).to_contain_text(re.compile("required.*locked until", re.DOTALL))
    says(page, "dist-org-user", "Inactive")
    expect(cell(page, "dist-org-user", "MFA Status")).to_contain_text("set-up pending")
    expect(cell(page, "dist-org-user", "MFA Status")).not_to_contain_text("required")


def test_the_list_is_searched_filtered_and_sorted(portal: Portal, window: Windows) -> None:
    """S36."""
    enrolled(portal, "dist-support")
    page = window()
    manage(page, "dist-owner")
    search = page.get_by_role("search", name="Users")
    search.get_by_label("Name or e-mail address").fill("SUPPORT")
    search.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("q=SUPPORT"))
    assert addresses(page) == [address("dist-support")]
    expect(search.get_by_label("Name or e-mail address")).to_have_value("SUPPORT")

    page.goto("/user-management")
    search.get_by_label("MFA Status").select_option("Active")
    search.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("mfa_status=Active"))
    assert addresses(page) == [address("dist-support")]
    expect(search.get_by_label("MFA Status")).to_have_value("Active")

    page.goto("/user-management")
    search.get_by_label("Role").select_option("Admin")
    search.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("role=admin"))
    assert addresses(page) == [address("dist-admin"), address("dist-admin2")]

    page.goto("/user-management")
    search.get_by_label("Organization").select_option("Dist-Org")
    search.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("organization=dist-org"))
    assert sorted(addresses(page)) == [address("dist-org-user"), address("three-org")]

    page.goto("/user-management?q=nobody+at+all")
    expect(page.get_by_role("main")).to_contain_text("Nobody matches")
    page.get_by_role("link", name="Show everyone").click()
    expect(page.get_by_role("table")).to_be_visible()


def test_the_list_is_sorted_by_its_headings(window: Windows) -> None:
    """S36."""
    page = window()
    manage(page, "dist-owner")
    names = page.get_by_role("rowheader")
    ascending = names.all_inner_texts()
    assert ascending == sorted(ascending, key=str.lower)
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("columnheader", name="Name").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "descending")
    assert names.all_inner_texts() == ascending[::-1]
    page.get_by_role("columnheader", name="E-mail address").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="E-mail address")).to_have_attribute("aria-sort", "ascending")
    assert addresses(page) == sorted(addresses(page))
    page.get_by_role("columnheader", name="E-mail address").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="E-mail address")).to_have_attribute("aria-sort", "descending")
    assert addresses(page) == sorted(addresses(page), reverse=True)


@pytest.mark.parametrize("query", ["", "?sort=-email", "?q=zoe&mfa_status=Inactive"])
def test_the_pages_of_the_list_leave_nobody_out(portal: Portal, window: Windows, tmp_path: Path, query: str) -> None:
    """S36: with the filter and the order kept from page to page."""
    people(portal, 120, tmp_path)
    page, seen = window(), []
    sign_in(page, "dist-owner")
    page.goto(f"/user-management{query}")
    expect(page.get_by_role("link", name="First page")).to_have_count(0)
    for _ in range(4):
        seen += addresses(page)
        following = page.get_by_role("link", name="Next page")
        if not following.count():
            break
        before = page.url
        following.click()
        expect(page).not_to_have_url(before)
    assert len(seen) == (60 if "zoe" in query else 129)
    if "sort" in query:
        assert seen == sorted(seen, reverse=True)
    page.get_by_role("link", name="First page").click()
    expect(page.get_by_role("link", name="First page")).to_have_count(0)
    assert addresses(page) == seen[: len(addresses(page))]


# ── Who may not ──


@pytest.mark.parametrize("account", ["dist-support", "dist-auditor", "resell-support"])
def test_support_and_auditor_see_the_list_and_reset_nobody(window: Windows, account: str) -> None:
    """F19 S34."""
    page = window()
    manage(page, account)
    expect(page.get_by_role("table")).to_be_visible()
    expect(page.get_by_label(re.compile("^Actions for "))).to_have_count(0)
    partner = account.split("-", maxsplit=1)[0]
    page.goto(f"/user-management?ask=reset&account={partner}-org-user")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_reseller_has_user_management_and_resets(portal: Portal, window: Windows) -> None:
    """S34 F01: enforcement is not for resellers, the reset is."""
    enrolled(portal, "resell-org-user")
    page = window()
    manage(page, "resell-admin")
    reset(page, "resell-org-user")
    says(page, "resell-org-user", "Inactive")


def test_end_users_have_no_user_management(window: Windows) -> None:
    """S35 F19."""
    page = window()
    sign_in(page, "dist-org-user")
    dashboard(page, "End-User Portal")
    page.get_by_text("Settings", exact=True).click()
    expect(page.get_by_role("link", name="User Management")).to_have_count(0)
    page.goto("/user-management")
    expect(page.get_by_role("table")).to_have_count(0)
    expect(page.get_by_role("heading", level=1, name="User Management")).to_have_count(0)


def test_the_own_row_and_those_above_say_why_they_cannot_be_reset(window: Windows) -> None:
    """S34 and D6, D7."""
    page = window()
    manage(page, "dist-admin")
    for account, reason in (("dist-admin", "Security Settings"), ("dist-owner", "above")):
        menu = actions(page, account)
        expect(menu.get_by_role("link", name="Reset MFA")).to_have_count(0)
        expect(menu.get_by_text("Reset MFA")).to_be_visible()
        expect(menu).to_contain_text(reason)
        page.keyboard.press("Escape")


def test_only_a_change_of_role_gives_the_right_to_reset(portal: Portal, window: Windows, tmp_path: Path) -> None:
    """F21: at once, and it is taken away at once."""

    def become(role: str) -> None:
        line = {"id": "dist-support", "email": address("dist-support"), "name": "Dist Support", "partner": "dist"}
        path = tmp_path / "role.jsonl"
        path.write_text(json.dumps({"account": line | {"role": role}}))
        assert not take_file(path, portal.watchword).errors

    page = window()
    manage(page, "dist-support")
    expect(page.get_by_label(re.compile("^Actions for "))).to_have_count(0)
    become("admin")
    page.reload()
    expect(page).to_have_url(re.compile("/sign-in$"))
    manage(page, "dist-support")
    reset(page, "dist-org-user")
    dialog = ask_about(page, "dist-org-user")
    become("support")
    dialog.get_by_role("button", name="Yes, Continue").click()
    expect(page.get_by_role("table")).to_have_count(0)
    expect(page.get_by_role("heading", level=1, name="Session ended")).to_be_visible()
    manage(page, "dist-support")
    expect(page.get_by_label(re.compile("^Actions for "))).to_have_count(0)
    sign_out(page)
