"""What the stories in the browser have in common: signing in, setting up, giving a code. Found by the words on the page."""

import re
from urllib.parse import parse_qs, unquote, urlsplit

from playwright.sync_api import Page, expect

from tests.browser.eyes import scan_qr
from tests.directory import PASSWORD, THREE, address
from tests.flows.steps import next_code
from tests.services import Portal

PLACES = {"three-dist": "Dist Inc", "three-resell": "Resell Inc", "three-org": "Dist-Org"}
"""By which the accounts of one address are told apart."""


def give_password(page: Page, account: str, password: str = PASSWORD) -> None:
    """Sign in as far as the password leads."""
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(address(account))
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_in(page: Page, account: str) -> None:
    """Sign in as far as the password leads, and choose the account where there are several."""
    give_password(page, account)
    if address(account) == THREE:
        expect(page).to_have_url(re.compile("/sign-in/account$"))
        page.get_by_role("button", name=PLACES[account]).click()
    expect(page).not_to_have_url(re.compile("/sign-in(/account)?$"))


def dashboard(page: Page, name: str = "Dashboard") -> None:
    """See that the dashboard, or the End-User Portal, has come."""
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()


def start_set_up(page: Page) -> str:
    """Press Setup MFA on the MFA page, photograph the QR code with a phone, and return the setup key."""
    expect(page.get_by_role("heading", name="Multi-factor Authentication (MFA)")).to_be_visible()
    page.get_by_role("button", name="Setup MFA").click()
    return shown_key(page)


def shown_key(page: Page) -> str:
    """Return the setup key on the page; the QR code beside it has to say the same."""
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    printed = page.locator("#setup-key").inner_text().strip()
    assert re.fullmatch(r"(?:[A-Z2-7]{4} )+[A-Z2-7]{1,4}", printed), printed
    key = printed.replace(" ", "")
    said = urlsplit(scan_qr(page.screenshot(full_page=True, caret="initial")))
    assert (said.scheme, said.netloc) == ("otpauth", "totp"), unquote(said.geturl())
    assert parse_qs(said.query)["secret"] == [key]
    return key


def enter(page: Page, code: str) -> None:
    """Type a code, and press Verify."""
    page.get_by_label("Verification code").fill(code)
    page.get_by_role("button", name="Verify", exact=True).click()


def set_up(portal: Portal, page: Page) -> str:
    """Set MFA up from the MFA page on, and return the setup key that the phone keeps."""
    key = start_set_up(page)
    enter(page, next_code(portal, key))
    expect(page).not_to_have_url(re.compile("/mfa/setup"))
    return key


def give_code(portal: Portal, page: Page, key: str) -> None:
    """Give a code of the phone that was not used yet."""
    expect(page).to_have_url(re.compile("/sign-in/code$"))
    enter(page, next_code(portal, key))


def open_menu(page: Page, menu: str, entry: str) -> None:
    """Open a menu at the top of the page, and choose an entry."""
    page.get_by_role("navigation", name="Main").get_by_text(menu, exact=True).click()
    page.get_by_role("navigation", name="Main").get_by_text(entry, exact=True).filter(visible=True).click()


def sign_out(page: Page) -> None:
    """Sign out by the Account menu."""
    open_menu(page, "Account", "Sign out")
    expect(page).to_have_url(re.compile("/sign-in$"))


def told(page: Page, words: str | re.Pattern[str]) -> None:
    """See that the banner says this."""
    expect(page.get_by_role("status").filter(has_text=words)).to_be_visible()


def warned(page: Page, words: str | re.Pattern[str]) -> None:
    """See that the page says what is wrong."""
    expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
