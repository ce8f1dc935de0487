"""Guessing: one by one, all at once, around the counts, and against the person whom a lock keeps out."""

import itertools
from collections.abc import Callable
from datetime import timedelta

from tests.attacks.guessing import TOO_MANY, WRONG, guess, password, spend, stranger
from tests.attacks.site import Site, at_once
from tests.attacks.steps import ask_reset, confirm_reset, ended, pending, signed_in_by_code
from tests.directory import PASSWORD
from tests.flows.steps import enrolled, give_code, reason, signed_in, wrong_code

CHANCE_OF_ONE_GUESS = 3e-6
"""Three codes of a million are right at any time."""


def test_thr_01_a_hundred_wrong_codes_in_a_week_are_the_most_and_end_the_authenticator(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    account = f"{site.partner('support')}-support"
    person, key = enrolled(site, account)
    waits: list[float] = []
    link, browser = ("", ""), pending(site, account)
    for number in itertools.count():
        if number == 90:
            person = signed_in_by_code(site, account, key)
            link = ask_reset(site, person, account)
        browser = browser if number % 5 else pending(site, account)
        answer = guess(site, browser, key)
        if number % 5 != 4 and number < 99:
            continue
        last = site.history(account)[-1]
        if last.fact.TOPIC != "user_mfa.locked":
            continue
        until = last.fact.model_dump()["until"]
        if until is None:
            break
        assert answer == (401, "code_not_accepted")
        waits.append((until - last.at) / timedelta(minutes=30))
        if len(waits) == 1:
            assert reason(give_code(site, pending(site, account), key)) == (429, "codes_locked")
        for _ in range(2):  # the person goes on working meanwhile
            site.clock.advance(seconds=(until - last.at).total_seconds() / 2)
            person.get("/me/mfa")
    assert waits == [1, 2, 4, 8, 16, 32, 48, 48, 48, 1], "each lock lasts twice as long, a success begins afresh"
    evaluated = site.topics(account).count("verification_failed")
    assert evaluated == 101, "a hundred net of the one that a success gave back"
    record_property(
        "judged guesses", f"{evaluated}, one of them is right with a chance of {evaluated * CHANCE_OF_ONE_GUESS:.2%}"
    )
    assert site.kinds(account).count("locked") == len(waits) + 1
    assert ended(person) == [True]
    assert reason(give_code(site, pending(site, account), key)) == (403, "authenticator_dead")
    assert site.w.database.all("SELECT FROM secret WHERE account_id = %s", (account,)) == []
    assert confirm_reset(site.browser(), link).status_code == 410


def test_thr_02_two_hundred_codes_at_once_are_judged_exactly_as_often_as_allowed(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    _, key = enrolled(site, account)
    browsers, before, wrong = (
        [pending(site, account) for _ in range(10)],
        len(site.history(account)),
        wrong_code(site, key),
    )
    answers = at_once(200, lambda n: browsers[n % 10].post("/sign-in/code", {"code": wrong}).status_code)
    assert set(answers) <= {401, 403, 429, 503}
    topics = site.topics(account)[before:]
    assert (topics.count("verification_failed"), topics.count("locked")) == (10, 1)


def test_thr_02_passwords_at_once_from_many_addresses_share_the_count_of_their_account(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    browsers = [stranger(site, ip=f"198.51.100.{number}") for number in range(12)]
    answers = at_once(60, lambda n: password(browsers[n % 12], account, f"guess {n}"), threads=12)
    assert set(answers) <= {WRONG, TOO_MANY, (503, "unavailable")}
    assert answers.count(WRONG) <= 10 <= len(answers) - answers.count(TOO_MANY)
    assert password(browsers[0], account, PASSWORD) == TOO_MANY


def test_thr_02_a_links_secret_is_compared_five_times_at_most(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    person, _ = enrolled(site, account)
    link, secret = ask_reset(site, person, account)
    browsers = [stranger(site, ip=f"198.51.100.{number}") for number in range(12)]

    def work(number: int) -> int:
        return browsers[number % 12].post(f"/reset/{link}/confirm", {"secret": f"guess-{number}"}).status_code

    assert set(at_once(40, work, threads=12)) <= {410, 503}
    assert reason(confirm_reset(person, (link, secret))) == (410, "link_refused"), "it is spent"
    assert site.w.database.one("SELECT wrong FROM mailed_link WHERE link_id = %s", (link,)) == {"wrong": 5}


def test_thr_03_a_lock_outlives_the_refusal_that_brought_it_and_every_process(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    _, key = enrolled(site, account)
    spend(site, account, key)
    spend(site, account, key)
    site.restart()
    assert reason(give_code(site, pending(site, account), key)) == (429, "codes_locked")


def test_thr_04_a_success_elsewhere_clears_no_count(site: Site) -> None:
    partner = site.partner("support", "auditor")
    victim, own = f"{partner}-support", f"{partner}-auditor"
    _, key = enrolled(site, victim)
    for count in (4, 4, 2):
        browser = pending(site, victim)
        assert [guess(site, browser, key)[0] for _ in range(count)] == [401] * count
        signed_in(site, own)
    assert reason(give_code(site, pending(site, victim), key)) == (429, "codes_locked")
    attacker = stranger(site)
    refused = 0
    for number in range(36):  # the network's count: thirty wrong ones in five minutes
        refused += password(attacker, f"nobody{number}", "guess") == TOO_MANY
        if number % 9 == 8 and not refused:
            assert password(attacker, own, PASSWORD) == (200, "")
            attacker.sign_out()
    assert refused == 6


def test_thr_04_an_owner_who_signs_in_daily_gives_a_patient_guesser_two_a_day_at_most(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    _, key = enrolled(site, account)
    now = site.clock.now()
    site.clock.advance(seconds=86400 - now.timestamp() % 86400 + 5)  # all of it on one day
    browser = pending(site, account)
    for _ in range(4):
        guess(site, browser, key)
    for _ in range(4):
        signed_in_by_code(site, account, key)
    given = [each.fact.model_dump().get("gives_back") for each in site.history(account)[-4:]]
    assert given == [1, 1, 0, 0]


def test_thr_05_no_other_door_and_no_new_beginning_opens_a_second_count(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    person, key = enrolled(site, account)
    judged = 0
    for _ in range(3):  # three doors: sign-in, step-up, set-up; between them sign-outs, resets, new set-ups
        waiting = pending(site, account)
        judged += [guess(site, waiting, key) for _ in range(2)].count((401, "code_not_accepted"))
        waiting.sign_out()
        person.post("/me/mfa/reset", {"password": PASSWORD})
        wrong = {"password": PASSWORD, "code": wrong_code(site, key)}
        judged += reason(person.post("/session/step-up", wrong)) == (401, "code_not_accepted")
        started = person.post("/me/mfa/setup", {})
        if started.status_code == 200:
            answer = person.post("/me/mfa/setup/confirm", {"code": wrong_code(site, started.json()["setup_key"])})
            judged += reason(answer) == (401, "code_not_accepted")
    assert judged == site.topics(account).count("verification_failed") == 10
    assert reason(give_code(site, pending(site, account), key)) == (429, "codes_locked")
