"""Pictures of every page and state, for the README and for the eye: `make screenshots` writes them to docs/screenshots.

Each is taken on a desktop, on a desktop at night, and on a phone.
"""

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from api.cli import demo
from api.cli.importing import take_file
from tests.browser.post import PostOffice, link_in
from tests.browser.window import VIEWPORTS, Windows
from tests.phone import code_at
from tests.portal import Browser
from tests.services import Portal

TO = Path(__file__).parents[2] / "docs" / "screenshots"
PASSWORD = "amber-birch-cedar-delta-ember"
DAYS = 80
ENROL_ON = {
    3: "north-owner",
    9: "north-super_admin",
    14: "harbor-dental-user",
    22: "north-admin",
    41: "robin-north",
    58: "summit-law-user",
    70: "north-auditor",
}


@pytest.fixture(scope="session")
def filled_template(empty_template: str) -> str:
    """A database with nothing in it: the story brings its own people, from eighty days ago."""
    return empty_template


@pytest.fixture
def mail_pages() -> bool:
    return True


class Story:
    """The demo directory's people over eighty days, and the camera."""

    def __init__(self, portal: Portal, tmp_path: Path) -> None:
        self.portal = portal
        self.keys: dict[str, str] = {}
        self.addresses = {each["id"]: each["email"] for each in demo.accounts()}
        portal.clock.ahead = -timedelta(days=DAYS)
        path = tmp_path / "demo.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in demo._lines(PASSWORD)))
        assert not take_file(path, portal.watchword).errors
        for day in range(DAYS):
            portal.clock.ahead = timedelta(days=day - DAYS)
            if day in ENROL_ON:
                self.enrol(ENROL_ON[day])
            if day == 40:
                self.enforce()
        portal.clock.ahead = timedelta()

    def code(self, account: str) -> str:
        self.portal.clock.advance(seconds=30)
        return code_at(self.keys[account], self.portal.clock.now().timestamp())

    def browser(self, account: str) -> Browser:
        browser = self.portal.browser()
        state = browser.sign_in(self.addresses[account], PASSWORD, account)["state"]
        if state == "mfa_code_required":
            assert browser.post("/sign-in/code", {"code": self.code(account)}).status_code == 200
        return browser

    def enrol(self, account: str) -> None:
        browser = self.browser(account)
        self.keys[account] = browser.start_setup()["setup_key"]
        assert browser.post("/me/mfa/setup/confirm", {"code": self.code(account)}).status_code == 200

    def enforce(self) -> None:
        body = {"enforce_partner_users": True, "enforce_organizations": False}
        assert self.browser("north-owner").put("/partners/north/mfa-policy", body).status_code == 200

    def password(self, page: Page, account: str, password: str = PASSWORD) -> None:
        page.goto("/sign-in")
        page.get_by_label("E-mail address").fill(self.addresses[account])
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in", exact=True).click()

    def sign_in(self, page: Page, account: str) -> None:
        self.password(page, account)
        if account in self.keys:
            page.get_by_label("Verification code").fill(self.code(account))
            page.get_by_role("button", name="Verify").click()
            page.wait_for_url("**/")


def shoot(page: Page, name: str) -> None:
    """Take the page on a desktop, at night, and on a phone."""
    for kind, viewport, scheme in (
        ("desktop", "desktop", "light"),
        ("dark", "desktop", "dark"),
        ("phone", "phone", "light"),
    ):
        page.set_viewport_size(VIEWPORTS[viewport])
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        picture = page.screenshot(full_page="dialog" not in name and "menu" not in name)
        few_colours = Image.open(io.BytesIO(picture)).convert("RGB").quantize(96, dither=Image.Dither.NONE)
        few_colours.save(TO / f"{name}-{kind}.png", optimize=True)
    page.set_viewport_size(VIEWPORTS["desktop"])
    page.emulate_media(color_scheme="light")


@pytest.mark.timeout(600)
def test_every_page_and_state(portal: Portal, window: Windows, post: PostOffice, tmp_path: Path) -> None:
    story = Story(portal, tmp_path)
    TO.mkdir(parents=True, exist_ok=True)
    post.deliver()
    signing_in(story, window())
    settings_of_everybody(story, window())
    administrating(story, window(), post)
    links_and_mails(story, window(), post)


