"""Switching on, the login that activates, and the login after it."""

import pytest

from tests.directory import PASSWORD, address
from tests.flows.steps import column, confirm, enforce, enrolled, give_code, next_code, reason, signed_in, wrong_code
from tests.services import Portal


def test_a_person_switches_mfa_on_and_the_next_login_activates_it(portal: Portal) -> None:
    """S01 S06 S08 S16 S17 S18 S19 S20 S21 S23 S36."""
    person, owner = signed_in(portal, "dist-support"), signed_in(portal, "dist-owner")
    switched_on = person.post("/me/mfa/enable")
    assert switched_on.status_code == 200
    assert person.get("/me/mfa").json()["factor"] == "pending"
    assert person.session()["state"] == "signed_in"
    position = switched_on.json()["position"]
    assert column(owner, "dist", "dist-support", position)["mfa_status"] == "Inactive"
    assert column(owner, "dist", "dist-admin", position)["factor"] == "none"

    assert person.sign_in(address("dist-support"), PASSWORD)["state"] == "mfa_setup_required"
    shown = person.start_setup()
    assert shown["setup_key"] in shown["otpauth_uri"]
    assert "<svg" in shown["qr_svg"]
    wrong = person.post("/me/mfa/setup/confirm", {"code": wrong_code(portal, shown["setup_key"])})
    assert reason(wrong) == (401, "code_not_accepted")
    assert person.session()["state"] == "mfa_setup_required"
    right = confirm(portal, person, shown["setup_key"])
    assert (right.status_code, right.json()["state"]) == (200, "signed_in")
    assert column(owner, "dist", "dist-support", right.json()["position"])["mfa_status"] == "Active"

    assert person.sign_in(address("dist-support"), PASSWORD)["state"] == "mfa_code_required"
    assert reason(person.get("/me/mfa")) == (403, "mfa_code_required")
    assert give_code(portal, person, shown["setup_key"]).json()["state"] == "signed_in"
    assert person.get("/me/mfa").json()["mfa_status"] == "Active"


def test_where_enforced_everything_stays_closed_until_the_set_up_is_done(portal: Portal) -> None:
    """S22 F05: no route but the set-up's answers, and afterwards all is open."""
    assert enforce(signed_in(portal, "dist-owner"), "dist", users=True).status_code == 200
    person = portal.browser()
    assert person.sign_in(address("dist-admin"), PASSWORD)["state"] == "mfa_setup_required"
    for path in (
        "/me/mfa",
        "/me/history",
        "/partners/dist/users",
        "/partners/dist/mfa-policy",
        "/accounts/dist-owner/mfa",
    ):
        assert reason(person.get(path)) == (403, "mfa_setup_required"), path
    assert reason(person.post("/me/mfa/disable")) == (403, "enforced_by_partner")
    confirm(portal, person, person.start_setup()["setup_key"])
    assert person.get("/partners/dist/users").status_code == 200


def test_one_address_with_several_accounts_has_a_secret_for_each(portal: Portal) -> None:
    """S17 F12 F22 F23: the choice comes before the MFA page, and a code belongs to the chosen account alone."""
    browser, dist_key = enrolled(portal, "three-dist")
    _, resell_key = enrolled(portal, "three-resell")
    assert dist_key != resell_key

    assert browser.sign_in(address("three-dist"), PASSWORD)["state"] == "identified"
    offered = {account["account_id"] for account in browser.session()["accounts"]}
    assert offered == {"three-dist", "three-resell", "three-org"}
    assert reason(browser.post("/sign-in/account", {"account_id": "dist-owner"})) == (404, "no_such_choice")
    browser.post("/sign-in/account", {"account_id": "three-dist"})
    assert reason(browser.post("/sign-in/code", {"code": next_code(portal, resell_key)})) == (401, "code_not_accepted")
    assert give_code(portal, browser, dist_key).json()["account"]["account_id"] == "three-dist"

    admin = signed_in(portal, "dist-owner")
    assert admin.post("/accounts/three-dist/mfa/reset", {}).status_code == 200
    other = portal.browser()
    assert other.sign_in(address("three-resell"), PASSWORD, "three-resell")["state"] == "mfa_code_required"
    assert give_code(portal, other, resell_key).status_code == 200


def test_a_new_authenticator_ends_the_old_one_and_every_other_session(portal: Portal) -> None:
    """F22."""
    browser, old = enrolled(portal, "dist-admin")
    other = portal.browser()
    other.sign_in(address("dist-admin"), PASSWORD)
    assert give_code(portal, other, old).status_code == 200
    assert other.get("/me/mfa").status_code == 200

    new = browser.start_setup()["setup_key"]
    assert other.get("/me/mfa").status_code == 200, "an unfinished set-up changes nothing"
    assert confirm(portal, browser, new).status_code == 200
    assert reason(other.get("/me/mfa")) == (401, "session_ended")
    again = portal.browser()
    again.sign_in(address("dist-admin"), PASSWORD)
    assert reason(again.post("/sign-in/code", {"code": next_code(portal, old)})) == (401, "code_not_accepted")
    assert give_code(portal, again, new).status_code == 200


def test_every_app_that_speaks_rfc_6238_works(portal: Portal) -> None:
    """S05 F24: the phone of these tests is oathtool, or an implementation that shares nothing with ours."""
    _, key = enrolled(portal, "sub-admin")
    person = portal.browser()
    person.sign_in(address("sub-admin"), PASSWORD)
    spaced = next_code(portal, key)
    assert person.post("/sign-in/code", {"code": f"{spaced[:3]} {spaced[3:]}"}).status_code == 200


@pytest.mark.parametrize("minutes", [29, 31])
def test_a_session_ends_when_it_is_left_alone(portal: Portal, minutes: int) -> None:
    person = signed_in(portal, "dist-support")
    portal.clock.advance(minutes=minutes)
    assert person.session()["state"] == ("signed_in" if minutes < 30 else "anonymous")


def test_switching_off_is_free_where_nothing_is_enforced(portal: Portal) -> None:
    """F04 F09: not enabling has no effect, and what was enabled may be switched off at any time."""
    assert signed_in(portal, "dist-org-user").get("/me/mfa").json()["can_switch_off"] is False
    browser, key = enrolled(portal, "dist-support")
    assert browser.get("/me/mfa").json()["can_switch_off"] is True
    portal.clock.advance(minutes=16)
    assert reason(browser.post("/me/mfa/disable")) == (403, "step_up_required")
    answer = browser.post("/session/step-up", {"password": PASSWORD})
    assert reason(answer) == (401, "code_needed")
    assert browser.post("/session/step-up", {"password": PASSWORD, "code": next_code(portal, key)}).status_code == 200
    off = browser.post("/me/mfa/disable")
    assert (off.status_code, off.json()["mfa_status"]) == (200, "Inactive")
    assert browser.sign_in(address("dist-support"), PASSWORD)["state"] == "signed_in"
    assert browser.get("/me/mfa").json()["factor"] == "none"


def test_a_set_up_that_nobody_demands_may_wait(portal: Portal) -> None:
    """D2: "not now" takes the wish back and opens the dashboard."""
    person = signed_in(portal, "dist-support")
    person.post("/me/mfa/enable")
    assert person.sign_in(address("dist-support"), PASSWORD)["state"] == "mfa_setup_required"
    assert person.post("/me/mfa/disable").json()["factor"] == "none"
    assert person.session()["state"] == "signed_in"
