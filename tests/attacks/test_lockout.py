"""Locks as a weapon, as an oracle, and the secrets that are guessed where nobody looks: step-up and links."""

from tests.attacks.guessing import TOO_MANY, WRONG, password, spend, stranger
from tests.attacks.site import Site
from tests.attacks.steps import ask_reset, confirm_reset, ended, pending
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, give_code, link_in, reason, signed_in, wrong_code


def test_thr_08_an_outsider_keeps_nobody_out(site: Site) -> None:
    """A day of wrong passwords from everywhere: the own device always comes in, a new one by the mailed link."""
    account = f"{site.partner('support')}-support"
    own = signed_in(site, account)
    came_in = 0
    for hour in range(8):
        attackers = [stranger(site, ip=f"203.0.113.{hour * 2 + n}") for n in range(2)]
        for _ in range(6):
            for attacker in attackers:
                assert password(attacker, account, "guess") in {WRONG, TOO_MANY}
        came_in += own.sign_in(address(account), PASSWORD)["state"] == "signed_in"
        site.clock.advance(hours=3)
    assert came_in == 8
    new = stranger(site, ip="192.0.2.1")
    for number in range(12):
        password(stranger(site, ip=f"203.0.113.{100 + number}"), account, "guess")
    assert password(new, account, PASSWORD) == TOO_MANY
    link, secret = link_in([mail for mail in site.mails(account) if mail.kind == "locked"][-1])
    assert new.post(f"/unlock/{link}/confirm", {"secret": secret}).status_code == 200
    assert password(new, account, PASSWORD) == (200, "")


def test_thr_10_during_a_lock_right_and_wrong_are_answered_the_same(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    _, key = enrolled(site, account)
    spend(site, account, key)
    spend(site, account, key)
    waiting = pending(site, account)
    attacker = stranger(site)
    for _ in range(10):
        password(attacker, account, "guess")
    site.clock.advance(seconds=1)
    for path, wrong, right in (
        ("/sign-in/code", {"code": wrong_code(site, key)}, None),
        (
            "/sign-in",
            {"email": address(account), "password": "guess"},
            {"email": address(account), "password": PASSWORD},
        ),
    ):
        browser = waiting if path == "/sign-in/code" else attacker
        bodies = (wrong, right or {"code": wrong_code(site, key)})
        if path == "/sign-in/code":
            answers = [browser.post(path, wrong), give_code(site, browser, key)]
        else:
            answers = [browser.post(path, body) for body in bodies]
        assert [answer.status_code for answer in answers] == [429] * 2
        assert answers[0].json() == answers[1].json()
        assert answers[0].headers.keys() == answers[1].headers.keys()
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)


def test_thr_11_the_password_asked_again_is_counted_and_ends_a_stolen_session(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    thief, key = enrolled(site, account)
    thief.http.cookies.delete("__Host-watchword-device")
    doors = [("/session/step-up", {"code": wrong_code(site, key)}), ("/me/mfa/reset", {})]
    answers = []
    for number in range(12):
        path, more = doors[number % 2]
        answers.append(reason(thief.post(path, {"password": f"guess {number}", **more})))
    assert answers == [(401, "wrong_password")] * 10 + [(401, "session_ended")] * 2
    assert site.topics(account).count("verification_failed") == 0, "no code is judged beside a wrong password"
    assert password(stranger(site), account, PASSWORD) == TOO_MANY, "the count is that of the sign-in"


def test_thr_11_the_person_hears_of_a_thief_who_guesses_the_password(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    thief = signed_in(site, account)
    thief.http.cookies.delete("__Host-watchword-device")
    for number in range(10):
        thief.post("/session/step-up", {"password": f"guess {number}"})
    assert ended(thief) == [True]
    assert site.kinds(account) == ["locked"]


def test_thr_12_secrets_of_links_cannot_be_guessed(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    person, _ = enrolled(site, account)
    link, secret = ask_reset(site, person, account)
    assert len(secret) >= 43, "256 bits"
    attacker = stranger(site, ip="203.0.113.7")
    known, unknown = (
        attacker.post(f"/reset/{each}/confirm", {"secret": "A" * 43, "password": PASSWORD})
        for each in (link, "no-link")
    )
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    answers = [attacker.post("/reset/no-link/confirm", {"secret": f"guess-{n}"}).status_code for n in range(22)]
    assert answers == [410] * 18 + [429] * 4
    assert confirm_reset(person, (link, secret)).status_code == 200, "nobody else's way is shut"
