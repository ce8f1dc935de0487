"""Codes: used twice, at once, elsewhere, in another spelling, too early, too late."""

import pytest

from tests.attacks.site import Site, at_once
from tests.attacks.steps import pending, signed_in_by_code
from tests.directory import PASSWORD, address
from tests.flows.steps import confirm, enrolled, next_code, reason, set_up
from tests.phone import code_at
from tests.portal import Browser

REFUSED = (401, "code_not_accepted")


def give(browser: Browser, code: object, **headers: str) -> tuple[int, str]:
    answer = browser.post("/sign-in/code", {"code": code}, **headers)
    return (200, "") if answer.status_code == 200 else reason(answer)


def next_step(site: Site) -> None:
    """Let the time be just after the beginning of the next time step."""
    site.clock.advance(seconds=30.2 - site.clock.now().timestamp() % 30)


def shown(site: Site, key: str, steps: int = 0) -> str:
    return code_at(key, site.clock.now().timestamp() + 30 * steps)


@pytest.fixture
def account(site: Site) -> str:
    return f"{site.partner('support')}-support"


def test_tot_01_a_code_is_accepted_once_and_none_before_it_any_more(site: Site, account: str) -> None:
    _, key = enrolled(site, account)
    next_step(site)
    next_step(site)
    code = shown(site, key)
    assert give(pending(site, account), code)[0] == 200
    again = pending(site, account)
    assert [give(again, code), give(again, shown(site, key, -1))] == [REFUSED] * 2
    failures = [fact for fact in site.history(account) if fact.fact.TOPIC == "user_mfa.verification_failed"]
    assert {fact.fact.model_dump()["reason"] for fact in failures} == {"replayed"}, "the log knows which"


def test_tot_01_a_code_stays_used_when_every_process_is_killed(site: Site, account: str) -> None:
    _, key = enrolled(site, account)
    next_step(site)
    code = shown(site, key)
    waiting = pending(site, account)
    assert give(pending(site, account), code)[0] == 200
    site.restart()
    assert give(waiting, code) == REFUSED


def test_tot_02_one_right_code_a_hundred_times_at_once_opens_one_session(site: Site, account: str) -> None:
    _, key = enrolled(site, account)
    next_step(site)
    browsers, before = [pending(site, account) for _ in range(20)], site.topics(account).count("verified")
    next_step(site)
    code = shown(site, key)
    answers = at_once(100, lambda n: browsers[n % 20].post("/sign-in/code", {"code": code}).status_code)
    assert answers.count(200) == 1
    assert set(answers) <= {200, 401, 403, 429, 503}
    assert site.topics(account).count("verified") == before + 1
    assert sum(browser.session()["state"] == "signed_in" for browser in browsers) == 1


def test_tot_03_a_code_is_used_up_for_every_purpose(site: Site, account: str) -> None:
    browser = site.browser()
    browser.sign_in(address(account), PASSWORD)
    next_step(site)
    key = browser.start_setup()["setup_key"]
    code = shown(site, key)
    assert browser.post("/me/mfa/setup/confirm", {"code": code}).status_code == 200
    assert give(pending(site, account), code) == REFUSED, "the set-up's code signs nobody in"
    assert reason(browser.post("/session/step-up", {"password": PASSWORD, "code": code})) == REFUSED
    other = signed_in_by_code(site, account, key)
    assert reason(other.post("/session/step-up", {"password": PASSWORD, "code": shown(site, key)})) == REFUSED


