"""Rights: lower roles, higher targets, oneself, many at once, and what was allowed a moment ago."""

import json

import pytest

from tests.attacks import walk
from tests.attacks.site import Site
from tests.attacks.steps import page, reset_by
from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, enrolled, link_in, reason, signed_in

ROLES = ("owner", "super_admin", "admin", "support", "auditor", "user")
RANK = {"owner": 3, "super_admin": 2, "admin": 1, "support": 0, "auditor": 0, "user": 0}
MAY = {
    "reset": {"owner", "super_admin", "admin"},
    "policy": {"owner", "super_admin", "admin"},
    "users": {"owner", "super_admin", "admin", "support", "auditor"},
    "audit": {"owner", "super_admin", "admin", "auditor"},
}
NOT_ALLOWED = (403, "role_not_allowed")


@pytest.mark.parametrize("role", ROLES)
def test_adm_01_each_role_does_what_the_table_says_and_no_header_helps(site: Site, role: str) -> None:
    partner = site.partner(*dict.fromkeys([*ROLES, "support2"]))
    browser = signed_in(site, f"{partner}-{role}")
    before = site.w.store.last_position()
    doors = {
        "reset": ("POST", f"/accounts/{partner}-support2/mfa/reset", {}),
        "policy": (
            "PUT",
            f"/partners/{partner}/mfa-policy",
            {"enforce_partner_users": False, "enforce_organizations": False},
        ),
        "users": ("GET", f"/partners/{partner}/users", None),
        "audit": ("GET", f"/partners/{partner}/audit", None),
    }
    for action, (method, path, body) in doors.items():
        if role in MAY[action]:
            answer = browser.get(path) if method == "GET" else browser.send(method, path, body)
            assert answer.status_code == 200, (role, action)
            continue
        answer = browser.get(path) if method == "GET" else browser.send(method, path, body)
        assert reason(answer) == NOT_ALLOWED, (role, action)
        if method != "GET":
            for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
                assert browser.http.get(path, headers={header: method}).status_code in {200, 403, 405}
                assert browser.post(f"{path}?_method={method}", body or {}, **{header: method}).status_code in {
                    403,
                    405,
                }
    new = [
        fact for fact in site.w.store.read(before, 1000) if fact.fact.TOPIC.startswith(("user_mfa", "partner_policy"))
    ]
    assert len(new) == (1 if role in MAY["reset"] else 0)


def test_adm_02_nobody_resets_upwards_and_no_role_is_taken(site: Site) -> None:
    partner = site.partner(*ROLES, "admin2", "owner2")
    for role in ("admin", "super_admin", "owner"):
        browser = signed_in(site, f"{partner}-{role}")
        for target in ("owner2", "super_admin", "admin2", "support", "user"):
            rank = RANK[target.rstrip("2")]
            if target == role:
                continue
            answer = reset_by(browser, f"{partner}-{target}")
            if rank > RANK[role]:
                assert reason(answer) == (403, "outranks_you"), (role, target)
            else:
                assert answer.status_code in {200, 429}
        kept = [fact.fact.model_dump()["reason"] for fact in site.history(f"account:{partner}-{role}", "attempts")]
        assert kept == ["outranks_you"] * {"owner": 0, "super_admin": 1, "admin": 2}[role], "what was denied is kept"
    for route in walk.routes(site):
        assert not (
            route.method in {"PUT", "PATCH", "POST"} and ("role" in route.path or route.path.endswith("{account_id}"))
        )


def test_adm_03_nobody_resets_the_own_factor_as_an_administrator(site: Site) -> None:
    """Nor from another account of the same address."""
    partner, other = site.partner("admin"), site.partner("owner")
    account = f"{partner}-admin"
    browser, _ = enrolled(site, account)
    assert reason(reset_by(browser, account)) == (403, "own_account")
    form = page(browser, "POST", f"/user-management/{account}/reset")
    assert form.status_code == 403
    site.take(site.account(f"{other}-admin", email=address(account), partner=other, role="owner"))
    alias = site.browser()
    alias.sign_in(address(account), PASSWORD, f"{other}-admin")
    assert reason(reset_by(alias, account)) == (404, "another_tenant")
    assert site.topics(account)[-1] == "verified"


def test_adm_06_who_resets_learns_neither_secret_nor_link(site: Site) -> None:
    partner = site.partner("owner", "support")
    account = f"{partner}-support"
    _, key = enrolled(site, account)
    owner = signed_in(site, f"{partner}-owner")
    answer = reset_by(owner, account)
    assert set(answer.json()) == {"position"}
    mail = site.mails(account)[-1]
    _, secret = link_in(mail)
    assert mail.to == address(account)
    assert all(secret not in other.text for other in site.mails(f"{partner}-owner"))
    site.caught_up()
    for route in walk.routes(site):
        if route.method == "GET":
            seen = walk.ask(owner, "GET", route.at(partner, account)).text
            assert secret not in seen, route.name
            assert key not in seen, route.name


def test_adm_07_there_is_no_way_to_reset_many_at_once(site: Site) -> None:
    """No route takes a list; a list, a wildcard or several ids in the place of one are refused."""
    partner, foreign = site.partner("owner", "support", "admin"), site.partner("support")
    owner, before = signed_in(site, f"{partner}-owner"), site.w.store.last_position()
    document = owner.get("/openapi.json").json()
    bodies = [
        operation["requestBody"]["content"]
        for methods in document["paths"].values()
        for operation in methods.values()
        if "requestBody" in operation
    ]
    taken = json.dumps(bodies)
    for name, schema in document["components"]["schemas"].items():
        if f'#/components/schemas/{name}"' in taken:
            assert '"array"' not in json.dumps(schema), name
    mine, theirs = f"{partner}-support", f"{foreign}-support"
    for ids in (
        f"{mine},{theirs}",
        f"{mine};{theirs}",
        "*",
        f"[{mine}]",
        f'["{mine}","{theirs}"]',
        f"{mine}%2F{theirs}",
    ):
        assert owner.post(f"/accounts/{ids}/mfa/reset", {}).status_code in {404, 405, 422}, ids
    body = {"account_ids": [mine, theirs], "ids": [theirs]}
    assert reason(owner.post(f"/accounts/{mine}/mfa/reset", body)) == (422, "bad_input")
    assert owner.post(f"/accounts/{mine}/mfa/reset", [{}]).status_code == 422
    assert site.w.store.last_position() == before


def test_adm_08_a_right_is_looked_up_anew_for_every_call(site: Site) -> None:
    partner = site.partner("owner", "admin", "support")
    account = f"{partner}-support"
    admin = signed_in(site, f"{partner}-admin")
    assert reset_by(admin, account).status_code == 200
    line = site.account(f"{partner}-admin", partner=partner, role="support")
    del line["account"]["password"]
    assert site.take(line) == []
    assert admin.get(f"/partners/{partner}/users").status_code == 401, "the session ended with the role"
    again = signed_in(site, f"{partner}-admin")
    for path in ("reset", "reset/mail"):
        assert reason(again.post(f"/accounts/{account}/mfa/{path}", {})) == NOT_ALLOWED
    assert reason(enforce(again, partner)) == NOT_ALLOWED
