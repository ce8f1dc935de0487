"""Fifty at once with one code, one link, one set-up; and two hundred guesses while web processes die."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx
import pytest

from tests.delivery.steps import whole_log
from tests.directory import PASSWORD, address
from tests.faults.checker import EFFECTS
from tests.faults.deployment import quiet
from tests.faults.history import Operation
from tests.faults.load import Lost, User
from tests.faults.people import account_of
from tests.faults.report import LONG
from tests.faults.scenario import Scenario, Stage
from tests.phone import by_the_rfc

pytestmark = pytest.mark.timeout(400)
AT_ONCE = 50
ROUNDS = 3 if LONG else 1
"""No more: so many of one's own resets in an hour send a mail."""


def racers(stage: Stage, running: Scenario, count: int = AT_ONCE) -> list[User]:
    """Browsers of one person, who is nobody of the load."""
    running.rounds = ROUNDS
    people = [User(stage.deployment, account_of("tapir", "revoked"), 100 + number) for number in range(count)]
    for person in people:
        person.history = running.load.history
    return people


def at_once(people: list[User], kind: str, ask: Callable[[User], tuple[str, str, object]]) -> list[Operation]:
    """Let all ask in the same moment, and return what was noted of that."""
    together, before = Barrier(len(people)), len(people[0].history.operations)

    def one(person: User) -> None:
        method, path, body = ask(person)
        together.wait(60)
        try:
            person.ask(kind, method, path, body)
        except Lost:
            return

    with ThreadPoolExecutor(len(people)) as threads:
        list(threads.map(one, people))
    return [
        each
        for each in people[0].history.operations[before:]
        if each.kind == kind and each.account == people[0].account
    ]


def signed_in(person: User) -> httpx.Response:
    """Sign in as far as the password leads; too many at once are asked to come back."""
    for _ in range(100):
        try:
            person.browser.http.cookies.clear()
            person.ask("read", "GET", "/session")
            return person.ask("password", "POST", "/sign-in", {"email": address(person.account), "password": PASSWORD})
        except Lost:
            continue
    raise AssertionError("nobody is let in")


def next_code(person: User) -> str:
    """Wait for a code that was not given yet, for longer than one lasts; asking with none would only be bad input."""
    code = person._code() or person._code()
    assert code is not None
    return code


def effects(stage: Stage, asked: list[Operation]) -> int:
    """How many facts of their kind these operations led to. The log is read to its end: a reader stops before what others add."""
    ids, kind, watchword = {operation.id for operation in asked}, EFFECTS[asked[0].kind], stage.deployment.watchword
    last = watchword.store.last_position()
    quiet(lambda: whole_log(watchword)[-1].position >= last, 60, lambda: f"position {last} cannot be read")
    return sum(each.correlation_id in ids and isinstance(each.fact, kind) for each in whole_log(watchword))


def ended(people: list[User]) -> None:
    for person in people:
        person.browser.http.close()


def test_fifty_at_once_with_one_set_up_one_code_and_one_link_succeed_once_each(stage: Stage) -> None:
    with stage.under_load("50-way races: set-up, code, link", users=5) as running:
        people = racers(stage, running)
        for _ in range(running.rounds):
            _races(stage, people)
        ended(people)


def _races(stage: Stage, people: list[User]) -> None:
    """All share one browser's session, as fifty tabs of it would."""
    first = people[0]
    assert signed_in(first).json()["state"] in {"signed_in", "mfa_setup_required"}, "no authenticator yet"
    first.keys, first.used = [first.ask("start_setup", "POST", "/me/mfa/setup", {}).json()["setup_key"]], 0
    share(first, people)
    body = {"code": next_code(first)}
    one_won(stage, at_once(people, "confirm_setup", lambda _: ("POST", "/me/mfa/setup/confirm", body)))
    assert signed_in(first).json()["state"] == "mfa_code_required"
    share(first, people)
    body = {"code": next_code(first)}
    asked = at_once(people, "sign_in", lambda _: ("POST", "/sign-in/code", body))
    one_won(stage, asked)
    share(
        next(person for person in people if person.browser.http.get("/session").json()["state"] == "signed_in"), people
    )
    link = _mailed_link(stage, first)
    asked = at_once(people, "confirm_reset", lambda _: ("POST", f"/reset/{link[0]}/confirm", {"secret": link[1]}))
    one_won(stage, asked)


def share(first: User, people: list[User]) -> None:
    for person in people:
        if person is not first:
            person.browser.csrf = first.browser.csrf
            person.browser.http.cookies.clear()
            person.browser.http.cookies.update(first.browser.http.cookies)


def one_won(stage: Stage, asked: list[Operation]) -> None:
    """Hold that exactly one had its effect, and nobody else was told so."""
    answers = Counter((each.outcome, each.status, each.reason) for each in asked)
    assert effects(stage, asked) == 1, answers
    assert sum(each.outcome == "acknowledged" for each in asked) <= 1, answers


def _mailed_link(stage: Stage, first: User) -> tuple[str, str]:
    inbox, to = stage.deployment.inbox, address(first.account)
    before = inbox.link(to, "reset_requested")
    assert first.ask("ask_reset", "POST", "/me/mfa/reset", {"password": PASSWORD}).is_success
    quiet(lambda: inbox.link(to, "reset_requested") != before, 60, lambda: _words(stage, first))
    link = inbox.link(to, "reset_requested")
    assert link is not None
    return link


def _words(stage: Stage, first: User) -> str:
    facts = [
        f"{each.position} {each.fact.TOPIC}"
        for each in whole_log(stage.deployment.watchword)
        if first.account in each.stream
    ]
    return f"no mail: {facts[-8:]}, {stage.deployment.backlog()}, {first.history.operations[-1]}"


def test_guesses_are_counted_exactly_while_a_web_process_dies(stage: Stage) -> None:
    """Five wrong codes end a sign-in, ten in a row lock; the checker holds each answer to the facts."""
    with stage.under_load("parallel guesses, kill -9 web", users=20) as running:
        people = racers(stage, running, 20)
        first = people[0]
        for person in people:
            person.account = account_of("ocelot", "revoked")
        signed_in(first)
        key = first.ask("start_setup", "POST", "/me/mfa/setup", {}).json()["setup_key"]
        first.keys = [key]
        assert first.ask("confirm_setup", "POST", "/me/mfa/setup/confirm", {"code": next_code(first)}).is_success
        now = int(first.now())
        right = {by_the_rfc(key, now + 30 * step) for step in range(-3, 60)}
        wrong = next(code for code in (f"{number:06}" for number in range(300)) if code not in right)
        asked: list[Operation] = []
        for sign_in in range(3):
            if signed_in(first).is_success:
                share(first, people)
                if sign_in == 1:
                    running.kill("web-1")
                asked += at_once(people, "sign_in", lambda _: ("POST", "/sign-in/code", {"code": wrong}))
        assert 5 <= sum(each.reason == "code_not_accepted" for each in asked) <= 10
        running.recovered()
        ended(people)
