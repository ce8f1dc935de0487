"""Every page in every state: for eyes, ears and keyboard, in light and dark, on 320 px and on 4K."""

import re
from collections.abc import Callable

import pytest
from fastapi.routing import iter_route_contexts
from playwright.sync_api import Page, expect

from api.rest import PREFIX
from api.web import create_app
from tests.browser.post import PostOffice, link_in
from tests.browser.scrutiny import Scrutiny
from tests.browser.steps import (
    dashboard,
    enter,
    give_code,
    give_password,
    open_menu,
    sign_in,
    start_set_up,
    told,
    warned,
)
from tests.browser.window import Windows
from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, enrolled, next_code, signed_in, wrong_code
from tests.services import Portal

RESET = "Reset Multi-Factor Authentication (MFA)"
Area = Callable[[Portal, Windows, PostOffice, Scrutiny], None]


def signing_in(portal: Portal, window: Windows, post: PostOffice, scrutiny: Scrutiny) -> None:
    page, look = window(), scrutiny.look
    post.deliver()
    page.goto("/sign-in")
    look(page, "sign-in")
    give_password(page, "dist-support", "not it")
    warned(page, re.compile("."))
    look(page, "sign-in, wrong password")
    for _ in range(10):
        give_password(page, "dist-auditor", "not it")
    look(page, "sign-in, too many tries")
    give_password(page, "three-dist")
    expect(page).to_have_url(re.compile("/sign-in/account$"))
    look(page, "account choice")
    page.get_by_role("button", name="Sign in with another address").click()
    told(page, "signed out")
    look(page, "sign-in, signed out")
    _, key = enrolled(portal, "dist-support")
    sign_in(page, "dist-support")
    page.get_by_text("Your app does not work").click()
    look(page, "code")
    enter(page, "1234")
    look(page, "code, four digits")
    enter(page, wrong_code(portal, key))
    warned(page, re.compile("."))
    look(page, "code, wrong")
    for _ in range(4):
        enter(page, wrong_code(portal, key))
    expect(page).to_have_url(re.compile("/sign-in$"))
    look(page, "sign-in, too many wrong codes")
    sign_in(page, "dist-support")
    for _ in range(5):
        enter(page, wrong_code(portal, key))
    expect(page).to_have_url(re.compile("/sign-in$"))
    sign_in(page, "dist-support")
    enter(page, next_code(portal, key))
    look(page, "code, locked")


def setting_up(portal: Portal, window: Windows, post: PostOffice, scrutiny: Scrutiny) -> None:
    page, look = window(), scrutiny.look
    assert signed_in(portal, "dist-support").post("/me/mfa/enable").status_code == 200
    sign_in(page, "dist-support")
    look(page, "MFA page, not required")
    key = start_set_up(page)
    page.get_by_text("Which app, which settings?").click()
    look(page, "QR code")
    enter(page, wrong_code(portal, key))
    warned(page, re.compile("."))
    look(page, "QR code, wrong code")
    enter(page, next_code(portal, key))
    dashboard(page)
    look(page, "dashboard, just activated")
    page.goto("/mfa/setup")
    look(page, "MFA page, another app")
    portal.clock.advance(minutes=16)
    page.reload()
    look(page, "MFA page, another app, password asked")
    enforce(signed_in(portal, "sub-owner"), "sub", users=True)
    required = window()
    sign_in(required, "sub-support")
    look(required, "MFA page, required")
    assert signed_in(portal, "dist-admin").post("/accounts/dist-support/mfa/reset", {}).status_code == 200
    post.deliver()
    mailed = window()
    sign_in(mailed, "dist-support")
    look(mailed, "MFA page, link wanted")
    mailed.get_by_label("Link from the mail").fill("not-a-link-of-any-mail")
    mailed.get_by_role("button", name="Setup MFA").click()
    warned(mailed, re.compile("."))
    look(mailed, "MFA page, wrong link")


