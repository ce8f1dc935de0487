"""Wrong passwords and codes: counted exactly, over processes, and never a way in."""

from concurrent.futures import ThreadPoolExecutor

from handlers.directory import set_password
from handlers.ports import Origin
from tests.directory import PASSWORD, address
from tests.flows.steps import Mailbox, confirm, enrolled, give_code, link_in, next_code, reason, signed_in, wrong_code
from tests.portal import Browser
from tests.services import Portal


def pending(portal: Portal, account: str) -> Browser:
    browser = portal.browser()
    assert browser.sign_in(address(account), PASSWORD, account)["state"] == "mfa_code_required"
    return browser


def test_five_wrong_codes_end_the_sign_in_and_ten_lock_the_authenticator(portal: Portal) -> None:
    """F15 F16: whatever is entered, the answer is the same, and it points to administrator and support."""
    _, key = enrolled(portal, "dist-support")
    box = Mailbox()
    box.deliver(portal)
    for _ in range(2):
        browser = pending(portal, "dist-support")
        answers = [browser.post("/sign-in/code", {"code": wrong_code(portal, key)}) for _ in range(5)]
        assert [reason(answer) for answer in answers] == [(401, "code_not_accepted")] * 5
        assert "administrator" in answers[0].json()["detail"]
        assert [answer.json()["challenge_ended"] for answer in answers] == [False] * 4 + [True]
        assert browser.session()["state"] == "anonymous"
    browser = pending(portal, "dist-support")
    for code in (wrong_code(portal, key), next_code(portal, key)):
        locked = browser.post("/sign-in/code", {"code": code})
        assert reason(locked) == (429, "codes_locked"), "right and wrong are answered the same"
        assert 0 < int(locked.headers["Retry-After"]) <= 1800
    assert [mail.kind for mail in box.deliver(portal)] == ["locked"]
    portal.clock.advance(minutes=31)
    assert give_code(portal, pending(portal, "dist-support"), key).status_code == 200


def test_locks_double_and_a_reset_by_the_administrator_ends_them(portal: Portal) -> None:
    """F16 F17."""
    _, key = enrolled(portal, "dist-support")
    for minutes in (31, 59):
        for _ in range(2):
            browser = pending(portal, "dist-support")
            for _ in range(5):
                browser.post("/sign-in/code", {"code": wrong_code(portal, key)})
        portal.clock.advance(minutes=minutes)
    assert reason(give_code(portal, pending(portal, "dist-support"), key)) == (429, "codes_locked")
    signed_in(portal, "dist-admin").post("/accounts/dist-support/mfa/reset", {})
    person = portal.browser()
    assert person.sign_in(address("dist-support"), PASSWORD)["state"] == "mfa_setup_required"


def test_two_hundred_guesses_at_once_are_counted_one_by_one(portal: Portal) -> None:
    _, key = enrolled(portal, "dist-support")
    browsers = [pending(portal, "dist-support") for _ in range(10)]
    wrong = wrong_code(portal, key)
    before = len(portal.watchword.store.history("user_mfa:dist-support"))
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda n: browsers[n % 10].post("/sign-in/code", {"code": wrong}).status_code, range(200))
        )
    assert set(answers) <= {401, 403, 429, 503}
    facts = [each.fact.TOPIC for each in portal.watchword.store.history("user_mfa:dist-support")[before:]]
    assert facts.count("user_mfa.verification_failed") == 10
    assert facts.count("user_mfa.locked") == 1


def test_one_right_code_given_at_once_by_many_opens_one_session(portal: Portal) -> None:
    _, key = enrolled(portal, "dist-support")
    browsers = [pending(portal, "dist-support") for _ in range(8)]
    code = next_code(portal, key)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda browser: browser.post("/sign-in/code", {"code": code}), browsers))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    assert sum(browser.session()["state"] == "signed_in" for browser in browsers) == 1


def test_a_code_is_accepted_once_over_all_purposes(portal: Portal) -> None:
    browser, key = enrolled(portal, "dist-support")
    other = pending(portal, "dist-support")
    code = next_code(portal, key)
    assert other.post("/sign-in/code", {"code": code}).status_code == 200
    again = pending(portal, "dist-support")
    assert reason(again.post("/sign-in/code", {"code": code})) == (401, "code_not_accepted")
    answer = browser.post("/session/step-up", {"password": PASSWORD, "code": code})
    assert reason(answer) == (401, "code_not_accepted")


