"""Who sees and does what on the pages, and that nothing of another tenant is there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from handlers import directory
from handlers.ports import Origin
from tests.directory import PASSWORD, address
from tests.flows.pages import entries, look, submit
from tests.flows.steps import Mailbox, enforce, enrolled, link_in, signed_in
from tests.portal import Browser
from tests.services import Portal


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Checkpoints in a folder of the test's own: each database is another log."""
    return replace(settings, ledger_dir=tmp_path / "ledger")


# ── Who sees and does what ──


@pytest.mark.parametrize(
    ("who", "users", "audit", "reset", "policy"),
    [
        ("dist-owner", 200, 200, 303, 303),
        ("dist-admin", 200, 200, 303, 303),
        ("dist-support", 200, 403, 403, 403),
        ("dist-auditor", 200, 200, 403, 403),
        ("dist-org-user", 403, 403, 403, 403),
        ("resell-owner", 200, 200, 404, 403),
        ("sub-owner", 200, 200, 404, 303),
    ],
)
def test_each_role_on_the_pages(portal: Portal, who: str, users: int, audit: int, reset: int, policy: int) -> None:
    """ADM-01, TEN-03, table 3: what is not allowed is not offered, and refused when it is asked for all the same."""
    browser = signed_in(portal, who)
    list_page = look(portal, browser, "/user-management")
    assert list_page.status_code == users
    assert ("Actions for" in list_page.text) == (users == 200 and "support" not in who and "auditor" not in who)
    assert look(portal, browser, "/audit").status_code == audit
    assert look(portal, browser, "/audit/certificate?from=0").status_code == audit
    assert submit(portal, browser, "/user-management/dist-admin2/reset").status_code == reset
    assert submit(portal, browser, "/user-management/dist-admin2/reset-mail").status_code in {reset, 429, 409}
    wanted = {"enforce_partner_users": "off", "enforce_organizations": "on", "sign_everyone_out": "off", "version": "0"}
    assert submit(portal, browser, "/security-settings/policy", **wanted).status_code == policy
    dialog = look(portal, browser, "/user-management?ask=reset&account=dist-admin2")
    assert ("Yes, Continue" in dialog.text) == (reset == 303)
    history = portal.watchword.store.history("user_mfa:dist-admin2")
    assert bool(history) == (reset == 303)


@pytest.mark.parametrize("target", ["dist-owner", "dist-admin"])
def test_a_reset_that_is_not_allowed_is_not_offered_by_its_address_either(portal: Portal, target: str) -> None:
    """ADM-02, ADM-03, table 3: the dialog for a higher rank, and for oneself."""
    admin = signed_in(portal, "dist-admin")
    dialog = look(portal, admin, f"/user-management?ask=reset&account={target}")
    assert submit(portal, admin, f"/user-management/{target}/reset").status_code == 403
    assert "Yes, Continue" not in dialog.text


def test_all_that_an_auditor_looks_at_is_recorded_on_the_pages_too(portal: Portal) -> None:
    """Product, section 1: an auditor reads everything, and its reads are recorded."""
    auditor, owner = signed_in(portal, "dist-auditor"), signed_in(portal, "dist-owner")
    seen: list[set[str]] = []
    for path in ("/", "/security-settings"):
        assert look(portal, auditor, path).status_code == 200
        found = entries(owner, portal, topic="audit.read", actor="account:dist-auditor")
        seen.append({each["data"]["what"] for each in found})
    assert seen == [{"see_users"}, {"see_users", "see_policy"}]


# ── Nothing of another tenant ──


