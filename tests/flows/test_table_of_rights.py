"""Who may do what: table 3 of the product, cell by cell, over HTTP; each "no" is refused, remembered, and changes nothing."""

import pytest

from tests.directory import address
from tests.flows.steps import enforce, enrolled, reason, signed_in
from tests.services import Portal

ADMINISTRATORS = ("owner", "super_admin", "admin")
READERS = ("support", "auditor")
WITH_POLICY = ("dist", "sub")


def attempts(portal: Portal, account: str) -> list[tuple[str, str]]:
    history = portal.watchword.store.history(f"attempts:account:{account}")
    return [(each.fact.action, each.fact.reason) for each in history]  # type: ignore[attr-defined]


def refused(portal: Portal, account: str, answer: object, action: str, why: str, status: int = 403) -> None:
    assert reason(answer) == (status, why)  # type: ignore[arg-type]
    assert attempts(portal, account)[-1] == (action, why)


@pytest.mark.parametrize("partner", ["dist", "sub", "resell"])
def test_the_policy(portal: Portal, partner: str) -> None:
    """F01 F20: administrators of distributors and sub-resellers change it, support and auditor read it, others neither."""
    before = portal.watchword.store.history(f"partner_policy:{partner}")
    for role in (*READERS, *ADMINISTRATORS):
        account = f"{partner}-{role}"
        browser = signed_in(portal, account)
        read, written = browser.get(f"/partners/{partner}/mfa-policy"), enforce(browser, partner)
        if partner not in WITH_POLICY:
            why = "role_not_allowed" if role in READERS else "partner_type_has_no_policy"
            refused(portal, account, written, "change_policy", why)
            assert reason(read) == (403, "partner_type_has_no_policy")
        else:
            assert read.status_code == 200
            if role in READERS:
                refused(portal, account, written, "change_policy", "role_not_allowed")
            else:
                assert written.status_code == 200
    end_user = signed_in(portal, f"{partner}-org-user")
    refused(portal, f"{partner}-org-user", enforce(end_user, partner), "change_policy", "role_not_allowed")
    assert reason(end_user.get(f"/partners/{partner}/mfa-policy")) == (403, "role_not_allowed")
    assert portal.watchword.store.history(f"partner_policy:{partner}") == before


@pytest.mark.parametrize("partner", ["dist", "resell"])
def test_user_management(portal: Portal, partner: str) -> None:
    """S11 S35: every role of the partner sees it, end users do not, and it holds the partner's people alone."""
    for role in (*ADMINISTRATORS, *READERS):
        answer = signed_in(portal, f"{partner}-{role}").get(f"/partners/{partner}/users", limit=200)
        assert answer.status_code == 200
        mine = {row["account_id"] for row in answer.json()["items"]}
        assert {account for account in mine if not account.startswith(("three", partner))} == set()
        assert f"{partner}-org-user" in mine
    end_user = signed_in(portal, f"{partner}-org-user")
    refused(portal, f"{partner}-org-user", end_user.get(f"/partners/{partner}/users"), "see_users", "role_not_allowed")


@pytest.mark.parametrize("partner", ["dist", "sub", "resell"])
@pytest.mark.parametrize("role", [*ADMINISTRATORS, *READERS, "end_user"])
def test_resetting_others(portal: Portal, partner: str, role: str) -> None:
    """S34 F19 D6: administrators, up to the own rank; support, auditor and end users nobody."""
    account = f"{partner}-org-user" if role == "end_user" else f"{partner}-{role}"
    actor = signed_in(portal, account)
    ranks = {"owner": 3, "super_admin": 2, "admin": 1}
    for target in ("owner", "super_admin", "admin", "support"):
        if target == role:
            continue
        answer = actor.post(f"/accounts/{partner}-{target}/mfa/reset", {})
        if role not in ranks:
            refused(portal, account, answer, "reset_user", "role_not_allowed")
        elif ranks.get(target, 0) > ranks[role]:
            refused(portal, account, answer, "reset_user", "outranks_you")
        else:
            assert answer.status_code == 200, (role, target, answer.text)
    if role in ranks:
        assert actor.post(f"/accounts/{partner}-org-user/mfa/reset", {}).status_code == 200


def test_nobody_reaches_into_another_tenant(portal: Portal) -> None:
    """F02 F03: not down to the own sub-reseller, not up, not sideways; an unknown id is answered the same."""
    _, key = enrolled(portal, "sub-admin")
    assert key
    for account in ("dist-owner", "dist2-owner", "resell-owner"):
        actor = signed_in(portal, account)
        for target in ("sub-admin", "sub-org-user", "no-such-account"):
            refused(
                portal, account, actor.post(f"/accounts/{target}/mfa/reset", {}), "reset_user", "another_tenant", 404
            )
            assert reason(actor.get(f"/accounts/{target}/mfa")) == (404, "another_tenant")
        for path in ("users", "mfa-policy", "summary"):
            for partner in ("sub", "no-such-partner"):
                assert reason(actor.get(f"/partners/{partner}/{path}")) == (404, "another_tenant")
    person = portal.browser()
    person_state = person.sign_in(address("sub-admin"), "correct horse battery staple")["state"]
    assert person_state == "mfa_code_required", "nothing has changed"


def test_only_a_change_of_role_gives_the_right_and_takes_it_at_once(portal: Portal) -> None:
    """F21."""
    from handlers.directory import AccountLine, take_accounts  # noqa: PLC0415

    s = portal.watchword.sockets

    def become(role: str) -> None:
        line = AccountLine.model_validate(
            {
                "id": "dist-support",
                "email": address("dist-support"),
                "name": "Dist Support",
                "partner": "dist",
                "role": role,
            }
        )
        from handlers.ports import Origin  # noqa: PLC0415

        take_accounts([line], {}, {}, Origin("operator", s.chance.new_id(), s.clock.now()), s)

    person = signed_in(portal, "dist-support")
    assert reason(person.post("/accounts/dist-org-user/mfa/reset", {})) == (403, "role_not_allowed")
    become("admin")
    assert reason(person.get("/me/mfa")) == (401, "session_ended"), "a changed role ends the sessions"
    person = signed_in(portal, "dist-support")
    assert person.post("/accounts/dist-org-user/mfa/reset", {}).status_code == 200
    become("support")
    person = signed_in(portal, "dist-support")
    assert reason(person.post("/accounts/dist-org-user/mfa/reset", {})) == (403, "role_not_allowed")
