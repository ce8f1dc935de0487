"""From the sign-in page to the dashboard, as a person sees it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.eyes import assert_accessible
from tests.browser.steps import (
    PLACES,
    dashboard,
    enter,
    give_code,
    give_password,
    set_up,
    shown_key,
    sign_in,
    sign_out,
    start_set_up,
    told,
    warned,
)
from tests.browser.window import Windows
from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, enrolled, next_code, signed_in, wrong_code
from tests.services import Portal

MFA = "Multi-factor Authentication (MFA)"


def wanting(portal: Portal, account: str) -> None:
    """Have an account's MFA switched on, not set up."""
    assert signed_in(portal, account).post("/me/mfa/enable").status_code == 200


def mfa_status(page: Page) -> str:
    """Return what the dashboard says of one's own MFA."""
    return page.get_by_text("MFA Status:").inner_text().removeprefix("MFA Status:").strip()


def test_the_login_after_switching_on_leads_through_the_set_up(portal: Portal, window: Windows) -> None:
    """S05 S16 S17 S18 S19 S20 S21: explained, the same secret as QR code and key, a wrong code changes nothing."""
    wanting(portal, "dist-support")
    page = window()
    sign_in(page, "dist-support")
    expect(page).to_have_url(re.compile("/mfa/setup$"))
    expect(page.get_by_role("heading", level=1)).to_have_text(MFA)
    expect(page.get_by_role("main")).to_contain_text("authenticator app")
    key = start_set_up(page)
    enter(page, wrong_code(portal, key))
    warned(page, re.compile("code", re.IGNORECASE))
    assert shown_key(page) == key
    page.goto("/")
    expect(page).to_have_url(re.compile("/mfa/setup$"))
    assert shown_key(page) == key
    enter(page, next_code(portal, key))
    dashboard(page)
    told(page, "active")
    assert mfa_status(page) == "Active"
    owner = signed_in(portal, "dist-owner")
    answer = owner.get("/partners/dist/users", q=address("dist-support"), min_position=0)
    assert answer.json()["items"][0]["mfa_status"] == "Active"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_set_up_works_on_a_phone(portal: Portal, window: Windows, scheme: str) -> None:
    """S19 S20 F24: the QR code reads in both colours, and a link opens the app on the same device."""
    wanting(portal, "dist-org-user")
    page = window("phone", color_scheme="dark" if scheme == "dark" else "light")
    sign_in(page, "dist-org-user")
    key = start_set_up(page)
    link = page.get_by_role("link", name="authenticator app")
    expect(link).to_be_visible()
    assert f"secret={key}" in (link.get_attribute("href") or "")
    enter(page, next_code(portal, key))
    dashboard(page, "End-User Portal")


def test_the_setup_key_is_copied_without_its_spaces(portal: Portal, window: Windows) -> None:
    """S19."""
    wanting(portal, "dist-support")
    page = window()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, "dist-support")
    key = start_set_up(page)
    expect(page.get_by_role("link", name="authenticator app")).to_be_hidden()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == key


def test_where_enforced_every_page_stays_closed_until_the_set_up_is_done(portal: Portal, window: Windows) -> None:
    """S22 F05 F06."""
    enforce(signed_in(portal, "dist-owner"), "dist", users=True)
    page = window()
    sign_in(page, "dist-admin")
    for place in ("/", "/security-settings", "/user-management", "/me/history", "/sign-in/code"):
        page.goto(place)
        expect(page).to_have_url(re.compile("/mfa/setup$"))
        expect(page.get_by_role("heading", level=1)).to_have_text(MFA)
        expect(page.get_by_role("button", name="Not now")).to_have_count(0)
    page.goto("/")
    set_up(portal, page)
    dashboard(page)
    page.goto("/user-management")
    expect(page.get_by_role("heading", level=1, name="User Management")).to_be_visible()


