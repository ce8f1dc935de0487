"""What a login leads to: table 4 of the product, cell by cell, over HTTP."""

import pytest

from tests.directory import PASSWORD, address
from tests.flows.steps import Mailbox, enforce, enrolled, link_in, signed_in
from tests.services import Portal

STATE = {"dashboard": "signed_in", "code": "mfa_code_required", "set-up": "mfa_setup_required"}
ROWS = [
    # partner option, organization option, person, factor, result
    (False, False, "dist-support", "none", "dashboard"),
    (False, False, "dist-org-user", "none", "dashboard"),
    (False, False, "dist-support", "pending", "set-up"),
    (False, False, "dist-support", "active", "code"),
    (True, False, "dist-support", "active", "code"),
    (False, True, "dist-org-user", "active", "code"),
    (True, True, "dist-support", "active", "code"),
    (True, False, "dist-support", "none", "set-up"),
    (True, False, "dist-support", "pending", "set-up"),
    (True, False, "dist-org-user", "none", "dashboard"),
    (False, True, "dist-org-user", "none", "set-up"),
    (False, True, "dist-support", "none", "dashboard"),
    (False, False, "dist-support", "own reset", "dashboard"),
    (True, False, "dist-support", "own reset", "set-up"),
    (False, False, "dist-support", "administrator's reset", "set-up"),
    (True, True, "dist-org-user", "administrator's reset", "set-up"),
    (True, True, "sub-support", "none", "dashboard"),
    (True, True, "sub-org-user", "none", "dashboard"),
]


@pytest.mark.parametrize(("users", "organizations", "person", "factor", "result"), ROWS)
def test_a_login_leads(
    portal: Portal, *, users: bool, organizations: bool, person: str, factor: str, result: str
) -> None:
    """S16 S22 S23 S32 S33 S41 F02 F03 F04 F05."""
    admin = signed_in(portal, "dist-owner")
    if factor == "pending":
        signed_in(portal, person).post("/me/mfa/enable")
    if factor in {"active", "administrator's reset"}:
        enrolled(portal, person)
    if factor == "own reset":
        box, (browser, _) = Mailbox(), enrolled(portal, person)
        browser.post("/me/mfa/reset", {"password": PASSWORD})
        link, secret = link_in(next(mail for mail in box.deliver(portal) if mail.kind == "reset_requested"))
        assert browser.post(f"/reset/{link}/confirm", {"secret": secret}).status_code == 200
    if factor == "administrator's reset":
        assert admin.post(f"/accounts/{person}/mfa/reset", {}).status_code == 200
    assert enforce(admin, "dist", users=users, organizations=organizations).status_code == 200
    assert portal.browser().sign_in(address(person), PASSWORD)["state"] == STATE[result]