def test_what_was_asked_in_vain_does_not_tell_whether_it_is_there(portal: Portal) -> None:
    """TEN-01, TEN-07: the answer is the same 404, and so is what the asker's own history and log keep of it."""
    asker = signed_in(portal, "dist2-owner")

    def kept() -> list[Any]:
        items = asker.get("/me/history").json()["items"]
        return [each["data"] for each in items if each["topic"] == "account.attempt_refused"]

    for path in ("/user-management/{}/reset", "/user-management/{}/reset-mail"):
        for account in ("dist-support", "no-such-account"):
            assert submit(portal, asker, path.format(account)).status_code == 404
    for path in ("/accounts/{}/mfa", "/partners/{}/users"):
        for each in ("dist-support", "no-such-account") if "accounts" in path else ("dist", "no-such-partner"):
            assert asker.get(path.format(each)).status_code == 404
    found = kept()
    assert len(found) == 8
    for newer, older in zip(found[::2], found[1::2], strict=True):
        assert newer == older
    assert "dist-support" not in look(portal, asker, "/audit").text


def reset_from_another_account(portal: Portal) -> Browser:
    """Let a person with accounts at two partners confirm a reset at the one while signed in at the other."""
    box, owner = Mailbox(), signed_in(portal, "dist-owner")
    person, _ = enrolled(portal, "three-dist")
    enforce(owner, "dist", users=True)
    portal.clock.advance(minutes=1)
    person.post("/me/mfa/reset", {"password": PASSWORD})
    link, secret = link_in(next(mail for mail in box.deliver(portal) if mail.kind == "reset_requested"))
    elsewhere = signed_in(portal, "three-resell")
    answer = submit(portal, elsewhere, f"/reset/{link}", secret=secret, password=PASSWORD)
    assert answer.headers["location"] == "/sign-in"
    portal.clock.advance(minutes=1)
    return owner


def test_a_certificate_names_nobody_of_another_tenant(portal: Portal) -> None:
    """TEN-07, I10: who confirmed a reset while signed in elsewhere is no name for a signed file."""
    owner = reset_from_another_account(portal)
    answer = owner.get("/partners/dist/certificate", **{"from": "0"})
    assert answer.status_code == 200, answer.text
    assert '"cause":"reset"' in answer.text
    assert "Three Resell" not in answer.text
    assert "three-resell" not in answer.text
    assert "Three Resell" not in look(portal, owner, "/audit/certificate?from=0").text


def test_a_reset_by_password_and_link_is_the_accounts_own_wherever_the_browser_is_signed_in(portal: Portal) -> None:
    """TEN-07, I10: the log of one tenant names no account of another, and no administrator is said to have done it."""
    owner = reset_from_another_account(portal)
    assert "three-resell" not in json.dumps(entries(owner, portal))
    person = portal.browser()
    person.sign_in(address("three-dist"), PASSWORD, "three-dist")
    confirmed = portal.watchword.store.history("user_mfa:three-dist")[-1]
    assert confirmed.actor in {"account:three-dist", "anonymous"}


def test_wrong_passwords_for_another_tenant_leave_no_account_in_its_log(portal: Portal) -> None:
    """TEN-07, I10: who signs in is nobody yet, whoever the browser was before."""
    stranger, owner = signed_in(portal, "dist2-owner"), signed_in(portal, "dist-owner")
    for _ in range(10):
        submit(portal, stranger, "/sign-in", email=address("dist-support"), password="not it")
    (locked,) = entries(owner, portal, topic="account.sign_in_locked")
    assert locked["actor"] == "anonymous"


def test_the_past_shows_no_name_that_was_erased(portal: Portal) -> None:
    """Views of the past take names of today."""
    owner, w = signed_in(portal, "dist-owner"), portal.watchword
    enforce(owner, "dist", users=True)
    before = w.store.last_position()
    origin = Origin(actor="operator", command_id=w.sockets.chance.new_id(), at=portal.clock.now())
    directory.erase("dist-support", origin, w.sockets)
    entries(owner, portal)
    for path in (f"/user-management?as_of={before}", "/audit", f"/audit/certificate?from=0&to={before}", "/"):
        shown = look(portal, owner, path)
        assert shown.status_code == 200, path
        assert "Dist Support" not in shown.text, path
        assert address("dist-support") not in shown.text, path
