"""The reset of another's MFA and its mail, administrator and user side by side, each in a browser of their own."""

import re

from playwright.sync_api import expect

from tests.browser.management import DEAD, actions, ask_about, cell, manage, reset, says
from tests.browser.post import PostOffice, link_in
from tests.browser.steps import (
    dashboard,
    enter,
    give_code,
    set_up,
    shown_key,
    sign_in,
    told,
    warned,
)
from tests.browser.window import Windows
from tests.directory import PASSWORD, address
from tests.flows.steps import column, enrolled, next_code, signed_in
from tests.portal import Browser
from tests.services import Portal

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
