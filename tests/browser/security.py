"""Security Settings in a window: the switch, the options, the policy."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.steps import dashboard, give_code, open_menu, sign_in
from tests.flows.steps import enrolled as enrolled_elsewhere
from tests.services import Portal

PERSONAL = "Personal Multi-factor Authentication Settings"
POLICY = "Multi-factor Authentication Policy Settings"
USERS = "Enforce MFA for all partner users"
ORGANIZATIONS = "Enforce MFA for all organizations"
RESET = "Reset Multi-Factor Authentication (MFA)"


def settings_of(page: Page, account: str) -> None:
    """Sign in and open Security Settings by the Account menu."""
    sign_in(page, account)
    open_menu(page, "Account", "Security Settings")
    expect(page.get_by_role("heading", level=1, name="Security Settings")).to_be_visible()


def active(portal: Portal, page: Page, account: str) -> str:
    """Have an account's MFA set up, sign in with a code, open Security Settings, and return the setup key."""
    _, key = enrolled_elsewhere(portal, account)
    sign_in(page, account)
    give_code(portal, page, key)
    dashboard(page, "End-User Portal" if account.endswith("-user") else "Dashboard")
    open_menu(page, "Account", "Security Settings")
    return key


def switch(page: Page) -> Locator:
    return page.get_by_role("switch", name=PERSONAL)


def options(page: Page) -> tuple[bool, bool]:
    """Return what the two options of the policy say."""
    return page.get_by_label(USERS).is_checked(), page.get_by_label(ORGANIZATIONS).is_checked()


def save_policy(page: Page, *, users: bool, organizations: bool, sign_out_all: bool = False) -> None:
    page.get_by_label(USERS).set_checked(users)
    page.get_by_label(ORGANIZATIONS).set_checked(organizations)
    page.get_by_label("Sign everyone out now").set_checked(sign_out_all)
    page.get_by_role("button", name="Save the policy").click()


def status(page: Page) -> Locator:
    return page.get_by_role("main").get_by_role("paragraph").filter(has_text="MFA Status:")
