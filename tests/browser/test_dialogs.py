"""X61: a wrong password is told within the form or dialog that asked for it, at the field, and what was typed is kept."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from handlers import identity_providers
from handlers.identity_providers import OPERATOR, ProviderLine
from tests.browser.management import ask_about, manage
from tests.browser.security import RESET, USERS, active, settings_of, switch
from tests.browser.steps import sign_in, told
from tests.browser.window import Windows
from tests.directory import PASSWORD
from tests.flows.steps import enrolled, next_code
from tests.services import Portal, by_operator


def long_after(portal: Portal, page: Page, path: str) -> None:
    """Let the sign-in grow so old that protected commands ask for the password, and open a page."""
    for _ in range(2):
        portal.clock.advance(minutes=8)
        page.goto(path)


def wrong_password(within: Locator, button: str) -> None:
    """Give a wrong password, and see that it is told here, at its field, and nowhere else."""
    within.get_by_label("Password").fill("not it")
    within.get_by_role("button", name=button, exact=True).click()
    field = within.get_by_label("Password")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description("this is not your password")
    expect(field).to_have_value("")
    expect(within.page.locator("[aria-invalid=true]")).to_have_count(1)


def told_within(dialog: Locator) -> None:
    """See the message in front of everything else, and that it leads to the field."""
    problem = dialog.get_by_role("alert")
    expect(problem).to_be_focused()
    expect(problem).to_contain_text("The password is not right")
    expect(dialog.page.locator("#problem")).to_have_count(1)
    in_front = (
        "e => e.contains(document.elementFromPoint(...(r => [r.x + r.width / 2, r.y + 5])(e.getBoundingClientRect())))"
    )
    assert problem.evaluate(in_front), "it stands before the backdrop"
    problem.get_by_role("link").click()
    expect(dialog.get_by_label("Password")).to_be_focused()


def test_x61_the_own_reset(portal: Portal, window: Windows) -> None:
    """X61."""
    page = window()
    active(portal, page, "dist-support")
    page.get_by_role("button", name=RESET).click()
    dialog = page.get_by_role("dialog")
    wrong_password(dialog, "Continue")
    told_within(dialog)
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Continue").click()
    told(page, "We have sent you a mail")


@pytest.mark.parametrize("viewport", ["desktop", "phone"])
def test_x61_the_reset_of_another_keeps_the_reason(portal: Portal, window: Windows, viewport: str) -> None:
    """X61."""
    enrolled(portal, "dist-support")
    page = window(viewport)  # type: ignore[arg-type]
    sign_in(page, "dist-admin")
    long_after(portal, page, "/user-management?ask=reset&account=dist-support")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill('lost phone, "again" <b>')
    wrong_password(dialog, "Yes, Continue")
    expect(dialog.get_by_label("Reason")).to_have_value('lost phone, "again" <b>')
    told_within(dialog)
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Yes, Continue").click()
    told(page, "The MFA was reset")


def test_x61_a_reason_that_is_not_taken_is_kept_in_the_dialog(portal: Portal, window: Windows) -> None:
    """X61."""
    enrolled(portal, "dist-support")
    page = window()
    manage(page, "dist-admin")
    dialog = ask_about(page, "dist-support")
    dialog.get_by_label("Reason").fill("asked by a@b.example")
    dialog.get_by_role("button", name="Yes, Continue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Reason: leave mail addresses out")
    expect(dialog.get_by_label("Reason")).to_have_value("asked by a@b.example")


def test_x61_switching_off(portal: Portal, window: Windows) -> None:
    """X61: the code that is not accepted too."""
    page = window()
    key = active(portal, page, "dist-support")
    portal.clock.advance(minutes=16)
    switch(page).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Verification code").fill(next_code(portal, key))
    wrong_password(dialog, "Switch off")
    told_within(dialog)
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_label("Verification code").fill("000000" if next_code(portal, key) != "000000" else "111111")
    dialog.get_by_role("button", name="Switch off").click()
    expect(dialog.get_by_label("Verification code")).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_role("alert")).to_contain_text("The code was not accepted")


def test_x61_the_policy(portal: Portal, window: Windows) -> None:
    """X61."""
    page = window()
    settings_of(page, "dist-owner")
    long_after(portal, page, "/security-settings")
    page.get_by_label(USERS).check()
    wrong_password(page.locator("form[action='/security-settings/policy']"), "Save the policy")
    expect(page.get_by_role("alert")).to_contain_text("The password is not right")


def with_providers(portal: Portal) -> None:
    for number in (1, 2):
        fields = {"id": f"provider-{number}", "partner": "dist", "kind": "openid", "name": f"Issuer {number}"}
        more = {"issuer": f"https://issuer-{number}.example", "client_id": "client", "client_secret": "kept"}
        line = ProviderLine.model_validate(fields | more)
        identity_providers.add(line, OPERATOR, by_operator(portal.watchword), portal.watchword.sockets)


def test_x61_the_own_identities(portal: Portal, window: Windows) -> None:
    """X61: beside the second provider when the second one was meant."""
    with_providers(portal)
    page = window()
    sign_in(page, "dist-owner")
    long_after(portal, page, "/me/identities")
    for name in ("Issuer 2", "Issuer 1"):
        wrong_password(page.get_by_role("form", name=name), f"Link {name}")
        expect(page.get_by_role("alert")).to_contain_text("The password is not right")


def test_x61_the_providers_of_a_partner(portal: Portal, window: Windows) -> None:
    """X61: each form tells its own mistakes; what was typed for a new one is kept, but for the secret."""
    with_providers(portal)
    page = window()
    sign_in(page, "dist-owner")
    long_after(portal, page, "/single-sign-on")
    wrong_password(page.get_by_role("form", name="Issuer 2"), "Count its MFA as ours")
    wrong_password(page.get_by_role("form", name="Issuer 1"), "Remove Issuer 1")
    adding = page.get_by_role("form", name="Add an identity provider")
    typed = {"Issuer": "https://third.example", "Name on the button": "Third", "Client id": "third-client"}
    adding.get_by_label("Kind").select_option("openid")
    for label, text in typed.items():
        adding.get_by_label(label, exact=True).fill(text)
    adding.get_by_label("Client secret").fill("secret-of-theirs")
    wrong_password(adding, "Add the provider")
    for label, text in typed.items():
        expect(adding.get_by_label(label, exact=True)).to_have_value(text)
    expect(adding.get_by_label("Kind")).to_have_value("openid")
    expect(adding.get_by_label("Client secret")).to_have_value("")
    expect(page).to_have_title(re.compile("^Error: "))