def at_home(portal: Portal, window: Windows, _: PostOffice, scrutiny: Scrutiny) -> None:
    page, look = window(), scrutiny.look
    sign_in(page, "dist-owner")
    look(page, "dashboard")
    page.get_by_text("The same as a table").click()
    page.get_by_role("navigation", name="Main").get_by_text("Account", exact=True).click()
    look(page, "dashboard, table and account menu")
    enforce(signed_in(portal, "dist-admin"), "dist", users=True, organizations=True)
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("have to use MFA")
    page.get_by_role("navigation", name="Main").get_by_text("Settings", exact=True).click()
    look(page, "dashboard, people overdue, settings menu")
    page.keyboard.press("Escape")
    open_menu(page, "Account", "My security history")
    expect(page.get_by_role("heading", level=1, name="My security history")).to_be_visible()
    look(page, "history")
    end_user = window()
    sign_in(end_user, "sub-org-user")
    look(end_user, "End-User Portal")
    reseller = window()
    sign_in(reseller, "resell-auditor")
    look(reseller, "dashboard of a reseller's auditor")


def in_settings(portal: Portal, window: Windows, post: PostOffice, scrutiny: Scrutiny) -> None:
    page, look = window(), scrutiny.look
    post.deliver()
    sign_in(page, "dist-owner")
    page.goto("/security-settings")
    page.get_by_text("Lost your phone, or no mail?").click()
    look(page, "settings")
    page.get_by_role("switch").click()
    told(page, "switched on")
    look(page, "settings, switched on")
    enforce(signed_in(portal, "dist-admin"), "dist", organizations=True)
    page.get_by_role("button", name="Save the policy").click()
    warned(page, re.compile("."))
    look(page, "settings, policy changed meanwhile")
    for account, state in (("dist-support", "read only"), ("resell-owner", "no policy"), ("sub-org-user", "end user")):
        other = window()
        sign_in(other, account)
        other.goto("/security-settings")
        look(other, f"settings, {state}")


def in_dialogs(portal: Portal, window: Windows, _: PostOffice, scrutiny: Scrutiny) -> None:
    page, look = window(), scrutiny.look
    _browser, key = enrolled(portal, "dist-owner")
    sign_in(page, "dist-owner")
    give_code(portal, page, key)
    dashboard(page)
    page.goto("/security-settings")
    look(page, "settings, active")
    page.get_by_role("button", name=RESET).click()
    expect(page.get_by_role("dialog").get_by_label("Password")).to_be_focused()
    look(page, "settings, reset prompt")
    page.get_by_role("dialog").get_by_label("Password").fill("not it")
    page.get_by_role("button", name="Continue").click()
    warned(page, re.compile("."))
    look(page, "settings, reset prompt, wrong password")
    page.goto("/security-settings?ask=switch-off")
    look(page, "settings, switch-off prompt")
    for _again in range(2):
        portal.clock.advance(minutes=8)
        page.reload()
    look(page, "settings, switch-off prompt, password asked")
    page.goto("/security-settings")
    look(page, "settings, active, policy asks for the password")
    enforce(signed_in(portal, "dist-admin"), "dist", users=True)
    page.reload()
    look(page, "settings, enforced")


