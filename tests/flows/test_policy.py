"""What a partner demands, of whom, and from when on."""

import pytest

from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, enrolled, give_code, reason, signed_in, step_up
from tests.services import Portal


@pytest.mark.parametrize("users", [False, True])
@pytest.mark.parametrize("organizations", [False, True])
def test_two_separate_options_and_each_touches_its_own_population(
    portal: Portal, *, users: bool, organizations: bool
) -> None:
    """S09 S10 S11 S12 S13 S15."""
    owner = signed_in(portal, "dist-owner")
    answer = enforce(owner, "dist", users=users, organizations=organizations)
    assert answer.status_code == 200
    read = owner.get("/partners/dist/mfa-policy", min_position=answer.json()["position"]).json()
    assert (read["enforce_partner_users"], read["enforce_organizations"]) == (users, organizations)
    assert read["version"] == users + organizations
    if users:
        assert read["changed_by"] == "account:dist-owner"
    listed = owner.get("/partners/dist/users", min_position=answer.json()["position"], limit=200).json()["items"]
    assert {row["required"] for row in listed if row["portal"] == "partner"} == {users}
    assert {row["required"] for row in listed if row["portal"] == "end_user"} == {organizations}
    expected = {True: "mfa_setup_required", False: "signed_in"}
    for account in ("dist-owner", "dist-super_admin", "dist-admin", "dist-support", "dist-auditor"):
        assert portal.browser().sign_in(address(account), PASSWORD)["state"] == expected[users], account
    assert portal.browser().sign_in(address("dist-org-user"), PASSWORD)["state"] == expected[organizations]


def test_a_distributor_demands_nothing_of_its_sub_resellers(portal: Portal) -> None:
    """F02 F03: neither of their partner users nor of their end users."""
    owner = signed_in(portal, "dist-owner")
    assert enforce(owner, "dist", users=True, organizations=True).status_code == 200
    assert reason(enforce(owner, "sub", users=True)) == (404, "another_tenant")
    assert reason(enforce(owner, "sub", organizations=True)) == (404, "another_tenant")
    for account in ("sub-owner", "sub-admin", "sub-org-user"):
        assert portal.browser().sign_in(address(account), PASSWORD)["state"] == "signed_in", account


def test_enforcement_is_switched_off_and_on_again_at_will(portal: Portal) -> None:
    """F07 D9: active accounts stay active and may switch off; who had not set up is free again."""
    owner, key = enrolled(portal, "dist-owner")
    for users in (True, False, True, False):
        assert enforce(owner, "dist", users=users).status_code == 200
        state = portal.browser().sign_in(address("dist-admin"), PASSWORD)["state"]
        assert state == ("mfa_setup_required" if users else "signed_in")
    again = portal.browser()
    assert again.sign_in(address("dist-owner"), PASSWORD)["state"] == "mfa_code_required"
    assert give_code(portal, again, key).status_code == 200
    assert again.post("/me/mfa/disable").json()["factor"] == "none"


def test_where_enforced_nobody_switches_off_and_nobody_gets_in_without(portal: Portal) -> None:
    """F05 F06 F08 F10: the control is said to be inactive, the call is refused and remembered, and nothing has changed."""
    owner, _ = enrolled(portal, "dist-owner")
    enforce(owner, "dist", users=True)
    mine = owner.get("/me/mfa").json()
    assert (mine["can_switch_off"], mine["required"], mine["required_by"]) == (False, True, "dist")
    assert mine["why"] == "enforced_for_partner_users"
    assert reason(owner.post("/me/mfa/disable")) == (403, "enforced_by_partner")
    assert owner.get("/me/mfa").json()["mfa_status"] == "Active"
    refused = [item for item in owner.get("/me/history").json()["items"] if item["topic"] == "account.attempt_refused"]
    assert [(item["data"]["action"], item["data"]["reason"]) for item in refused] == [
        ("switch_off", "enforced_by_partner")
    ]


def test_running_sessions_stay_unless_everyone_is_signed_out(portal: Portal) -> None:
    """D8 S15: enforcement works from the next login on; signing everyone out ends the population's sessions at once."""
    owner, support, end_user = (signed_in(portal, name) for name in ("dist-owner", "dist-support", "dist-org-user"))
    enforce(owner, "dist", users=True)
    assert support.get("/me/mfa").status_code == 200
    body = {"enforce_partner_users": True, "enforce_organizations": False, "sign_everyone_out": True}
    assert owner.put("/partners/dist/mfa-policy", body).status_code == 200
    assert reason(support.get("/me/mfa")) == (401, "session_ended")
    assert end_user.get("/me/mfa").status_code == 200
    assert reason(owner.get("/me/mfa")) == (401, "session_ended"), "it binds who switched it on, too"


def test_two_administrators_do_not_overwrite_each_other(portal: Portal) -> None:
    owner, admin = signed_in(portal, "dist-owner"), signed_in(portal, "dist-admin")
    seen = owner.get("/partners/dist/mfa-policy").headers["ETag"]
    body = {"enforce_partner_users": False, "enforce_organizations": True}
    assert admin.put("/partners/dist/mfa-policy", body, If_Match=seen).status_code == 200
    late = owner.put("/partners/dist/mfa-policy", body | {"enforce_organizations": False}, If_Match=seen)
    assert reason(late) == (412, "policy_changed_meanwhile")
    assert owner.get("/partners/dist/mfa-policy", min_position=portal.watchword.store.last_position()).json()[
        "enforce_organizations"
    ]


def test_a_change_asks_for_the_password_again_after_a_while(portal: Portal) -> None:
    """D15."""
    owner = signed_in(portal, "dist-owner")
    portal.clock.advance(minutes=14)
    assert enforce(owner, "dist", organizations=True).status_code == 200
    portal.clock.advance(minutes=2)
    assert reason(enforce(owner, "dist", organizations=False)) == (403, "step_up_required")
    assert reason(owner.post("/session/step-up", {"password": "not it"})) == (401, "wrong_password")
    step_up(portal, owner)
    assert enforce(owner, "dist", organizations=False).status_code == 200
    portal.clock.advance(minutes=6)
    assert reason(enforce(owner, "dist", organizations=True)) == (403, "step_up_required")