def test_the_code_is_asked_before_the_dashboard(portal: Portal, window: Windows) -> None:
    """S23 and X12: without it no page opens, then the one that was wanted last; and a code works once."""
    _, key = enrolled(portal, "dist-support")
    page = window()
    sign_in(page, "dist-support")
    for place in ("/", "/security-settings", "/user-management", "/me/history", "/mfa/setup"):
        page.goto(place)
        expect(page).to_have_url(re.compile("/sign-in/code$"))
    code = next_code(portal, key)
    enter(page, f"{code[:3]} {code[3:]}")
    expect(page).to_have_url(re.compile("/me/history$"))
    sign_out(page)
    sign_in(page, "dist-support")
    enter(page, code)
    warned(page, re.compile("code", re.IGNORECASE))
    give_code(portal, page, key)
    dashboard(page)


def test_one_address_with_several_accounts_chooses_before_the_mfa_page(portal: Portal, window: Windows) -> None:
    """S17 F12: each account has a secret of its own, and a code of one is refused by the other."""
    _, dist_key = enrolled(portal, "three-dist")
    _, resell_key = enrolled(portal, "three-resell")
    page = window()
    give_password(page, "three-dist")
    expect(page.get_by_role("heading", level=1, name="Select your account")).to_be_visible()
    for place in PLACES.values():
        expect(page.get_by_role("button", name=place)).to_be_visible()
    page.get_by_role("button", name=PLACES["three-dist"]).click()
    expect(page.get_by_role("main")).to_contain_text("Dist Inc")
    enter(page, next_code(portal, resell_key))
    warned(page, re.compile("code", re.IGNORECASE))
    give_code(portal, page, dist_key)
    dashboard(page)
    expect(page.get_by_role("main")).to_contain_text("Dist Inc")
    other = window()
    sign_in(other, "three-org")
    dashboard(other, "End-User Portal")


