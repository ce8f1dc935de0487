"""Tenants: ids, headers, trees, moves and shared addresses across the walls between partners."""

import json

from tests.attacks import walk
from tests.attacks.site import Site
from tests.attacks.steps import pending, reset_by, signed_in_by_code
from tests.directory import PASSWORD, address
from tests.flows.steps import enforce, enrolled, give_code, reason, signed_in
from tests.portal import Browser


def test_ten_01_the_ids_of_another_tenant_are_ids_of_nothing(site: Site) -> None:
    """Every route with an id in it, as an owner: what is foreign is answered like what does not exist."""
    mine = site.partner("owner", "support")
    theirs = site.partner("owner", "support")
    enrolled(site, f"{theirs}-support")
    owner = signed_in(site, f"{mine}-owner")
    before = {each: len(site.history(f"{theirs}-{each}")) for each in ("owner", "support")}

    for path, name, value in (
        ("users", "q", address(f"{theirs}-support")),
        ("users", "organization", f"{theirs}-org"),
        ("audit", "account", f"{theirs}-support"),
        ("audit", "actor", f"account:{theirs}-support"),
    ):
        answer = owner.get(f"/partners/{mine}/{path}", **{name: value})
        assert (answer.status_code, answer.json()["items"]) == (200, []), (path, name)

    def seen(browser: Browser, route: walk.Route, partner: str) -> tuple[int, str]:
        answer = walk.ask(browser, route.method, route.at(partner, f"{partner}-support"))
        body = answer.text.replace(partner, "ID").replace(browser.csrf, "")
        return answer.status_code, body

    walked = 0
    for route in walk.routes(site):
        if "{partner_id}" in route.path or "{account_id}" in route.path:
            foreign, nothing = seen(owner, route, theirs), seen(owner, route, "no-such")
            assert foreign == nothing, route.name
            assert foreign[0] in {404, 422}, route.name
            walked += 1
    assert walked > 10
    assert {each: len(site.history(f"{theirs}-{each}")) for each in before} == before


def test_ten_02_the_tenant_is_the_sessions_whatever_a_request_says(site: Site) -> None:
    mine, theirs = site.partner("owner"), site.partner("owner", "support")
    owner = signed_in(site, f"{mine}-owner")
    target = f"{theirs}-support"
    for name in ("X-Tenant-Id", "X-Tenant", "X-Partner-Id", "X-Zitadel-Orgid", "X-Organization-Id"):
        answer = owner.post(f"/accounts/{target}/mfa/reset", {}, **{name: theirs})
        assert reason(answer) == (404, "another_tenant")
        assert reason(owner.http.get(f"/partners/{theirs}/users", headers={name: theirs})) == (404, "another_tenant")
    for body in ({"tenant_id": theirs}, {"partner_id": theirs}, {"tenant": theirs}):
        assert reason(owner.post(f"/accounts/{target}/mfa/reset", body)) == (422, "bad_input")
    host = owner.http.get(f"/partners/{theirs}/users", headers={"Host": f"{theirs}.mfa.example"})
    assert reason(host) == (421, "unknown_host")
    assert site.topics(target) == []


def test_ten_03_a_distributor_has_no_hand_in_its_sub_resellers(site: Site) -> None:
    above = site.partner("owner")
    below = site.partner("owner", "support", "user", kind="sub_reseller", parent=above)
    _, key = enrolled(site, f"{below}-support")
    owner = signed_in(site, f"{above}-owner")
    assert reason(enforce(owner, below, users=True, organizations=True)) == (404, "another_tenant")
    for target in ("owner", "support", "user"):
        assert reason(reset_by(owner, f"{below}-{target}")) == (404, "another_tenant")
    for path in ("users", "mfa-policy", "summary", "audit"):
        assert reason(owner.get(f"/partners/{below}/{path}")) == (404, "another_tenant")
    assert enforce(owner, above, users=True, organizations=True).status_code == 200
    position = site.caught_up()
    shown = owner.get(f"/partners/{above}/users", limit=200, min_position=position).text
    assert below not in shown
    state = site.browser().sign_in(address(f"{below}-user"), PASSWORD)["state"]
    assert state == "signed_in", "what the distributor enforces does not reach below"
    assert give_code(site, pending(site, f"{below}-support"), key).status_code == 200


def test_ten_05_nothing_moves_to_another_tenant(site: Site) -> None:
    """Partners, organizations and accounts stay where they were registered; within a partner a move ends the sessions."""
    one = site.partner("owner", "user", "support")
    two = site.partner("owner")
    _, key = enrolled(site, f"{one}-support")
    person = signed_in_by_code(site, f"{one}-support", key)
    moves: list[object] = [
        {"organization": {"id": f"{one}-org", "name": "x", "partner": two}},
        {"partner": {"id": one, "name": "x", "type": "sub_reseller", "parent": two}},
        {"partner": {"id": one, "name": "x", "type": "sub_reseller", "parent": one}},
        site.account(f"{one}-support", partner=two, role="owner"),
    ]
    for move in moves:
        assert site.take(move) != []
    assert person.get("/me/mfa").status_code == 200
    line = site.account(f"{one}-support", organization=f"{one}-org", role="end_user")
    del line["account"]["password"]
    assert site.take(line) == []
    assert person.get("/me/mfa").status_code == 401
    assert reason(reset_by(signed_in(site, f"{two}-owner"), f"{one}-support")) == (404, "another_tenant")


def test_ten_07_an_address_in_another_tenant_shows_nowhere(site: Site) -> None:
    """Search, sums, log, export of the past: each with an account of the same address elsewhere."""
    mine, theirs = site.partner("owner"), site.partner("support", "user")
    owner = signed_in(site, f"{mine}-owner")
    shared = address(f"{theirs}-support")
    before = owner.get(f"/partners/{mine}/summary").json()["populations"]
    enrolled(site, f"{theirs}-support")
    position = site.caught_up()
    assert owner.get(f"/partners/{mine}/users", q=shared, min_position=position).json()["items"] == []
    assert owner.get(f"/partners/{mine}/summary", min_position=position).json()["populations"] == before
    for item in owner.get(f"/partners/{mine}/audit", limit=200, min_position=position).json()["items"]:
        assert theirs not in json.dumps(item)
    assert site.take(site.account(f"{mine}-new", email=shared, partner=mine, role="support")) == []
    position = site.caught_up()
    found = owner.get(f"/partners/{mine}/users", q=shared, min_position=position).json()["items"]
    assert [row["account_id"] for row in found] == [f"{mine}-new"]
    assert found[0]["mfa_status"] == "Inactive", "the same address elsewhere is active"


def test_ten_07_the_own_log_does_not_tell_which_foreign_ids_exist(site: Site) -> None:
    """What was asked in vain is kept, and reads the same whether the foreign id is somebody's or nobody's."""
    mine, theirs = site.partner("owner"), site.partner("support")
    owner = signed_in(site, f"{mine}-owner")
    kept = []
    for whose in (theirs, "nobody"):
        assert reason(reset_by(owner, f"{whose}-support")) == (404, "another_tenant")
        assert reason(owner.get(f"/partners/{whose}/users")) == (404, "another_tenant")
        position = site.caught_up()
        items = owner.get(
            f"/partners/{mine}/audit", topic="account.attempt_refused", limit=2, min_position=position
        ).json()["items"]
        kept.append([(item["what"], item["account_id"], item["data"]) for item in items])
        assert theirs not in json.dumps(items)
    assert kept[0] == kept[1]