def among_users(portal: Portal, window: Windows, post: PostOffice, scrutiny: Scrutiny) -> None:
    page, look = window(), scrutiny.look
    for account in ("dist-support", "dist-admin"):
        enrolled(portal, account)
    assert signed_in(portal, "dist-org-user").post("/me/mfa/enable").status_code == 200
    _browser, key = enrolled(portal, "dist-owner")
    enforce(signed_in(portal, "dist-admin2"), "dist", users=True)
    sign_in(page, "dist-owner")
    give_code(portal, page, key)
    dashboard(page)
    page.goto("/user-management")
    look(page, "users")
    page.get_by_label("Actions for Dist Support").click()
    look(page, "users, actions")
    page.get_by_role("link", name="Reset MFA").filter(visible=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    look(page, "users, reset dialog")
    page.get_by_role("button", name="Yes, Continue").click()
    told(page, "The MFA was reset")
    look(page, "users, reset done")
    post.deliver()
    page.reload()
    page.get_by_label("Actions for Dist Owner").click()
    look(page, "users, the own actions")
    page.goto("/user-management?q=nobody+at+all&sort=-email")
    look(page, "users, nobody")
    page.goto("/user-management?as_of=10")
    expect(page.get_by_role("main")).to_contain_text("As it stood")
    look(page, "users, looking back")
    page.goto("/user-management?mfa_status=Neither")
    look(page, "users, a filter that makes no sense")
    for _again in range(2):
        portal.clock.advance(minutes=8)
        page.goto("/user-management?ask=reset&account=dist-admin")
    look(page, "users, reset dialog, password asked")
    reader = window()
    sign_in(reader, "resell-support")
    reader.goto("/user-management")
    look(reader, "users, read only")


def behind_links(portal: Portal, window: Windows, post: PostOffice, scrutiny: Scrutiny) -> None:
    page, other, look = window(), window(), scrutiny.look
    browser, key = enrolled(portal, "dist-support")
    post.deliver()
    assert browser.post("/me/mfa/reset", {"password": PASSWORD}).status_code == 202
    (mail,) = post.deliver()
    page.goto(link_in(mail))
    look(page, "own reset, elsewhere")
    page.get_by_label("Password").fill("not it")
    page.get_by_role("button", name="Confirm the reset").click()
    warned(page, re.compile("."))
    look(page, "own reset, wrong password")
    sign_in(other, "dist-support")
    give_code(portal, other, key)
    dashboard(other)
    other.goto(link_in(mail))
    look(other, "own reset, signed in")
    assert signed_in(portal, "dist-owner").post("/accounts/dist-support/mfa/reset", {}).status_code == 200
    (again,) = post.deliver()
    page.goto(link_in(again))
    look(page, "reset by an administrator")
    page.goto(link_in(mail))
    look(page, "a link that is over")
    page.goto("/unlock/01a20dda-04e6-7bae-ac4d-46af49868b63")
    look(page, "unlock")
    page.get_by_label("Link from the mail").fill("not-a-link-of-any-mail")
    page.get_by_role("button", name="Unlock sign-in").click()
    warned(page, re.compile("."))
    look(page, "unlock, wrong link")
    page.goto("/nowhere")
    look(page, "nothing there")
    end_user = window()
    sign_in(end_user, "dist-org-user")
    end_user.goto("/user-management")
    look(end_user, "not allowed")
    end_user.goto("/security-settings")
    portal.clock.advance(minutes=31)
    end_user.get_by_role("switch").click()
    expect(end_user.get_by_role("heading", level=1, name="Session ended")).to_be_visible()
    look(end_user, "session ended")


def in_the_log(portal: Portal, window: Windows, _: PostOffice, scrutiny: Scrutiny) -> None:
    enrolled(portal, "dist-org-user")
    page = window()
    sign_in(page, "dist-auditor")
    page.goto("/audit")
    scrutiny.look(page, "audit")
    page.goto("/audit?account=dist-org-user")
    page.get_by_role("table").get_by_role("group").first.click()
    scrutiny.look(page, "audit, one account, data")
    page.goto("/audit?actor=nobody")
    scrutiny.look(page, "audit, nothing matches")
    page.goto("/audit?topic=nothing")
    scrutiny.look(page, "audit, a filter that makes no sense")
    page.goto("/audit/certificate")
    scrutiny.look(page, "coverage certificate, asked for")
    page.goto(f"/audit/certificate?from=2&to={portal.watchword.store.last_position()}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("certificate", ignore_case=True)
    scrutiny.look(page, "coverage certificate")


def in_the_post(portal: Portal, window: Windows, post: PostOffice, scrutiny: Scrutiny) -> None:
    page = window()
    enrolled(portal, "dist-support")
    page.goto(f"/dev/mail?to={address('nobody')}")
    scrutiny.look(page, "inbox, empty")
    post.deliver()
    page.goto("/dev/mail")
    scrutiny.look(page, "inbox")
    page.get_by_role("rowheader").get_by_role("link").first.click()
    expect(page).to_have_url(re.compile("/dev/mail/."))
    scrutiny.look(page, "letter")


def at_providers(portal: Portal, window: Windows, _: PostOffice, scrutiny: Scrutiny) -> None:
    page, look = window(), scrutiny.look
    sign_in(page, "dist-owner")
    page.goto("/single-sign-on")
    look(page, "identity providers, none")
    page.get_by_label("Client id").fill("client")
    page.get_by_role("button", name="Add the provider").click()
    warned(page, re.compile("."))
    look(page, "identity provider, tenant left out")
    page.get_by_label("Tenant id").fill("tenant-1")
    page.get_by_label("Client secret").fill("some-client-secret")
    page.get_by_role("button", name="Add the provider").click()
    told(page, "is added")
    look(page, "identity providers")
    page.goto("/me/identities")
    look(page, "own identities")
    for _again in range(2):
        portal.clock.advance(minutes=9)
        page.goto("/single-sign-on")
    expect(page.get_by_label("Password").first).to_be_visible()
    look(page, "identity providers, password asked")
    visitor = window()
    visitor.goto("/sign-in")
    look(visitor, "sign-in, with a provider")
    visitor.goto("/sign-in/with")
    look(visitor, "home realm, asked")
    visitor.get_by_label("E-mail address").fill(address("dist-owner"))
    visitor.get_by_role("button", name="Continue").click()
    warned(visitor, "No identity provider")
    look(visitor, "home realm, not found")
    visitor.goto("/sign-in/back?state=made-up&code=made-up")
    warned(visitor, "not begun in this browser")
    look(visitor, "back from a provider, not asked for")
    page.goto("/sign-in/back?state=made-up&code=made-up")
    look(page, "back from a provider, signed in, not asked for")
    visitor.goto("/invited/none")
    look(visitor, "invitation")


SIGN_IN = {"/sign-in", "/sign-in/account", "/sign-in/code"}
AREAS: dict[Area, set[str]] = {
    signing_in: SIGN_IN,
    setting_up: {"/mfa/setup", "/mfa/setup/confirm", "/"},
    at_home: {"/", "/me/history"},
    in_settings: {"/security-settings", "/security-settings/policy"},
    in_dialogs: {"/security-settings", "/security-settings/reset"},
    among_users: {"/user-management"},
    behind_links: {"/reset/*", "/unlock/*", "/nowhere", "/user-management", "/security-settings/enable"},
    in_the_log: {"/audit", "/audit/certificate"},
    at_providers: {"/single-sign-on", "/me/identities", "/sign-in/with", "/sign-in/back", "/invited/*"},
    in_the_post: {"/dev/mail", "/dev/mail/*"},
}
"""The places that each walk comes to; forms that are refused show their page under the address they were sent to."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mail_pages", [True])
@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.__name__)
def test_every_page_is_for_everybody(portal: Portal, window: Windows, post: PostOffice, area: Area) -> None:
    """F16 F18 S04 S26 S36 S38 and every other page: WCAG 2.2 AA, one heading, no sideways scrolling, the Tab key."""
    scrutiny = Scrutiny()
    area(portal, window, post, scrutiny)
    assert not scrutiny.faults, "\n".join(scrutiny.faults)
    assert scrutiny.visited >= AREAS[area], scrutiny.visited


@pytest.mark.parametrize("mail_pages", [True])
def test_no_page_is_left_out(portal: Portal) -> None:
    """The walks above come to every page of the route table, so that a new page is looked at the day it is added."""
    pages = set()
    for route in iter_route_contexts(create_app(portal.watchword).routes):
        ours = route.path and not route.path.startswith((PREFIX, "/static", "/healthz", "/readyz"))
        if ours and "GET" in (route.methods or ()):
            pages.add(re.sub(r"\{\w+\}", "*", route.path or ""))
    assert pages - set().union(*AREAS.values()) == set()


def test_password_managers_and_phones_know_the_fields(portal: Portal, window: Windows) -> None:
    """S17 S20: autocomplete, the keyboard for digits."""
    assert signed_in(portal, "dist-support").post("/me/mfa/enable").status_code == 200
    page: Page = window("phone")
    page.goto("/sign-in")
    expect(page.get_by_label("E-mail address")).to_have_attribute("autocomplete", "username")
    expect(page.get_by_label("Password")).to_have_attribute("autocomplete", "current-password")
    sign_in(page, "dist-support")
    start_set_up(page)
    expect(page.get_by_label("Verification code")).to_have_attribute("autocomplete", "one-time-code")
    expect(page.get_by_label("Verification code")).to_have_attribute("inputmode", "numeric")