def signing_in(story: Story, page: Page) -> None:
    page.goto("/sign-in")
    shoot(page, "sign-in")
    story.password(page, "north-owner", "wrong")
    shoot(page, "sign-in-wrong")
    story.password(page, "robin-river")
    shoot(page, "select-account")
    story.password(page, "north-support")
    shoot(page, "mfa-page")
    page.get_by_role("button", name="Setup MFA").click()
    shoot(page, "scan-qr-code")
    page.get_by_label("Verification code").fill("000000")
    page.get_by_role("button", name="Verify").click()
    shoot(page, "scan-qr-code-wrong")
    story.password(page, "north-owner")
    shoot(page, "enter-code")
    page.get_by_label("Verification code").fill("000000")
    page.get_by_role("button", name="Verify").click()
    shoot(page, "enter-code-wrong")
    page.get_by_label("Verification code").fill(story.code("north-owner"))
    page.get_by_role("button", name="Verify").click()
    page.wait_for_url("**/")
    shoot(page, "dashboard")
    page.locator("summary", has_text="Account").click()
    shoot(page, "menu")
    page.goto("/me/history")
    shoot(page, "my-history")
    page.goto("/nowhere")
    shoot(page, "not-found")


def settings_of_everybody(story: Story, page: Page) -> None:
    story.sign_in(page, "meadow-clinic-user")
    shoot(page, "end-user-portal")
    page.goto("/security-settings")
    shoot(page, "settings-personal")
    page.get_by_role("switch").click()
    shoot(page, "settings-switched-on")
    page.context.clear_cookies()
    story.sign_in(page, "meadow-clinic-user")
    shoot(page, "mfa-page-not-required")
    page.context.clear_cookies()
    story.sign_in(page, "north-owner")
    page.goto("/security-settings")
    shoot(page, "settings-enforced")
    page.get_by_role("button", name="Reset Multi-Factor Authentication (MFA)").click()
    shoot(page, "settings-reset-dialog")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    shoot(page, "settings-reset-mailed")
    page.goto("/security-settings")
    page.get_by_label("Enforce MFA for all organizations").check()
    page.get_by_role("button", name="Save the policy").click()
    shoot(page, "settings-policy-saved")
    page.context.clear_cookies()
    story.sign_in(page, "harbor-dental-user")
    story.portal.clock.advance(minutes=16)
    page.goto("/security-settings")
    shoot(page, "settings-of-an-end-user")
    page.context.clear_cookies()
    story.sign_in(page, "south-support")
    page.goto("/security-settings")
    shoot(page, "settings-read-only")


def administrating(story: Story, page: Page, post: PostOffice) -> None:
    story.sign_in(page, "north-owner")
    page.goto("/user-management")
    shoot(page, "user-management")
    page.get_by_label("Actions for Admin of North Distribution").click()
    shoot(page, "user-management-menu")
    page.get_by_role("link", name="Reset MFA").locator("visible=true").click()
    page.get_by_label("Reason").fill("lost phone")
    shoot(page, "user-management-reset-dialog")
    page.get_by_role("button", name="Yes, Continue").click()
    shoot(page, "user-management-reset-done")
    post.deliver()
    page.goto("/audit")
    shoot(page, "audit")
    page.goto("/audit/certificate?from=2&to=90")
    shoot(page, "certificate")
    page.goto("/user-management?as_of=30")
    shoot(page, "user-management-past")
    page.goto("/user-management?mfa_status=Inactive&sort=-email")
    shoot(page, "user-management-filtered")
    page.goto("/user-management?q=nobody+of+that+name")
    shoot(page, "user-management-nobody")
    story.portal.clock.advance(minutes=14)
    page.goto("/user-management")
    story.portal.clock.advance(minutes=2)
    page.goto("/user-management?ask=reset&account=north-support")
    shoot(page, "user-management-password-dialog")


def links_and_mails(story: Story, page: Page, post: PostOffice) -> None:
    link = next(link_in(mail) for mail in reversed(post.mails) if mail.kind == "reset_by_administrator")
    page.goto(link)
    shoot(page, "set-up-again")
    story.password(page, "north-admin")
    shoot(page, "mfa-page-after-reset")
    page.context.clear_cookies()
    own = next(link_in(mail) for mail in reversed(post.mails) if mail.kind == "reset_requested")
    page.goto(own)
    shoot(page, "confirm-reset")
    page.goto("/reset/nothing")
    shoot(page, "link-gone")
    page.goto("/unlock/anything")
    shoot(page, "unlock")
    page.goto("/dev/mail")
    shoot(page, "mails")
    page.get_by_role("link", name="Set up your multi-factor authentication again").first.click()
    shoot(page, "mail")
