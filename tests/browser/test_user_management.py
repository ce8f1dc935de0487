"""User Management, with the administrator and the user side by side, each in a browser of their own."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from api.cli.importing import take_file
from tests.browser.post import PostOffice, link_in
from tests.browser.steps import (
    dashboard,
    enter,
    give_code,
    open_menu,
    set_up,
    shown_key,
    sign_in,
    sign_out,
    told,
    warned,
)
from tests.browser.window import Windows
from tests.directory import PASSWORD, address
from tests.flows.steps import column, enforce, enrolled, next_code, signed_in, wrong_code
from tests.portal import Browser
from tests.services import Portal

DEAD = "smtp://127.0.0.1:9"
"""An SMTP server that does not answer."""


def manage(page: Page, account: str) -> None:
    """Sign in and open User Management by the Settings menu."""
    sign_in(page, account)
    open_menu(page, "Settings", "User Management")
    expect(page.get_by_role("heading", level=1, name="User Management")).to_be_visible()


def row(page: Page, account: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=address(account), exact=True))


def cell(page: Page, account: str, heading: str) -> Locator:
    """Return the cell under a heading; on a small window the heading stands in the row."""
    headings = page.get_by_role("columnheader").all_inner_texts()
    return row(page, account).locator("th, td").nth([text.strip() for text in headings].index(heading))


def says(page: Page, account: str, mfa_status: str) -> None:
    """See the MFA Status column of an account."""
    expect(cell(page, account, "MFA Status")).to_have_text(re.compile(rf"^\s*{mfa_status}\b"))


def actions(page: Page, account: str) -> Locator:
    """Open the actions menu of a row."""
    row(page, account).get_by_label(re.compile("^Actions for ")).click()
    return row(page, account).get_by_role("cell").last


def ask_about(page: Page, account: str) -> Locator:
    """Choose Reset MFA in the row's actions menu, and return the dialog that asks."""
    actions(page, account).get_by_role("link", name="Reset MFA").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def reset(page: Page, account: str) -> None:
    ask_about(page, account).get_by_role("button", name="Yes, Continue").click()
    told(page, "The MFA was reset")


def people(portal: Portal, count: int, tmp_path: Path) -> None:
    """Bring more people into the organization of the distributor."""
    lines = [
        {
            "account": {
                "id": f"more-{number:03}",
                "email": f"more-{number:03}@mail.example",
                "name": f"{'Zoe' if number % 2 else 'Adam'} Number {number:03}",
                "organization": "dist-org",
                "role": "end_user",
            }
        }
        for number in range(count)
    ]
    path = tmp_path / "more.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    assert not take_file(path, portal.watchword).errors
    column(signed_in(portal, "dist-owner"), "dist", "dist-support", portal.watchword.store.last_position())


def addresses(page: Page) -> list[str]:
    return re.findall(r"\S+@\S+\.example", page.get_by_role("table").inner_text())


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


# ── The reset of another ──


def test_an_administrator_resets_a_user(portal: Portal, window: Windows, post: PostOffice) -> None:
    """S25 S34 S35 S37 S38 S39 S40 S41 F17: side by side, to the new set-up by the mailed link."""
    _, old = enrolled(portal, "dist-support")
    post.deliver()
    person, admin = window(), window()
    sign_in(person, "dist-support")
    give_code(portal, person, old)
    dashboard(person)
    manage(admin, "dist-admin")
    says(admin, "dist-support", "Active")
    dialog = ask_about(admin, "dist-support")
    expect(dialog).to_contain_text("Dist Support")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    person.reload()
    dashboard(person)
    says(admin, "dist-support", "Active")
    assert post.deliver() == []

    reset(admin, "dist-support")
    says(admin, "dist-support", "Inactive")
    expect(cell(admin, "dist-support", "MFA Status")).to_contain_text("set-up pending")
    person.reload()
    expect(person).to_have_url(re.compile("/sign-in$"))
    (mail,) = post.deliver()
    assert (mail.kind, mail.to) == ("reset_by_administrator", (address("dist-support"),))

    person.goto(link_in(mail))
    expect(person.get_by_role("heading", level=1, name="Set up your MFA again")).to_be_visible()
    person.get_by_role("button", name="Continue to the set-up").or_(
        person.get_by_role("link", name="Continue to the set-up")
    ).click()
    person.get_by_label("E-mail address").fill(address("dist-support"))
    person.get_by_label("Password").fill(PASSWORD)
    person.get_by_role("button", name="Sign in", exact=True).click()
    expect(person).to_have_url(re.compile("/mfa/setup$"))
    expect(person.get_by_role("main")).to_contain_text("administrator has reset")
    expect(person.get_by_text("The link from your mail is open")).to_be_visible()
    new = set_up(portal, person)
    assert new != old
    dashboard(person)
    settle(portal)
    admin.reload()
    says(admin, "dist-support", "Active")
    expect(cell(admin, "dist-support", "Reset mail")).to_contain_text(re.compile(r"sent 20\d\d"))


