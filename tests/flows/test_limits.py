"""Whoever is refused by a limit is told when to come again, and is let in then; what a mail or a refusal says is true."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from handlers.limits import RESET_BY_ACTOR, RESET_OF_TARGET
from tests.directory import PASSWORD, address
from tests.flows.steps import Mailbox, enforce, enrolled, next_code, reason, signed_in
from tests.portal import Browser
from tests.services import Portal


def program(portal: Portal, partner: str) -> Browser:
    token = portal.watchword.tokens.create(f"program-{partner.replace('*', 'all')}", ["read", "write"], partner)
    return portal.browser(headers={"Authorization": f"Bearer {token}"})


def refused(answer: httpx.Response) -> int:
    """Return in how many seconds the refused one may come again."""
    assert reason(answer) == (429, "too_many_tries"), answer.text
    return int(answer.headers["Retry-After"])


def reset(browser: Browser, account: str) -> httpx.Response:
    return browser.post(f"/accounts/{account}/mfa/reset", {})


def test_x100_a_client_that_waits_as_it_is_told_is_let_in(portal: Portal) -> None:
    browser = program(portal, "dist")
    for _ in range(RESET_OF_TARGET.tries):
        assert reset(browser, "dist-support").status_code == 200
        portal.clock.advance(minutes=7)
    answer = reset(browser, "dist-support")
    seconds = refused(answer)
    assert seconds > 30 * 60
    assert answer.headers["RateLimit-Policy"] == '"reset_of_target";q=3;w=3600'
    assert answer.headers["RateLimit"] == f'"reset_of_target";r=0;t={seconds}'
    portal.clock.advance(seconds=seconds - 5)
    assert refused(reset(browser, "dist-support")) <= 6
    portal.clock.advance(seconds=6)
    assert reset(browser, "dist-support").status_code == 200


def test_x100_a_program_for_all_partners_has_the_count_of_each_partner(portal: Portal) -> None:
    browser, people = program(portal, "*"), ["dist-support", "dist-admin", "dist-admin2", "dist-auditor", "dist-owner"]
    done = [reset(browser, people[number % 5]).status_code for number in range(15)]
    people += ["dist-org-user", "dist-super_admin"]
    done += [reset(browser, people[5 + number % 2]).status_code for number in range(5)]
    assert done == [200] * RESET_BY_ACTOR.tries
    answer = reset(browser, "dist-super_admin")
    assert refused(answer) > 50 * 60
    assert "reset_by_actor" in answer.headers["RateLimit-Policy"]
    assert reset(browser, "dist2-support").status_code == 200


def wrong_password(portal: Portal) -> Callable[[], httpx.Response]:
    browser = portal.browser()
    browser.session()
    return lambda: browser.post("/sign-in", {"email": address("dist-support"), "password": "not it"})


def wrong_link(portal: Portal) -> Callable[[], httpx.Response]:
    browser = portal.browser()
    browser.session()
    return lambda: browser.post("/reset/none/confirm", {"secret": "x" * 43, "password": PASSWORD})


def new_keys(portal: Portal) -> Callable[[], httpx.Response]:
    browser, key = enrolled(portal, "dist-support")

    def start() -> httpx.Response:
        portal.clock.advance(seconds=20)
        browser.post("/session/step-up", {"password": PASSWORD, "code": next_code(portal, key)})
        return browser.post("/me/mfa/setup", {})

    return start


@pytest.mark.parametrize("limited", [wrong_password, wrong_link, new_keys], ids=lambda each: each.__name__)
def test_x100_every_limit_says_when_it_ends(portal: Portal, limited: Callable[[Portal], Callable[[], Any]]) -> None:
    act = limited(portal)
    seconds = refused(answer := next(each for _ in range(40) if (each := act()).status_code == 429))
    assert seconds > 2
    assert answer.headers["RateLimit"].endswith(f";t={seconds}")
    portal.clock.advance(seconds=seconds)
    assert act().status_code != 429


def test_x105_a_disabled_account_of_the_own_partner_is_no_stranger(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    from tests.flows.test_console import watchword  # noqa: PLC0415 the console on this deployment

    watchword(portal, "accounts", "disable", "dist-support")
    for path in ("reset", "reset/mail"):
        assert reason(owner.post(f"/accounts/dist-support/mfa/{path}", {})) == (409, "account_disabled")
    assert reason(reset(owner, "dist2-support")) == (404, "another_tenant")
    assert reason(reset(signed_in(portal, "dist2-owner"), "dist-support")) == (404, "another_tenant")


@pytest.mark.parametrize(("users", "included"), [(True, True), (False, False)])
def test_x104_who_is_not_concerned_is_not_told_to_set_up(portal: Portal, *, users: bool, included: bool) -> None:
    box = Mailbox()
    enforce(signed_in(portal, "dist-owner"), "dist", users=users, organizations=not users)
    (mail, *_) = [each for each in box.deliver(portal) if each.to == address("dist-owner")]
    assert ("you included" in mail.text) is included
    assert ("your organizations" in mail.subject) is not included