def test_wrong_codes_never_lead_in_and_the_page_says_who_helps(portal: Portal, window: Windows) -> None:
    """F15 F16: the phone's clock, the administrator, support; five end the sign-in, ten lock."""
    _, key = enrolled(portal, "dist-support")
    page = window()
    for _ in range(2):
        sign_in(page, "dist-support")
        for _try in range(4):
            enter(page, wrong_code(portal, key))
            warned(page, re.compile("code", re.IGNORECASE))
        for word in ("clock", "administrator", "support"):
            expect(page.get_by_role("main")).to_contain_text(word)
        enter(page, wrong_code(portal, key))
        expect(page).to_have_url(re.compile("/sign-in$"))
        told(page, "Too many wrong codes")
    sign_in(page, "dist-support")
    enter(page, next_code(portal, key))
    warned(page, re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC"))
    expect(page).to_have_url(re.compile("/sign-in/code$"))
    portal.clock.advance(minutes=31)
    sign_in(page, "dist-support")
    give_code(portal, page, key)
    dashboard(page)


def test_not_now_is_offered_where_nobody_demands_the_set_up(portal: Portal, window: Windows) -> None:
    """S06 F04 F09 and D2: the wish is taken back, and the dashboard opens."""
    wanting(portal, "dist-support")
    page = window()
    sign_in(page, "dist-support")
    page.get_by_role("button", name="Not now").click()
    dashboard(page)
    assert mfa_status(page) == "Inactive"
    sign_out(page)
    sign_in(page, "dist-support")
    dashboard(page)


def test_not_now_is_offered_beside_the_key_too_and_the_key_ends_with_it(portal: Portal, window: Windows) -> None:
    """F04 and D2."""
    wanting(portal, "dist-support")
    page = window()
    sign_in(page, "dist-support")
    start_set_up(page)
    page.get_by_role("button", name="Not now").click()
    dashboard(page)
    assert signed_in(portal, "dist-support").get("/me/mfa").json()["factor"] == "none"


def test_not_now_is_not_offered_after_a_reset_by_an_administrator(portal: Portal, window: Windows) -> None:
    """S41 and D2."""
    enrolled(portal, "dist-support")
    assert signed_in(portal, "dist-admin").post("/accounts/dist-support/mfa/reset", {}).status_code == 200
    page = window()
    sign_in(page, "dist-support")
    expect(page.get_by_role("main")).to_contain_text("administrator has reset")
    expect(page.get_by_role("button", name="Not now")).to_have_count(0)


def test_login_and_set_up_work_without_javascript(portal: Portal, window: Windows) -> None:
    """S16 S17 S19 S20 S21 S23: all of it, the choice of the account too."""
    wanting(portal, "three-resell")
    page = window(java_script=False)
    sign_in(page, "three-resell")
    key = start_set_up(page)
    enter(page, wrong_code(portal, key))
    warned(page, re.compile("code", re.IGNORECASE))
    assert shown_key(page) == key
    enter(page, next_code(portal, key))
    dashboard(page)
    sign_out(page)
    sign_in(page, "three-resell")
    enter(page, wrong_code(portal, key))
    warned(page, re.compile("code", re.IGNORECASE))
    give_code(portal, page, key)
    dashboard(page)


def test_login_and_set_up_work_by_keyboard_alone(portal: Portal, window: Windows) -> None:
    """S18 S20."""
    wanting(portal, "dist-support")
    page = window()
    page.goto("/sign-in")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type(address("dist-support"))
    page.keyboard.press("Tab")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.insert_text("correct horse battery staple")
    page.keyboard.press("Enter")
    tab_to(page, "Setup MFA")
    page.keyboard.press("Enter")
    key = shown_key(page)
    expect(page.get_by_label("Verification code")).to_be_focused()
    page.keyboard.type(next_code(portal, key))
    page.keyboard.press("Enter")
    dashboard(page)


def tab_to(page: Page, button: str) -> None:
    """Press Tab until a button has the focus."""
    wanted = page.get_by_role("button", name=button)
    expect(wanted).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if wanted.evaluate("button => button === document.activeElement"):
            return
    pytest.fail(f"Tab does not come to {button}")


def test_a_wrong_password_is_told_and_the_address_is_kept(window: Windows) -> None:
    """F15: an unknown address is told the same."""
    page = window()
    told_of = []
    for account in ("dist-support", "nobody-here"):
        give_password(page, account, "not it")
        problem = page.get_by_role("alert")
        expect(problem).to_be_visible()
        expect(problem).to_be_focused()
        expect(page).to_have_title(re.compile("^Error: "))
        expect(page.get_by_label("E-mail address")).to_have_value(address(account))
        expect(page.get_by_label("Password")).to_have_value("")
        told_of.append(problem.inner_text())
    assert told_of[0] == told_of[1]
    assert_accessible(page)


def test_a_code_that_is_none_is_told_beside_its_field(portal: Portal, window: Windows) -> None:
    """S20."""
    _, key = enrolled(portal, "dist-support")
    page = window()
    sign_in(page, "dist-support")
    enter(page, "1234")
    expect(page.get_by_label("Verification code")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("alert").get_by_role("link").click()
    expect(page.get_by_label("Verification code")).to_be_focused()
    expect(page.get_by_role("alert")).not_to_contain_text("String")
    enter(page, next_code(portal, key))
    dashboard(page)


def test_a_session_that_was_left_alone_leads_to_the_sign_in_page(portal: Portal, window: Windows) -> None:
    """S23, X08 and X12: a page that was open says so when its form is sent, and the sign-in leads back to it."""
    page, other = window(), window()
    sign_in(page, "dist-support")
    sign_in(other, "dist-owner")
    other.goto("/security-settings")
    portal.clock.advance(minutes=31)
    page.goto("/me/history")
    expect(page).to_have_url(re.compile("/sign-in$"))
    told(page, "sign in")
    other.get_by_role("switch").click()
    expect(other.get_by_role("heading", level=1, name="Session ended")).to_be_visible()
    other.get_by_text("Sign in", exact=True).click()
    other.get_by_label("E-mail address").fill(address("dist-owner"))
    other.get_by_label("Password").fill(PASSWORD)
    other.get_by_role("button", name="Sign in", exact=True).click()
    expect(other).to_have_url(re.compile("/security-settings$"))
    other.goto("/")
    assert mfa_status(other) == "Inactive"