def test_tot_04_six_ascii_digits_are_the_one_spelling_of_a_code(site: Site, account: str) -> None:
    _, key = enrolled(site, account)
    next_step(site)
    code = shown(site, key)
    before, waiting = len(site.history(account)), pending(site, account)
    wide = "".join(chr(0xFF10 + int(digit)) for digit in code)
    bold = "".join(chr(0x1D7CE + int(digit)) for digit in code)
    arabic = "".join(chr(0x0660 + int(digit)) for digit in code)
    spellings: list[object] = [wide, bold, arabic, f"{code}\n", f"{code}\r\n", f"\t{code}", f"+{code}", f"{code}\x00"]
    spellings += [f"\u200b{code}", f"{code[:3]}\u200d{code[3:]}", f"{code}\u00a0", f"{code[:3]}\u2003{code[3:]}"]
    spellings += [
        int(code),
        [code],
        {"code": code},
        None,
        True,
        float(code),
        f"0{code}",
        code[:5],
        f"{code[:5]}x",
        "୧" * 6,
    ]
    for each in spellings:
        assert give(waiting, each) == (422, "bad_input"), each
    assert len(site.history(account)) == before, "nothing was evaluated"
    assert give(waiting, f"{code[:3]} {code[3:]}")[0] == 200
    assert give(pending(site, account), f"{code[:3]}-{code[3:]}") == REFUSED, "another spelling is no other code"


def test_tot_05_one_step_before_and_one_after_now_are_accepted_and_no_other(site: Site, account: str) -> None:
    _, key = enrolled(site, account)
    site.clock.advance(minutes=6)
    accepted = []
    for offset in (-10, -6, -3, -2, -1, 0, 1, 2, 3, 6, 10):
        waiting = pending(site, account)
        next_step(site)
        if give(waiting, shown(site, key, offset))[0] == 200:
            accepted.append(offset)
            site.clock.advance(seconds=60)  # so that the next code is none that was used
    assert accepted == [-1, 0, 1]


def test_tot_07_each_account_of_an_address_asks_for_its_own_code(site: Site) -> None:
    x, y = (f"{site.partner()}-admin" for _ in range(2))
    keys: dict[str, str] = {}
    for account in (x, y):
        partner = account.removesuffix("-admin")
        site.take(site.account(account, email=address(x), partner=partner, role="admin"))
    for account in (x, y):
        browser = site.browser()
        browser.sign_in(address(x), PASSWORD, account)
        keys[account] = set_up(site, browser)
    browser = site.browser()
    assert browser.sign_in(address(x), PASSWORD, x)["state"] == "mfa_code_required"
    next_step(site)
    assert give(browser, shown(site, keys[y])) == REFUSED
    code = shown(site, keys[x])
    assert give(browser, code)[0] == 200
    assert reason(browser.post("/sign-in/account", {"account_id": y})) == (403, "signed_in")
    assert browser.session()["account"]["account_id"] == x
    assert browser.sign_in(address(x), PASSWORD, y)["state"] == "mfa_code_required"
    assert give(browser, code) == REFUSED
    assert give(browser, shown(site, keys[y]))[0] == 200


def test_tot_08_an_attempt_that_was_refused_before_it_was_judged_uses_no_code_up(site: Site, account: str) -> None:
    _, key = enrolled(site, account)
    late = pending(site, account)
    site.clock.advance(minutes=6)
    next_step(site)
    code, before = shown(site, key), len(site.history(account))
    assert give(late, code) == (401, "session_ended")
    waiting = pending(site, account)
    assert give(waiting, code, X_CSRF_Token="x") == (403, "cross_site")
    assert give(waiting, code, Origin="https://evil.example") == (403, "cross_site")
    assert give(waiting, code, Sec_Fetch_Site="cross-site") == (403, "cross_site")
    assert len(site.history(account)) == before
    assert give(waiting, code)[0] == 200


def test_tot_08_a_set_up_code_is_used_up_only_with_the_set_up(site: Site, account: str) -> None:
    browser = site.browser()
    browser.sign_in(address(account), PASSWORD)
    key = browser.start_setup()["setup_key"]
    code = next_code(site, key)
    assert reason(browser.post("/me/mfa/setup/confirm", {"code": code}, X_CSRF_Token="x")) == (403, "cross_site")
    assert browser.post("/me/mfa/setup/confirm", {"code": code}).status_code == 200
    assert reason(confirm(site, browser, key)) == (409, "no_setup")
