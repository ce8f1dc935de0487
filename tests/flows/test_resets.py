"""Resets, the own and another's, with their mails."""

from functools import partial

import pytest

from tests.contract.plugs import at_once
from tests.directory import PASSWORD, address
from tests.flows.steps import (
    Mailbox,
    column,
    confirm,
    enforce,
    enrolled,
    give_code,
    link_in,
    next_code,
    reason,
    set_up,
    signed_in,
)
from tests.portal import Browser
from tests.services import Portal


def ask_reset(portal: Portal, browser: Browser) -> tuple[str, str]:
    """Ask for the own reset and return the two halves of the mailed link."""
    box = Mailbox()
    box.deliver(portal)
    asked = browser.post("/me/mfa/reset", {"password": PASSWORD})
    assert asked.status_code == 202, asked.text
    mails = box.deliver(portal)
    assert [mail.kind for mail in mails] == ["reset_requested"]
    return link_in(mails[0])


@pytest.mark.parametrize("enforced", [False, True])
def test_a_person_resets_the_own_mfa(portal: Portal, *, enforced: bool) -> None:
    """S24 S26 S27 S28 S29 S30 S31 S32 S33 F11."""
    browser, key = enrolled(portal, "dist-support")
    if enforced:
        enforce(signed_in(portal, "dist-owner"), "dist", users=True)
    box = Mailbox()
    box.deliver(portal)
    assert reason(browser.post("/me/mfa/reset", {"password": "not it"})) == (401, "wrong_password")
    assert box.deliver(portal) == []
    link, secret = ask_reset(portal, browser)

    other = portal.browser()
    other.sign_in(address("dist-support"), PASSWORD)
    assert give_code(portal, other, key).status_code == 200, "the old MFA stays in force"
    assert browser.post(f"/reset/{link}/confirm", {"secret": secret}).status_code == 200
    assert browser.session()["state"] == "anonymous"
    assert reason(other.get("/me/mfa")) == (401, "session_ended")

    state = browser.sign_in(address("dist-support"), PASSWORD)["state"]
    assert state == ("mfa_setup_required" if enforced else "signed_in")
    if enforced:
        set_up(portal, browser)
    else:
        assert browser.get("/me/mfa").json() | {"position": 0} == {
            "mfa_status": "Inactive",
            "factor": "none",
            "required": False,
            "why": "not_enforced",
            "policy_version": 0,
            "can_switch_off": False,
            "required_by": None,
            "position": 0,
        }


def test_a_link_works_once_and_the_newest_only(portal: Portal) -> None:
    browser, _ = enrolled(portal, "dist-support")
    older = ask_reset(portal, browser)
    newest = ask_reset(portal, browser)
    assert reason(browser.post(f"/reset/{older[0]}/confirm", {"secret": older[1]})) == (410, "link_refused")
    assert reason(browser.post(f"/reset/{newest[0]}/confirm", {"secret": older[1]})) == (410, "link_refused")
    assert browser.get(f"/reset/{newest[0]}/confirm").status_code == 405, "opening a link changes nothing"
    stranger = portal.browser()
    stranger.session()
    answer = stranger.post(f"/reset/{newest[0]}/confirm", {"secret": newest[1]})
    assert reason(answer) == (401, "password_needed")
    answer = stranger.post(f"/reset/{newest[0]}/confirm", {"secret": newest[1], "password": "not it"})
    assert reason(answer) == (401, "wrong_password")
    body = {"secret": newest[1], "password": PASSWORD}
    assert stranger.post(f"/reset/{newest[0]}/confirm", body).status_code == 200
    assert reason(stranger.post(f"/reset/{newest[0]}/confirm", body)) == (401, "session_ended")
    stranger.session()
    assert reason(stranger.post(f"/reset/{newest[0]}/confirm", body)) == (410, "link_refused")


def test_a_link_ends_after_an_hour(portal: Portal) -> None:
    """D11."""
    browser, _ = enrolled(portal, "dist-support")
    link, secret = ask_reset(portal, browser)
    portal.clock.advance(minutes=61)
    browser.session()
    body = {"secret": secret, "password": PASSWORD}
    assert reason(browser.post(f"/reset/{link}/confirm", body)) == (410, "link_refused")


def test_the_fourth_mail_in_an_hour_is_answered_the_same_and_not_sent(portal: Portal) -> None:
    browser, _ = enrolled(portal, "dist-support")
    box = Mailbox()
    box.deliver(portal)
    answers = [browser.post("/me/mfa/reset", {"password": PASSWORD}).status_code for _ in range(5)]
    assert answers == [202] * 5
    assert len(box.deliver(portal)) == 3


