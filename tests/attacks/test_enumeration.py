"""What is told before a password is proved: who exists, who has MFA, and how long it took to say no."""

import html
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

import httpx
import pytest

from api.embedded.ports import free_port
from handlers.directory import erase, set_disabled
from handlers.ports import Origin, Passwords
from tests.attacks import walk
from tests.attacks.site import Site
from tests.attacks.steps import ask_reset, confirm_reset, page, pending
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, signed_in, wrong_code
from tests.portal import Browser
from tests.services import serving

PUBLIC = {
    "POST /sign-in",
    "POST /reset/{id}/confirm",
    "POST /unlock/{id}/confirm",
    "POST /reset/{reset_id}",
    "POST /unlock/{link_id}",
    "POST /invited/{link_id}",
    "POST /sign-in/with",
    "POST /sso/logout/{provider_id}",
    "DELETE /session",
    "POST /sign-out",
}
"""Every door that changes something and is open to anybody, as the service itself lists them."""


def an_address_of_each_kind(site: Site) -> dict[str, str]:
    """Return a mail address for everything that an address can be."""
    partner, other = site.partner(*(f"support{n}" for n in range(7)), "owner"), site.partner()
    names = ["without MFA", "wants MFA", "active", "codes locked", "disabled", "erased", "several accounts"]
    found = {name: f"{partner}-support{number}" for number, name in enumerate(names)}
    signed_in(site, found["wants MFA"]).post("/me/mfa/enable")
    enrolled(site, found["active"])
    _, key = enrolled(site, found["codes locked"])
    for _ in range(2):
        waiting = pending(site, found["codes locked"])
        for _ in range(5):
            waiting.post("/sign-in/code", {"code": wrong_code(site, key)})
    operator = Origin("operator", f"command-{partner}", site.clock.now())
    set_disabled(found["disabled"], disabled=True, origin=operator, s=site.w.sockets)
    erase(found["erased"], replace(operator, command_id=f"erase-{partner}"), site.w.sockets)
    several = address(found["several accounts"])
    site.take(site.account(f"{other}-admin", email=several, partner=other, role="admin"))
    line = site.account(f"{other}-elsewhere", partner=other, role="admin")
    line["account"].pop("password")
    site.take(line)
    return {name: address(account) for name, account in found.items()} | {
        "without a password": address(f"{other}-elsewhere"),
        "unknown": address(f"nobody-{partner}"),
    }


def alike(answer: httpx.Response, *own: str) -> tuple[object, ...]:
    """Return an answer without what belongs to the one who asked, or to the moment."""
    text = answer.text
    for word in filter(None, own):
        text = text.replace(html.escape(word), "OWN").replace(quote(word), "OWN")
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d[\d:.+]+", "TIME", text)
    return answer.status_code, text, answer.headers.get("location"), *sorted(answer.headers.keys())


def test_enu_02_every_kind_of_address_is_answered_the_same_at_every_public_door(site: Site) -> None:
    """Twelve tries, so past the lock, whose mail is owed and not sent: the service has no mail server here."""
    assert {r.name for r in walk.routes(site) if r.open_to("anonymous") and r.method not in {"GET", "HEAD"}} == PUBLIC
    told: dict[str, list[tuple[object, ...]]] = {}
    for number, (kind, email) in enumerate(an_address_of_each_kind(site).items()):
        stranger = site.browser(ip=f"192.0.2.{number + 1}")
        body = {"email": email, "password": "not it"}
        for door in range(12):
            stranger.session()
            by_page = door % 3 == 2
            answer = page(stranger, "POST", "/sign-in", data=body) if by_page else stranger.post("/sign-in", body)
            told.setdefault(kind, []).append(alike(answer, email, stranger.csrf))
        answer = page(stranger, "POST", "/sign-in/with", data={"email": email})
        told[kind].append(alike(answer, email, stranger.csrf))
    assert [answer[0] for answer in told["unknown"]] == [401] * 10 + [429] * 2 + [404]
    for kind, answers in told.items():
        assert answers == told["unknown"], kind


def test_enu_02_links_of_every_kind_are_answered_the_same_whoever_asks(site: Site) -> None:
    """Links that are open, used, replaced, another's or none; there is no public door that sends a mail.

    The page of an open link shows its form to whoever has its random id, and that is whoever has the mail.
    """
    partner = site.partner("support", "auditor", "owner")
    browser, _ = enrolled(site, f"{partner}-support")
    other, _ = enrolled(site, f"{partner}-auditor")
    replaced, opened = (ask_reset(site, browser, f"{partner}-support") for _ in range(2))
    used = ask_reset(site, other, f"{partner}-auditor")
    assert confirm_reset(other, used).status_code == 200
    by_api, by_page = set(), set()
    for number, link in enumerate((opened[0], used[0], replaced[0], "no-such-link", f"{partner}-support")):
        stranger = site.browser(ip=f"192.0.2.{number + 101}")
        stranger.session()
        wrong = {"secret": "A" * 43}
        bodies = {"reset": wrong | {"password": PASSWORD}, "unlock": wrong}
        answers = [stranger.post(f"/{kind}/{link}/confirm", body) for kind, body in bodies.items()]
        by_api.add(tuple(alike(answer, link, stranger.csrf) for answer in answers))
        bodies["invited"] = wrong
        shown = [page(stranger, "GET", f"/{kind}/{link}") for kind in bodies]
        shown += [page(stranger, "POST", f"/{kind}/{link}", data=body) for kind, body in bodies.items()]
        by_page |= {tuple(alike(each, link, stranger.csrf) for each in shown)} if number else set()
    assert [answer[0] for answer in next(iter(by_api))] == [410, 410]
    assert (len(by_api), len(by_page)) == (1, 1)


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
    """One comparison each, whatever the address is. The times are shown, and prove nothing here."""
    browser, counting = counted
    took: dict[str, list[float]] = {}
    for kind, email in an_address_of_each_kind(site).items():
        for _ in range(3):
            before, begun = counting.compared, time.perf_counter()
            browser.post("/sign-in", {"email": email, "password": "not it"})
            took.setdefault(kind, []).append(time.perf_counter() - begun)
            assert counting.compared == before + 1, kind
    unknown, known = took.pop("unknown"), [each for times in took.values() for each in times]
    shown = f"known {statistics.median(known) * 1000:.1f} ms, unknown {statistics.median(unknown) * 1000:.1f} ms"
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
