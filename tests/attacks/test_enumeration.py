"""What is told before a password is proved: who exists, who has MFA, and how long it took to say no."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from api.embedded.ports import free_port
from handlers.ports import Passwords
from tests.attacks.site import Site
from tests.attacks.steps import ask_reset, page
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled
from tests.portal import Browser
from tests.services import serving


def test_enu_02_links_and_mails_are_answered_the_same_whoever_asks(site: Site) -> None:
    """There is no public door that sends a mail; links that are known, unknown, used or another's are told alike."""
    account = f"{site.partner('support')}-support"
    browser, _ = enrolled(site, account)
    link, _ = ask_reset(site, browser, account)
    stranger = site.browser()
    stranger.session()
    body = {"secret": "A" * 43, "password": PASSWORD}
    answers = [
        stranger.post(f"/{kind}/{each}/confirm", body if kind == "reset" else {"secret": "A" * 43})
        for kind in ("reset", "unlock")
        for each in (link, "no-such-link", account)
    ]
    assert {answer.status_code for answer in answers} == {410}
    assert len({answer.text for answer in answers}) == 1
    opened = site.browser().get("/openapi.json").json()["paths"]
    assert [path for path in opened if "forgot" in path or "invite" in path or "register" in path] == []


@dataclass
class Counting:
    """The real way to compare passwords, and how often it was gone."""

    real: Passwords
    compared: int = 0

    def hash(self, password: str) -> str:
        return self.real.hash(password)

    def matches(self, password: str, password_hash: str | None) -> bool:
        self.compared += 1
        return self.real.matches(password, password_hash)


@pytest.fixture
def counted(site: Site) -> Iterator[tuple[Browser, Counting]]:
    """A web process that counts how often it compares a password."""
    counting, port = Counting(site.w.sockets.passwords), free_port()
    url = f"http://127.0.0.1:{port}"
    settings = replace(site.w.settings, port=port, public_url=url, trusted_proxies=0)
    with serving(replace(site.w, settings=settings, sockets=replace(site.w.sockets, passwords=counting))):
        browser = Browser.at(url)
        browser.session()
        yield browser, counting
        browser.http.close()


def test_enu_02_an_unknown_address_costs_as_much_work_as_a_known_one(
    site: Site, counted: tuple[Browser, Counting], record_property: Callable[[str, object], None]
) -> None:
    """One comparison each. The times are shown, and prove nothing here."""
    partner = site.partner(*(f"support{n}" for n in range(5)))
    browser, counting = counted
    took: dict[str, list[float]] = {"known": [], "unknown": []}
    answers = set()
    for number in range(5):
        for kind, account in (("known", f"{partner}-support{number}"), ("unknown", f"nobody-{partner}-{number}")):
            before, begun = counting.compared, time.perf_counter()
            answer = browser.post("/sign-in", {"email": address(account), "password": "not it"})
            took[kind].append(time.perf_counter() - begun)
            answers.add((answer.status_code, answer.text, *sorted(answer.headers.keys())))
            assert counting.compared == before + 1, kind
    assert len(answers) == 1
    medians = {kind: statistics.median(times) * 1000 for kind, times in took.items()}
    shown = f"known {medians['known']:.1f} ms, unknown {medians['unknown']:.1f} ms"
    record_property("median of a refused sign-in", shown)


def test_enu_03_before_the_password_nobody_learns_of_accounts_or_mfa(site: Site) -> None:
    partner, other = site.partner("support", "auditor"), site.partner()
    enrolled(site, f"{partner}-support")
    several = f"{other}-admin"
    site.take(site.account(several, partner=other, role="admin"))
    site.take(site.account(f"{partner}-second", email=address(several), partner=partner, role="admin"))
    answers = set()
    for account in (f"{partner}-support", f"{partner}-auditor", several, f"{partner}-nobody"):
        stranger = site.browser()
        stranger.session()
        answer = stranger.post("/sign-in", {"email": address(account), "password": "not it"})
        shown = page(stranger, "POST", "/sign-in", data={"email": address(account), "password": "not it"})
        text = shown.text.replace(address(account), "ADDRESS").replace(stranger.csrf, "TOKEN")
        answers.add((answer.status_code, answer.text, shown.status_code, text))
        assert stranger.session() == {"state": "anonymous", "csrf_token": stranger.csrf} | {
            key: value for key, value in stranger.session().items() if key not in {"state", "csrf_token"}
        }
        assert stranger.session()["account"] is None
        assert stranger.session()["accounts"] is None
    assert len(answers) == 1
