"""The two great flows, as the product's rows tell them."""

from datetime import timedelta

import httpx

from tests.directory import PASSWORD, address
from tests.phone import code_at
from tests.portal import Browser
from tests.services import Portal


def enrolled(portal: Portal, account: str) -> tuple[Browser, str]:
    """Sign an account in, set its MFA up, and return the browser and the setup key that the phone keeps."""
    browser = portal.browser()
    state = browser.sign_in(address(account), PASSWORD, account)["state"]
    assert state in {"signed_in", "mfa_setup_required"}
    key = browser.start_setup()["setup_key"]
    answer = confirm(portal, browser, key)
    assert answer.json()["state"] == "signed_in", answer.text
    return browser, key


def next_code(portal: Portal, key: str) -> str:
    """Wait for the phone to show a code that was not used yet, and read it."""
    portal.clock.advance(seconds=30)
    return code_at(key, portal.clock.now().timestamp())


def confirm(portal: Portal, browser: Browser, key: str) -> httpx.Response:
    return browser.post("/me/mfa/setup/confirm", {"code": next_code(portal, key)})


def column(browser: Browser, partner: str, account: str, position: int | None = None) -> dict[str, object]:
    """Return an account's row of User Management."""
    answer = browser.get(f"/partners/{partner}/users", q=address(account), limit=200, min_position=position or 0)
    assert answer.status_code == 200, answer.text
    return next(row for row in answer.json()["items"] if row["account_id"] == account)


def test_a_person_switches_mfa_on_and_the_next_login_activates_it(portal: Portal) -> None:
    """S01 S06 S08 S16 S18 S19 S20 S21 S23."""
    person, owner = portal.browser(), portal.browser()
    person.sign_in(address("dist-support"), PASSWORD)
    owner.sign_in(address("dist-owner"), PASSWORD)
    position = person.post("/me/mfa/enable").json()["position"]
    assert person.get("/me/mfa").json()["factor"] == "pending"
    assert person.session()["state"] == "signed_in"
    assert column(owner, "dist", "dist-support", position)["mfa_status"] == "Inactive"
    assert column(owner, "dist", "dist-admin", position)["factor"] == "none"

    assert person.sign_in(address("dist-support"), PASSWORD)["state"] == "mfa_setup_required"
    shown = person.start_setup()
    assert shown["setup_key"] in shown["otpauth_uri"]
    assert "<svg" in shown["qr_svg"]
    wrong = person.post("/me/mfa/setup/confirm", {"code": "000000"})
    assert (wrong.status_code, wrong.json()["reason"]) == (401, "code_not_accepted")
    assert person.session()["state"] == "mfa_setup_required"
    right = confirm(portal, person, shown["setup_key"])
    assert (right.status_code, right.json()["state"]) == (200, "signed_in")
    assert column(owner, "dist", "dist-support", right.json()["position"])["mfa_status"] == "Active"

    assert person.sign_in(address("dist-support"), PASSWORD)["state"] == "mfa_code_required"
    assert person.get("/me/mfa").status_code == 403
    assert person.post("/sign-in/code", {"code": next_code(portal, shown["setup_key"])}).json()["state"] == "signed_in"
    assert person.get("/me/mfa").json()["mfa_status"] == "Active"


def test_sessions_end_after_their_time(portal: Portal) -> None:
    person = portal.browser()
    person.sign_in(address("dist-support"), PASSWORD)
    portal.clock.ahead += timedelta(minutes=29)
    assert person.session()["state"] == "signed_in"
    portal.clock.ahead += timedelta(minutes=31)
    assert person.session()["state"] == "anonymous"
