"""Only so many passwords wait to be checked; more are refused at once, and other requests do not wait for them."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from api.routes import PASSWORDS_WAITING
from api.settings import read
from handlers.adapters.passwords import Argon2Passwords
from tests.directory import PASSWORD, address
from tests.flows.pages import submit
from tests.flows.steps import enrolled, give_code, signed_in
from tests.portal import Browser
from tests.services import Portal


@contextmanager
def busy(portal: Portal, crowd: list[Browser]) -> Iterator[list[Future[httpx.Response]]]:
    """Keep the hashing threads busy while a crowd tries a password each, as many as may wait; yield their answers."""
    passwords = portal.watchword.sockets.passwords
    assert isinstance(passwords, Argon2Passwords)
    leave = threading.Event()
    for _ in range(passwords._cores):
        passwords._workers.submit(leave.wait, 60)
    with ThreadPoolExecutor(len(crowd)) as threads:
        bodies = [{"email": address(f"nobody-{number}"), "password": "wrong"} for number, _ in enumerate(crowd)]
        answers = [threads.submit(each.post, "/sign-in", body) for each, body in zip(crowd, bodies, strict=True)]
        try:
            until_full(portal)
            yield answers
        finally:
            leave.set()


def until_full(portal: Portal) -> None:
    """Wait until all of the crowd are in: until all but those who wait have their refusal or wait for a core."""
    passwords = portal.watchword.sockets.passwords
    assert isinstance(passwords, Argon2Passwords)
    deadline = time.monotonic() + 20
    while passwords._admitted._value > 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def browsers(portal: Portal, count: int) -> list[Browser]:
    found = [portal.browser() for _ in range(count)]
    for each in found:
        each.session()
    return found


def test_x11_a_try_too_many_is_refused_at_once_and_counts_for_nothing(portal: Portal) -> None:
    """X11: 503 with Retry-After, as a problem and as a page; refused tries lock nobody out."""
    room = portal.watchword.settings.hashing_cores + PASSWORDS_WAITING
    crowd, late = browsers(portal, room), portal.browser()
    late.session()
    body = {"email": address("dist-support"), "password": "wrong"}
    with busy(portal, crowd) as answers:
        for _ in range(40):
            refused = late.post("/sign-in", body)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        page = submit(portal, late, "/sign-in", **body)
        assert (page.status_code, page.headers["retry-after"]) == (503, "2")
        assert page.headers["content-type"].startswith("text/html")
        assert not any(each.done() for each in answers)
    assert {each.result().status_code for each in answers} == {401}
    assert late.sign_in(address("dist-support"), PASSWORD)["state"] == "signed_in"


def test_x11_other_requests_do_not_wait_for_passwords(portal: Portal) -> None:
    """X11: reads and codes, many at a time, while no password is answered."""
    owner, (admin, key) = signed_in(portal, "dist-owner"), enrolled(portal, "dist-admin2")
    assert admin.sign_in(address("dist-admin2"), PASSWORD)["state"] == "mfa_code_required"
    crowd = browsers(portal, portal.watchword.settings.hashing_cores + PASSWORDS_WAITING)
    cookie = {"Cookie": f"watchword={owner.http.cookies['watchword']}"}
    with busy(portal, crowd) as answers, ThreadPoolExecutor(60) as readers:
        reads = [readers.submit(portal.browser().http.get, "/me/mfa", headers=cookie) for _ in range(120)]
        assert {each.result(30).status_code for each in reads} == {200}
        assert give_code(portal, admin, key).status_code == 200
        assert not any(each.done() for each in answers)
        names = {each.name.rpartition("_")[0] for each in threading.enumerate()}
        assert {"password", "request"} <= names


@pytest.mark.parametrize(("processes", "share"), [("1", 1.0), ("2", 0.5), ("64", 0.0)])
def test_x11_the_processes_share_the_cores(processes: str, share: float) -> None:
    """X11: together they hash as many passwords as there are cores, and each one at least."""
    settings = read({"WEB_PROCESSES": processes}, ask_running=False)
    assert settings.hashing_cores == max(1, int((os.cpu_count() or 1) * share))
