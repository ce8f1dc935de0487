"""I4: sessions that may see nothing ask for protected things every 50 ms, whatever is broken, and must never get them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle

import httpx

from tests.directory import PASSWORD, address
from tests.faults.deployment import Deployment
from tests.faults.people import TENANTS, account_of
from tests.phone import by_the_rfc
from tests.portal import Browser

EVERY_SECONDS = 0.05
_TRIES = 20
PROTECTED = ("/me/mfa", "/me/history", "/partners/{own}/users", "/partners/{own}/mfa-policy", "/accounts/{victim}/mfa")
FOREIGN = ("/partners/{other}/users", "/partners/{other}/mfa-policy", "/accounts/{stranger}/mfa")


class Prober:
    """Five kinds of sessions. Each is a real one, made before anything breaks, and none may pass the guard."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.count = 0
        self.let_in: list[str] = []
        self.browsers: dict[str, tuple[Browser, list[str]]] = {}
        self._first = True

    def prepare(self) -> None:
        """Make the sessions anew: they do not last, and on this clock less than a minute."""
        self.close()
        tenant = TENANTS[0]
        names = {
            "own": f"{tenant}-partner",
            "other": f"{TENANTS[1]}-partner",
            "victim": account_of(tenant, "user1"),
            "stranger": account_of(TENANTS[1], "user1"),
        }
        foreign = self._signed_in("revoked")
        self.browsers = {
            "anonymous": (self._browser(), [path.format(**names) for path in PROTECTED]),
            "pending": (self._enrolled_and_pending(), [path.format(**names) for path in PROTECTED]),
            "set-up": (self._setting_up(), [path.format(**names) for path in PROTECTED]),
            "revoked": (self._revoked(), [path.format(**names) for path in PROTECTED]),
            "foreign": (foreign, [path.format(**names) for path in FOREIGN]),
        }
        self._first = False

    @contextmanager
    def probing(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._probe, args=(stop,), name="prober")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)

    def close(self) -> None:
        for browser, _ in self.browsers.values():
            browser.http.close()

    def _probe(self, stop: threading.Event) -> None:
        turns = cycle([(kind, browser, path) for kind, (browser, paths) in self.browsers.items() for path in paths])
        while not stop.wait(EVERY_SECONDS):
            kind, browser, path = next(turns)
            with suppress(httpx.HTTPError):
                answer = browser.get(path)
                self.count += 1
                if answer.is_success:
                    self.let_in.append(f"{kind} was let in to {path}: {answer.status_code}")

    def _browser(self) -> Browser:
        headers = {"X-Forwarded-For": "10.9.9.9"}
        origin = self.deployment.watchword.settings.public_url
        browser = Browser.at(origin, transport=self.deployment.front, headers=headers)
        browser.http.timeout = httpx.Timeout(5)
        return browser

    def _signed_in(self, seat: str) -> Browser:
        """Sign in as far as the password leads; after the last fault the first tries may meet what it left."""
        browser = self._browser()
        for _ in range(_TRIES):
            with suppress(httpx.HTTPError, AssertionError):
                browser.sign_in(address(account_of(TENANTS[0], seat)), PASSWORD)
                return browser
            time.sleep(0.5)
        raise AssertionError(f"{seat} is not let in")

    def _enrolled_and_pending(self) -> Browser:
        if self._first:
            self._enrol()
        again = self._signed_in("pending")
        assert again.session()["state"] == "mfa_code_required"
        return again

    def _enrol(self) -> None:
        browser = self._signed_in("pending")
        key = browser.start_setup()["setup_key"]
        code = by_the_rfc(key, int(self.deployment.clock.now().timestamp()))
        assert browser.post("/me/mfa/setup/confirm", {"code": code}).is_success
        browser.http.close()

    def _setting_up(self) -> Browser:
        if self._first:
            first = self._signed_in("setup")
            assert first.post("/me/mfa/enable").is_success
            first.http.close()
        browser = self._signed_in("setup")
        assert browser.session()["state"] == "mfa_setup_required"
        return browser

    def _revoked(self) -> Browser:
        browser = self._signed_in("revoked")
        kept = dict(browser.http.cookies)
        browser.sign_out()
        browser.http.cookies.update(kept)
        return browser