def test_wrong_codes_of_a_set_up_are_counted_over_all_its_beginnings(portal: Portal) -> None:
    person = signed_in(portal, "dist-support")
    evaluated = 0
    for _ in range(4):
        if person.session()["state"] == "anonymous":
            person.sign_in(address("dist-support"), PASSWORD)
        started = person.post("/me/mfa/setup", {})
        if started.status_code != 200:
            assert reason(started) == (429, "codes_locked")
            break
        for _ in range(4):
            answer = person.post("/me/mfa/setup/confirm", {"code": wrong_code(portal, started.json()["setup_key"])})
            evaluated += reason(answer) == (401, "code_not_accepted")
    assert evaluated == 10


def test_a_set_up_belongs_to_its_sign_in_and_lasts_ten_minutes(portal: Portal) -> None:
    mine, other = signed_in(portal, "dist-support"), signed_in(portal, "dist-support")
    key = mine.start_setup()["setup_key"]
    assert reason(confirm(portal, other, key)) == (409, "no_setup")
    second = mine.start_setup()["setup_key"]
    assert reason(confirm(portal, mine, key)) == (401, "code_not_accepted"), "the newest key alone"
    portal.clock.advance(minutes=11)
    assert reason(confirm(portal, mine, second)) == (409, "setup_expired")


def test_wrong_passwords_lock_out_strangers_but_not_the_persons_own_device(portal: Portal) -> None:
    """The person hears of it once, and the mailed link opens sign-in at once."""
    person = signed_in(portal, "dist-support")
    stranger, box = portal.browser(), Mailbox()
    stranger.session()
    box.deliver(portal)
    body = {"email": address("dist-support"), "password": "not it"}
    answers = [reason(stranger.post("/sign-in", body)) for _ in range(12)]
    assert answers == [(401, "wrong_credentials")] * 10 + [(429, "too_many_tries")] * 2
    right = body | {"password": PASSWORD}
    assert reason(stranger.post("/sign-in", right)) == (429, "too_many_tries"), "right and wrong are answered the same"
    assert person.sign_in(address("dist-support"), PASSWORD)["state"] == "signed_in", "the own device is another count"
    mails = box.deliver(portal)
    assert [mail.kind for mail in mails] == ["locked"]
    link, secret = link_in(mails[0])
    assert stranger.post(f"/unlock/{link}/confirm", {"secret": secret}).status_code == 200
    assert stranger.post("/sign-in", right).status_code == 200


def test_an_unknown_address_is_answered_like_a_known_one(portal: Portal) -> None:
    stranger = portal.browser()
    stranger.session()
    for account in ("nobody@mail.example", address("dist-admin")):
        answers = [stranger.post("/sign-in", {"email": account, "password": "x"}) for _ in range(11)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]
        assert answers[0].json() | {"detail": ""} == answers[1].json() | {"detail": ""}


def test_an_idempotency_key_makes_no_guess_free(portal: Portal) -> None:
    """Each wrong code is counted, whatever key it is sent under, and a right one is never answered twice."""
    _, key = enrolled(portal, "dist-support")
    browser = pending(portal, "dist-support")
    before = len(portal.watchword.store.history("user_mfa:dist-support"))
    wrong = {"code": wrong_code(portal, key)}
    answers = [browser.post("/sign-in/code", wrong, Idempotency_Key="same") for _ in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 8
    assert len(portal.watchword.store.history("user_mfa:dist-support")) == before + 5
    assert browser.session()["state"] == "anonymous"


def test_an_account_of_the_same_address_elsewhere_clears_no_count(portal: Portal) -> None:
    """Somebody who owns an account with the victim's address at another partner gains no guess by signing in there."""
    s = portal.watchword.sockets
    origin = Origin("operator", s.chance.new_id(), s.clock.now())
    set_password("three-resell", "the attacker's own password", origin, s)
    stranger = portal.browser()
    evaluated = 0
    for _ in range(4):
        stranger.session()
        for _ in range(4):
            guess = stranger.post("/sign-in", {"email": address("three-dist"), "password": "guess"})
            evaluated += guess.status_code == 401
        own = stranger.post("/sign-in", {"email": address("three-dist"), "password": "the attacker's own password"})
        if own.status_code == 200:
            stranger.sign_out()
    assert evaluated == 10


def test_a_choice_ends_with_the_password_that_was_proved(portal: Portal) -> None:
    browser, s = portal.browser(), portal.watchword.sockets
    assert browser.sign_in(address("three-dist"), PASSWORD)["state"] == "identified"
    set_password("three-dist", "quite another password", Origin("operator", s.chance.new_id(), s.clock.now()), s)
    assert reason(browser.post("/sign-in/account", {"account_id": "three-dist"})) == (404, "no_such_choice")
    assert browser.post("/sign-in/account", {"account_id": "three-org"}).status_code == 200
