"""Signing in with Microsoft and Google, as people do: at a real provider, and then here, whatever was asked there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.openid import THEIR_CODE, Kind, RealProvider, real_provider
from tests.browser.post import PostOffice, link_in
from tests.browser.steps import dashboard, enter, give_code, set_up, sign_out, told, warned
from tests.browser.window import Windows
from tests.directory import address
from tests.flows.steps import enforce, enrolled, signed_in, wrong_code
from tests.services import Portal

EACH_KIND = pytest.mark.parametrize("kind", ["entra", "google"])
FACTOR_THERE = pytest.mark.parametrize("second_factor", [False, True], ids=["one factor there", "two factors there"])


@pytest.fixture
def provider(
    portal: Portal, window: Windows, tmp_path: Path, kind: Kind, *, second_factor: bool
) -> Iterator[RealProvider]:
    with real_provider(portal, tmp_path, kind, second_factor=second_factor) as running:
        window.friends.add(running.server.url)
        yield running


@EACH_KIND
@FACTOR_THERE
def test_signing_in_elsewhere_exempts_nobody_from_what_is_enforced(
    portal: Portal, window: Windows, provider: RealProvider, *, second_factor: bool
) -> None:
    """F13: after Microsoft or Google, with a second factor there or without, our set-up comes, and then our code."""
    enforce(signed_in(portal, "dist-owner"), "dist", users=True)
    theirs = THEIR_CODE if second_factor else None
    page = window()
    provider.go(page)
    provider.sign_in_there(page, "dist-support", theirs)
    expect(page).to_have_url(re.compile("/mfa/setup$"))
    page.goto("/")
    expect(page).to_have_url(re.compile("/mfa/setup$"))
    key = set_up(portal, page)
    dashboard(page)
    sign_out(page)
    provider.go(page)
    give_code(portal, page, key)
    dashboard(page)
    facts = [each.fact for each in portal.watchword.store.history("account:dist-support")]
    said = [each.model_dump() for each in facts if each.TOPIC == "account.identity_proved"]
    assert [each["amr"] for each in said] == ["pwd otp mfa" if second_factor else "pwd"] * 2
    assert not any(each["credits_mfa"] for each in said)


@EACH_KIND
@FACTOR_THERE
def test_with_both_either_failing_stops_the_login(
    portal: Portal, window: Windows, provider: RealProvider, *, second_factor: bool
) -> None:
    """F14: the provider's sign-in and our code are both asked; failing at either leads nowhere; X12 at the end."""
    _, key = enrolled(portal, "dist-support")
    page = window()
    provider.go(page)
    page.get_by_role("button", name="Cancel").click()
    warned(page, "not finished")
    page.goto("/")
    expect(page).to_have_url(re.compile("/sign-in$"))
    provider.go(page)
    if second_factor:
        provider.sign_in_there(page, "dist-support", "000000")
        expect(page.get_by_role("alert")).to_have_text("The code is wrong.")
    provider.sign_in_there(page, "dist-support", THEIR_CODE if second_factor else None)
    expect(page).to_have_url(re.compile("/sign-in/code$"))
    enter(page, wrong_code(portal, key))
    warned(page, "not accepted")
    page.goto("/security-settings")
    expect(page).to_have_url(re.compile("/sign-in/code$"))
    give_code(portal, page, key)
    expect(page).to_have_url(re.compile("/security-settings$"))


@pytest.mark.parametrize("kind", ["google"])
@pytest.mark.parametrize("second_factor", [True])
def test_one_identity_with_several_accounts_chooses_one(window: Windows, provider: RealProvider) -> None:
    page = window()
    provider.go(page)
    provider.sign_in_there(page, "three-dist", THEIR_CODE)
    expect(page).to_have_url(re.compile("/sign-in/account$"))
    expect(page.get_by_role("button", name="Resell Inc")).to_have_count(0)
    page.get_by_role("button", name="Dist-Org").click()
    dashboard(page, "End-User Portal")


@pytest.mark.parametrize("kind", ["entra"])
@pytest.mark.parametrize("second_factor", [False])
def test_who_has_no_password_confirms_the_own_reset_at_the_provider(
    portal: Portal, window: Windows, post: PostOffice, provider: RealProvider
) -> None:
    """F14, D13: where others give the login password, the provider asks anew who it is; a sign-in there alone is not enough."""
    _, key = enrolled(portal, "dist-support")
    portal.watchword.database.run("UPDATE person SET credential_id = NULL WHERE account_id = 'dist-support'")
    page = window()
    provider.go(page)
    provider.sign_in_there(page, "dist-support")
    give_code(portal, page, key)
    dashboard(page)
    page.goto("/security-settings")
    page.get_by_role("button", name="Reset Multi-Factor Authentication (MFA)").click()
    expect(page.get_by_label("Password")).to_have_count(0)
    page.get_by_role("button", name="Confirm at your identity provider").click()
    provider.sign_in_there(page, "dist-support")
    expect(page).to_have_url(re.compile("ask=reset$"))
    page.get_by_role("button", name="Continue").click()
    told(page, "We have sent you a mail")
    mail = next(mail for mail in post.deliver() if address("dist-support") in mail.to and "/reset/" in mail.text)
    assert "/reset/" in link_in(mail)


@pytest.mark.parametrize("kind", ["entra"])
@pytest.mark.parametrize("second_factor", [False])
def test_signing_out_there_signs_out_here(window: Windows, provider: RealProvider) -> None:
    page = window()
    provider.go(page)
    provider.sign_in_there(page, "dist-support")
    dashboard(page)
    other = page.context.new_page()
    other.goto(f"{provider.server.url}/session/end")
    other.get_by_role("button", name="Sign out there").click()
    expect(other.get_by_text("You are signed out there.")).to_be_visible()
    page.goto("/security-settings")
    expect(page).to_have_url(re.compile("/sign-in$"))


@pytest.mark.parametrize("kind", ["google"])
@pytest.mark.parametrize("second_factor", [False])
def test_with_the_provider_down_the_page_says_so_and_the_password_works(
    window: Windows, provider: RealProvider
) -> None:
    page = window()
    provider.server.stop()
    provider.go(page)
    warned(page, "identity provider does not answer")
    page.get_by_role("link", name="Sign in with a password").click()
    page.get_by_label("E-mail address").fill(address("dist-support"))