def test_old_codes_are_refused_and_the_set_up_wants_the_mailed_link(
    portal: Portal, window: Windows, post: PostOffice
) -> None:
    """S39 S41: without JavaScript too, where the link is pasted."""
    _, old = enrolled(portal, "dist-support")
    post.deliver()
    admin, person = window(), window(java_script=False)
    manage(admin, "dist-owner")
    reset(admin, "dist-support")
    (mail,) = post.deliver()
    sign_in(person, "dist-support")
    expect(person).to_have_url(re.compile("/mfa/setup$"))
    person.get_by_label("Link from the mail").fill(f"{portal.address}/reset/nothing#not-the-link-of-any-mail")
    person.get_by_role("button", name="Setup MFA").click()
    warned(person, re.compile("link", re.IGNORECASE))
    person.get_by_label("Link from the mail").fill(link_in(mail))
    person.get_by_role("button", name="Setup MFA").click()
    key = shown_key(person)
    assert key != old
    enter(person, next_code(portal, old))
    warned(person, re.compile("code", re.IGNORECASE))
    enter(person, next_code(portal, key))
    dashboard(person)


def test_a_reset_on_a_phone_long_after_the_login_asks_for_the_password(portal: Portal, window: Windows) -> None:
    """S37 S38 and D15."""
    enrolled(portal, "dist-support")
    page = window("phone")
    sign_in(page, "dist-admin")
    for _ in range(2):
        portal.clock.advance(minutes=8)
        page.goto("/user-management")
    row_ = page.get_by_role("row").filter(has_text=address("dist-support"))
    row_.get_by_label(re.compile("^Actions for ")).click()
    row_.get_by_role("link", name="Reset MFA").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Password").fill("not it")
    dialog.get_by_role("button", name="Yes, Continue").click()
    warned(page, re.compile("password", re.IGNORECASE))
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Yes, Continue").click()
    told(page, "The MFA was reset")
    expect(row_).to_contain_text("Inactive")


def test_the_place_in_the_list_is_kept_over_a_reset(portal: Portal, window: Windows) -> None:
    """S38 S39."""
    enrolled(portal, "dist-support")
    page = window()
    sign_in(page, "dist-owner")
    page.goto("/user-management?q=dist-support&sort=-email")
    reset(page, "dist-support")
    expect(page).to_have_url(re.compile("q=dist-support"))
    expect(page).to_have_url(re.compile("sort=-email"))
    says(page, "dist-support", "Inactive")


# ── The mail of a reset ──


def test_a_mail_that_does_not_come_is_sent_again_by_the_administrator(
    portal: Portal, window: Windows, post: PostOffice
) -> None:
    """F18: who sees what became of it; the older link ends."""
    enrolled(portal, "dist-support")
    post.deliver()
    admin, person = window(), window()
    manage(admin, "dist-admin")
    reset(admin, "dist-support")
    mail_cell = cell(admin, "dist-support", "Reset mail")
    assert post.deliver(DEAD) == []
    settle(portal)
    admin.reload()
    expect(mail_cell).to_contain_text("on its way")
    expect(mail_cell).not_to_contain_text("tried 1 times")
    portal.clock.advance(seconds=11)
    (first,) = post.deliver()
    settle(portal)
    admin.reload()
    expect(mail_cell).to_contain_text(re.compile(r"sent 20\d\d"))
    actions(admin, "dist-support").get_by_role("button", name="Send the reset mail again").click()
    told(admin, "on its way again")
    (second,) = post.deliver()
    person.goto(link_in(first))
    expect(person.get_by_role("heading", level=1, name="This link no longer works")).to_be_visible()
    person.goto(link_in(second))
    expect(person.get_by_role("heading", level=1, name="Set up your MFA again")).to_be_visible()


def test_a_mail_that_is_given_up_is_shown(portal: Portal, window: Windows, post: PostOffice) -> None:
    """F18."""
    enrolled(portal, "dist-support")
    post.deliver()
    admin = window()
    manage(admin, "dist-admin")
    reset(admin, "dist-support")
    for _ in range(6):
        post.deliver(DEAD)
        portal.clock.advance(hours=3)  # the longest delay is two hours, give or take
    settle(portal)
    sign_in(admin, "dist-admin")
    admin.goto("/user-management")
    expect(cell(admin, "dist-support", "Reset mail")).to_contain_text("not delivered")
    actions(admin, "dist-support").get_by_role("button", name="Send the reset mail again").click()
    told(admin, "on its way again")
    assert [mail.kind for mail in post.deliver()] == ["reset_by_administrator"]


def settle(portal: Portal) -> None:
    """Wait until the views have heard of everything."""
    browser: Browser = signed_in(portal, "dist-owner")
    column(browser, "dist", "dist-support", portal.watchword.store.last_position())


def test_the_set_up_page_says_where_the_mail_is_and_sends_it_again(
    portal: Portal, window: Windows, post: PostOffice
) -> None:
    """F18 S40: spam folder, a few minutes, support."""
    enrolled(portal, "dist-org-user")
    assert signed_in(portal, "dist-admin").post("/accounts/dist-org-user/mfa/reset", {}).status_code == 200
    post.deliver()
    page = window("phone")
    sign_in(page, "dist-org-user")
    page.get_by_text("No mail?").click()
    for word in ("spam", "few minutes", "support"):
        expect(page.get_by_role("main")).to_contain_text(word)
    page.get_by_role("button", name="Send the mail again").click()
    told(page, "on its way again")
    (mail,) = post.deliver()
    page.get_by_label("Link from the mail").fill(link_in(mail))
    page.get_by_role("button", name="Setup MFA").click()
    enter(page, next_code(portal, shown_key(page)))
    dashboard(page, "End-User Portal")


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
