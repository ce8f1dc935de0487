"""Accounts: the choice between several, wishes that are repeated, and actors that are made up."""

from tests.attacks.site import Site
from tests.attacks.steps import pending, reset_by
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, give_code, next_code, reason, set_up, signed_in, wrong_code


def test_acc_01_who_chooses_an_account_is_in_that_one_alone(site: Site) -> None:
    x, y = f"{site.partner()}-admin", f"{site.partner()}-admin"
    stranger = f"{site.partner('owner')}-owner"
    for account in (x, y):
        partner = account.removesuffix("-admin")
        assert site.take(site.account(account, email=address(x), partner=partner, role="admin")) == []
    browser = site.browser()
    browser.sign_in(address(x), PASSWORD, y)
    key = set_up(site, browser)
    chooser = site.browser()
    assert chooser.sign_in(address(x), PASSWORD)["state"] == "identified"
    for other in (stranger, "nobody", f"{x} "):
        answer = chooser.post("/sign-in/account", {"account_id": other})
        assert answer.status_code in {404, 422}
        assert chooser.session()["state"] == "identified"
    assert chooser.post("/sign-in/account", {"account_id": x}).json()["state"] == "signed_in"
    assert reason(chooser.post("/sign-in/account", {"account_id": y})) == (403, "signed_in")
    partner = y.removesuffix("-admin")
    assert reason(chooser.get(f"/partners/{partner}/users")) == (404, "another_tenant")
    assert reason(reset_by(chooser, y)) == (404, "another_tenant")
    assert chooser.sign_in(address(x), PASSWORD, y)["state"] == "mfa_code_required"
    assert give_code(site, chooser, key).json()["account"]["account_id"] == y


def test_acc_04_a_key_of_a_repeated_wish_is_bound_to_wish_and_session(site: Site) -> None:
    partner = site.partner("owner", "admin", "support", "auditor")
    owner, admin = signed_in(site, f"{partner}-owner"), signed_in(site, f"{partner}-admin")
    path = f"/accounts/{partner}-support/mfa/reset"
    first = owner.post(path, {}, Idempotency_Key="k")
    again = owner.post(path, {}, Idempotency_Key="k")
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert site.topics(f"{partner}-support").count("reset_confirmed") == 1
    assert reason(owner.post(path, {"reason": "x"}, Idempotency_Key="k")) == (422, "key_reused")
    other = owner.post(f"/accounts/{partner}-auditor/mfa/reset", {}, Idempotency_Key="k")
    assert other.json()["position"] != first.json()["position"], "another route is another wish"
    assert admin.post(path, {}, Idempotency_Key="k").json()["position"] > other.json()["position"]


def test_acc_04_no_answer_with_a_credential_is_given_twice(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    _, key = enrolled(site, account)
    browser = pending(site, account)
    code = {"code": next_code(site, key)}
    assert browser.post("/sign-in/code", code, Idempotency_Key="k").status_code == 200
    stolen = pending(site, account)
    answer = stolen.post("/sign-in/code", code, Idempotency_Key="k")
    assert reason(answer) == (401, "code_not_accepted")
    assert "set-cookie" not in answer.headers
    wrong = {"code": wrong_code(site, key)}
    before = site.topics(account).count("verification_failed")
    for _ in range(3):
        stolen.post("/sign-in/code", wrong, Idempotency_Key="w")
    assert site.topics(account).count("verification_failed") == before + 3


def test_log_03_nobody_writes_a_line_or_an_actor_of_their_own_into_the_log(site: Site) -> None:
    partner = site.partner("owner", "support")
    owner = signed_in(site, f"{partner}-owner")
    forged = '{"level": "info", "actor": "operator"}'
    written, before = site.log.stat().st_size, site.w.store.last_position()
    sent = {
        "X-Request-Id": f"x{forged}",
        "X-Actor": "operator",
        "User-Agent": forged * 200,
        "X-Forwarded-User": "operator",
    }
    for reset in ({"actor": "operator"}, {"reason": f"lost\r\n{forged}"}):
        assert owner.post(f"/accounts/{partner}-support/mfa/reset", reset, **sent).status_code == 422
    assert owner.post(f"/accounts/{partner}-support/mfa/reset", {"reason": forged}, **sent).status_code == 200
    fact = site.w.store.read(before, 10)[-1]
    assert (fact.actor, fact.correlation_id.isalnum()) == (f"account:{partner}-owner", True)
    site.caught_up()
    page = owner.get(f"/partners/{partner}/audit").json()["items"]
    assert page[-1]["actor"] == f"account:{partner}-owner" or page[0]["actor"] == f"account:{partner}-owner"
    assert forged.encode() not in site.log.read_bytes()[written:]