def test_an_administrator_resets_another(portal: Portal) -> None:
    """S25 S34 S37 S38 S39 S40 S41 F17: at once, with a mail whose link opens the set-up."""
    person, old = enrolled(portal, "dist-support")
    admin, box = signed_in(portal, "dist-admin"), Mailbox()
    box.deliver(portal)
    assert column(admin, "dist", "dist-support")["mfa_status"] == "Active"
    answer = admin.post("/accounts/dist-support/mfa/reset", {"reason": "lost phone"})
    assert answer.status_code == 200
    row = column(admin, "dist", "dist-support", answer.json()["position"])
    assert (row["mfa_status"], row["factor"]) == ("Inactive", "pending")
    assert reason(person.get("/me/mfa")) == (401, "session_ended")
    mails = box.deliver(portal)
    assert [(mail.kind, mail.to) for mail in mails] == [("reset_by_administrator", address("dist-support"))]

    assert person.sign_in(address("dist-support"), PASSWORD)["state"] == "mfa_setup_required"
    assert reason(person.post("/sign-in/code", {"code": next_code(portal, old)})) == (403, "mfa_setup_required")
    assert reason(person.post("/me/mfa/setup", {})) == (403, "mailed_token_needed")
    assert reason(person.post("/me/mfa/setup", {"mailed_token": "not-it"})) == (410, "link_refused")
    assert reason(person.post("/me/mfa/disable")) == (409, "administrator_reset_open")
    new = set_up(portal, person, token=link_in(mails[0])[1])
    assert new != old
    assert column(admin, "dist", "dist-support", portal.watchword.store.last_position())["mfa_status"] == "Active"


def test_a_mail_that_did_not_come_is_sent_again(portal: Portal) -> None:
    """F18: by the administrator, who sees what became of it, or by the person at the set-up; the older link ends."""
    person, _ = enrolled(portal, "dist-support")
    admin, box = signed_in(portal, "dist-admin"), Mailbox()
    assert reason(admin.post("/accounts/dist-support/mfa/reset/mail")) == (409, "no_open_reset")
    admin.post("/accounts/dist-support/mfa/reset", {})
    first = link_in(next(mail for mail in box.deliver(portal) if mail.kind == "reset_by_administrator"))
    assert admin.post("/accounts/dist-support/mfa/reset/mail").status_code == 202
    second = link_in(box.deliver(portal)[0])
    mail = column(admin, "dist", "dist-support", portal.watchword.store.last_position())["mail"]
    assert isinstance(mail, dict)
    assert (mail["kind"], mail["state"]) == ("reset_by_administrator", "sent")

    person.sign_in(address("dist-support"), PASSWORD)
    assert person.post("/me/mfa/setup/mail").status_code == 202
    third = link_in(box.deliver(portal)[0])
    for ended in (first, second):
        assert reason(person.post("/me/mfa/setup", {"mailed_token": ended[1]})) == (410, "link_refused")
    assert confirm(portal, person, person.start_setup(third[1])["setup_key"]).status_code == 200


def test_nobody_resets_the_own_mfa_by_the_administrators_path(portal: Portal) -> None:
    """D7."""
    admin = signed_in(portal, "dist-admin")
    assert reason(admin.post("/accounts/dist-admin/mfa/reset", {})) == (403, "own_account")


def test_there_is_nothing_to_reset_without_an_active_authenticator(portal: Portal) -> None:
    person = signed_in(portal, "dist-support")
    assert reason(person.post("/me/mfa/reset", {"password": PASSWORD})) == (409, "nothing_to_reset")


def test_x34_a_code_beside_a_reset_or_another_set_up_never_asks_for_the_operator(portal: Portal) -> None:
    """The secret may go between the look at the authenticator and the look at its secret: it is decided again."""
    program = portal.watchword.tokens.create("resets", ["write"], "dist")
    administrator = portal.browser(headers={"Authorization": f"Bearer {program}"})
    names = ("dist-support", "dist-admin", "dist-admin2", "dist-auditor", "dist-super_admin", "dist-owner")
    told: set[tuple[int, str]] = set()
    for name in names:
        person, other = signed_in(portal, name), signed_in(portal, name)
        code = next_code(portal, person.start_setup()["setup_key"])
        acts = (
            partial(person.post, "/me/mfa/setup/confirm", {"code": code}),
            partial(administrator.post, f"/accounts/{name}/mfa/reset", {}),
            partial(other.post, "/me/mfa/setup", {}),
        )
        answers = at_once(len(acts), lambda number, acts=acts: acts[number]())  # type: ignore[misc]
        told |= {(each.status_code, each.json().get("reason", "")) for each in answers}
    assert not {each for each in told if each[0] >= 500}, told
