"""The reset of the own MFA, from the prompt to the sign-in page."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.post import PostOffice, link_in
from tests.browser.security import (
    RESET,
    active,
    settings_of,
    status,
)
from tests.browser.steps import dashboard, give_code, set_up, sign_in, told, warned
from tests.browser.window import Windows
from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, signed_in
from tests.services import Portal

# ── The own reset ──


def mails_of(post: PostOffice, kind: str) -> list[str]:
    """Deliver what is owed, and return the links in the mails of a kind."""
    return [link_in(mail) for mail in post.deliver() if mail.kind == kind]


def ask_reset(page: Page) -> None:
    page.get_by_role("button", name=RESET).click()
    page.get_by_role("dialog").get_by_label("Password").fill(PASSWORD)
    page.get_by_role("dialog").get_by_role("button", name="Continue").click()
    told(page, "We have sent you a mail")


@pytest.mark.parametrize("enforced", [False, True])
def test_a_person_resets_the_own_mfa(portal: Portal, window: Windows, post: PostOffice, *, enforced: bool) -> None:
    """S24 S26 S27 S28 S29 S30 S31 S32 S33 F11 F18."""
    page, other = window(), window()
    old = active(portal, page, "dist-support")
    if enforced:
        enforce(signed_in(portal, "dist-owner"), "dist", users=True)
    post.deliver()
    page.get_by_role("button", name=RESET).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Password")).to_be_focused()
    dialog.get_by_label("Password").fill("not it")
    dialog.get_by_role("button", name="Continue").click()
    warned(page, re.compile("password", re.IGNORECASE))
    assert post.deliver() == []
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Continue").click()
    told(page, re.compile("spam.*wait a few minutes.*support"))
    (mail,) = post.deliver()
    assert (mail.kind, mail.to) == ("reset_requested", (address("dist-support"),))

    sign_in(other, "dist-support")
    give_code(portal, other, old)
    dashboard(other)
    page.goto(link_in(mail))
    expect(page.get_by_role("heading", level=1, name="Confirm the reset of your MFA")).to_be_visible()
    expect(page.get_by_label("Link from the mail")).to_be_hidden()
    assert "#" not in page.url, "the secret leaves the address bar"
    other.reload()
    dashboard(other)
    page.get_by_role("button", name="Confirm the reset").click()
    expect(page).to_have_url(re.compile("/sign-in$"))
    told(page, "was reset")
    other.reload()
    expect(other).to_have_url(re.compile("/sign-in$"))

    sign_in(page, "dist-support")
    if enforced:
        expect(page).to_have_url(re.compile("/mfa/setup$"))
        assert set_up(portal, page) != old
    dashboard(page)
    expect(status(page)).to_contain_text(re.compile(r"\bActive" if enforced else "Inactive"))


def test_the_prompt_closes_and_changes_nothing(portal: Portal, window: Windows, post: PostOffice) -> None:
    """S26 S27."""
    page = window()
    active(portal, page, "dist-org-user")
    post.deliver()
    page.get_by_role("button", name=RESET).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name=RESET).click()
    expect(page.get_by_role("dialog").get_by_label("Password")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert post.deliver() == []


def test_the_link_in_another_browser_asks_for_the_password(portal: Portal, window: Windows, post: PostOffice) -> None:
    """S29 S30 S31: opening it changes nothing, it works once, and the newest only."""
    page, elsewhere = window(), window("phone")
    key = active(portal, page, "dist-support")
    post.deliver()
    ask_reset(page)
    ask_reset(page)
    older, newest = mails_of(post, "reset_requested")
    elsewhere.goto(older)
    expect(elsewhere.get_by_role("heading", level=1, name="This link no longer works")).to_be_visible()
    elsewhere.goto(newest)
    elsewhere.get_by_label("Password").fill("not it")
    elsewhere.get_by_role("button", name="Confirm the reset").click()
    warned(elsewhere, re.compile("password", re.IGNORECASE))
    elsewhere.goto(newest)
    page.reload()
    expect(status(page)).to_contain_text(re.compile(r"\bActive"))
    elsewhere.get_by_label("Password").fill(PASSWORD)
    elsewhere.get_by_role("button", name="Confirm the reset").click()
    told(elsewhere, "was reset")
    elsewhere.goto(newest)
    expect(elsewhere.get_by_role("heading", level=1, name="This link no longer works")).to_be_visible()
    page.reload()
    expect(page).to_have_url(re.compile("/sign-in$"))
    sign_in(page, "dist-support")
    expect(page).to_have_url(re.compile("/security-settings$"))
    assert len(key) == 32


def test_after_a_wrong_password_the_link_need_not_be_opened_again(
    portal: Portal, window: Windows, post: PostOffice
) -> None:
    """S27 S30."""
    page, elsewhere = window(), window()
    active(portal, page, "dist-support")
    post.deliver()
    ask_reset(page)
    (link,) = mails_of(post, "reset_requested")
    elsewhere.goto(link)
    elsewhere.get_by_label("Password").fill("not it")
    elsewhere.get_by_role("button", name="Confirm the reset").click()
    warned(elsewhere, re.compile("password", re.IGNORECASE))
    elsewhere.get_by_label("Password").fill(PASSWORD)
    elsewhere.get_by_role("button", name="Confirm the reset").click()
    told(elsewhere, "was reset")


def test_the_reset_works_without_javascript(portal: Portal, window: Windows, post: PostOffice) -> None:
    """S26 S27 S28 S30 S31 S32: the link of the mail is pasted into the page."""
    page = window(java_script=False)
    active(portal, page, "dist-support")
    post.deliver()
    ask_reset(page)
    (link,) = mails_of(post, "reset_requested")
    page.goto(link)
    page.get_by_label("Link from the mail").fill(link)
    page.get_by_role("button", name="Confirm the reset").click()
    told(page, "was reset")
    sign_in(page, "dist-support")
    dashboard(page)


def test_an_hour_later_the_link_has_ended(portal: Portal, window: Windows, post: PostOffice) -> None:
    """S29 and D11."""
    page = window()
    active(portal, page, "dist-support")
    post.deliver()
    ask_reset(page)
    (link,) = mails_of(post, "reset_requested")
    portal.clock.advance(minutes=61)
    page.goto(link)
    expect(page.get_by_role("heading", level=1, name="This link no longer works")).to_be_visible()


def test_the_page_says_what_helps_when_the_app_is_lost_or_no_mail_comes(window: Windows) -> None:
    """F16 F17 F18 S25: administrator, spam folder, a few minutes, support."""
    page = window()
    settings_of(page, "dist-support")
    page.get_by_text("Lost your phone, or no mail?").click()
    help_text = page.get_by_role("group").filter(has_text="Lost your phone")
    for word in ("administrator", "spam", "few minutes", "support"):
        expect(help_text).to_contain_text(word)


@pytest.mark.parametrize("mail_pages", [True])
def test_a_newcomer_follows_the_reset_link_by_clicking(portal: Portal, window: Windows, post: PostOffice) -> None:
    """S28 S30: in the inbox of the mail catcher, which a deployment does not have."""
    page = window()
    active(portal, page, "dist-support")
    post.deliver()
    ask_reset(page)
    post.deliver()
    page.get_by_role("link", name="Mails of this machine").click()
    page.get_by_role("row").filter(has_text=address("dist-support")).get_by_role("link").first.click()
    page.get_by_role("main").get_by_role("link", name="reset").click()
    page.get_by_role("button", name="Confirm the reset").click()
    told(page, "was reset")
