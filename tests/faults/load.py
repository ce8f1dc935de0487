"""Fifty virtual users who sign in, enrol, give right and wrong codes, reset and are reset, by a fixed seed."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.directory import PASSWORD, address
from tests.faults.deployment import Deployment
from tests.faults.history import History
from tests.faults.people import SEATS, TENANTS, account_of
from tests.faults.report import LONG
from tests.phone import by_the_rfc
from tests.portal import Browser

SEED = 20261124
ANSWER_SECONDS = 20
THINKING_SECONDS = 0.2 if LONG else 0.6
"""At most, between two things that one user does; the short form leaves the machine to other tests too."""
_ASKED_PER_HOUR = 2
"""Resets that one user asks for in an hour of the service's clock: below its limit, so that each is owed a mail."""


class Lost(Exception):
    """No answer, or one that says nothing: the user begins anew."""


@dataclass
class User:
    """One person with a browser and a phone. What an unknown result left is found out as a person would: by trying."""

    deployment: Deployment
    account: str
    number: int
    history: History = field(default_factory=History)
    keys: list[str] = field(default_factory=list)
    """Setup keys on the phone, the likeliest last."""
    used: int = 0
    """The last time step that was given."""
    asked: list[float] = field(default_factory=list)
    signed_in: bool = False
    demands: bool = False

    def __post_init__(self) -> None:
        self.chance = Random(f"{SEED}-{self.account}")
        headers = {"X-Forwarded-For": f"10.1.{self.number // 200}.{self.number % 200 + 1}"}
        origin = self.deployment.watchword.settings.public_url
        self.browser = Browser.at(origin, transport=self.deployment.front, headers=headers)
        self.browser.http.timeout = httpx.Timeout(ANSWER_SECONDS)

    @property
    def seat(self) -> str:
        return self.account.partition("-")[2]

    @property
    def partner(self) -> str:
        return f"{self.account.partition('-')[0]}-partner"

    def now(self) -> float:
        return self.deployment.clock.now().timestamp()

    def ask(self, kind: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask, and note what was answered. Raises Lost when nobody knows."""
        operation = self.history.begin(kind, self.account)
        try:
            answer = self.browser.send(method, path, body, X_Request_ID=operation.id)
        except httpx.HTTPError:
            self.history.answered(operation, None)
            raise Lost from None
        self.history.answered(operation, answer)
        if operation.outcome == "unknown":
            raise Lost
        return answer

    def step(self) -> None:
        """Do the next thing; what is refused is done differently next time."""
        try:
            if not self.signed_in:
                self._sign_in()
            else:
                self.chance.choices([choice for choice, _ in self._wishes()], [w for _, w in self._wishes()])[0]()
        except Lost:
            self.signed_in = False
            time.sleep(0.05)

    def _wishes(self) -> list[tuple[Callable[[], None], int]]:
        wishes: list[tuple[Callable[[], None], int]] = [
            (self._look, 3),
            (self._step_up, 6),
            (self._wrong_code, 1),
            (self._sign_out, 3),
            (self._enrol, 2 if not self.keys else 0),
            (self._reset, 1 if self.keys else 0),
        ]
        if self.seat == "admin":
            wishes.append((self._reset_another, 1))
        if self.seat == "owner":
            wishes.append((self._change_policy, 3))
        return wishes

    def _sign_in(self) -> None:
        self.browser.http.cookies.clear()
        self.ask("read", "GET", "/session")
        body = {"email": address(self.account), "password": PASSWORD}
        state = self._state(self.ask("password", "POST", "/sign-in", body))
        if state == "mfa_code_required":
            self._give_code("sign_in", "/sign-in/code")
        elif state == "mfa_setup_required":
            self._enrol()
        self.signed_in = state == "signed_in" or self.signed_in

    def _give_code(self, kind: str, path: str, **more: str) -> None:
        code = self._code()
        if code is None:
            return
        if self.ask(kind, "POST", path, {"code": code, **more}).is_success:
            self.signed_in = True
        elif len(self.keys) > 1:
            self.keys.insert(0, self.keys.pop())

    def _code(self) -> str | None:
        """Wait a little for a code that was not given yet."""
        for _ in range(20):
            now = int(self.now())
            if self.keys and now // 30 > self.used:
                self.used = now // 30
                return by_the_rfc(self.keys[-1], now)
            time.sleep(0.1)
        return None

    def _enrol(self) -> None:
        token = self.deployment.inbox.link(address(self.account), "reset_by_administrator")
        answer = self.ask("start_setup", "POST", "/me/mfa/setup", {"mailed_token": token[1] if token else None})
        if not answer.is_success:
            self.signed_in = False
            return
        self.keys.append(answer.json()["setup_key"])
        del self.keys[:-3]
        self.used = 0
        confirmed = self.ask("confirm_setup", "POST", "/me/mfa/setup/confirm", {"code": self._code()})
        self.signed_in = confirmed.is_success
        if confirmed.is_success:
            del self.keys[:-1]

    def _look(self) -> None:
        self._live(self.ask("read", "GET", "/me/mfa"))

    def _step_up(self) -> None:
        code = self._code() if self.keys else None
        body = {"password": PASSWORD} | ({"code": code} if code else {})
        self._live(self.ask("step_up", "POST", "/session/step-up", body))

    def _wrong_code(self) -> None:
        if self.keys:
            now = int(self.now())
            right = {by_the_rfc(self.keys[-1], now + 30 * step) for step in range(-3, 4)}
            wrong = next(code for code in (f"{number:06}" for number in range(100)) if code not in right)
            self._live(self.ask("step_up", "POST", "/session/step-up", {"password": PASSWORD, "code": wrong}))

    def _sign_out(self) -> None:
        self.ask("read", "DELETE", "/session")
        self.signed_in = False

    def _reset(self) -> None:
        """Ask for the own reset, wait for the mail, and confirm by its link; older mails do not count."""
        if sum(moment > self.now() - 3700 for moment in self.asked) >= _ASKED_PER_HOUR:
            return
        self.asked.append(self.now())
        before = self.deployment.inbox.link(address(self.account), "reset_requested")
        if not self.ask("ask_reset", "POST", "/me/mfa/reset", {"password": PASSWORD}).is_success:
            self.signed_in = False
            return
        for _ in range(30):
            link = self.deployment.inbox.link(address(self.account), "reset_requested")
            if link and link != before:
                body = {"secret": link[1], "password": PASSWORD}
                if self.ask("confirm_reset", "POST", f"/reset/{link[0]}/confirm", body).is_success:
                    self.keys.clear()
                self.signed_in = False
                return
            time.sleep(0.1)

    def _reset_another(self) -> None:
        seat = self.chance.choice([seat for seat in SEATS if seat not in {"owner", "admin"}])
        account = account_of(self.account.partition("-")[0], seat)
        self._live(self.ask("reset_other", "POST", f"/accounts/{account}/mfa/reset", {}))

    def _change_policy(self) -> None:
        body = {"enforce_partner_users": not self.demands, "enforce_organizations": self.chance.random() < 0.5}
        if self._live(self.ask("policy", "PUT", f"/partners/{self.partner}/mfa-policy", body)).is_success:
            self.demands = not self.demands

    def _live(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code == 401 or (answer.status_code == 403 and "step_up" in answer.text):
            self.signed_in = False
        return answer

    @staticmethod
    def _state(answer: httpx.Response) -> str:
        return str(answer.json()["state"]) if answer.is_success else ""


class Load:
    """All users at once, each in a thread of its own, until the end."""

    def __init__(self, users: list[User]) -> None:
        self.users, self.history = users, History()
        self.failed: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._live, args=(user,)) for user in users]

    def start(self) -> None:
        for user, thread in zip(self.users, self._threads, strict=True):
            user.history = self.history
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(3 * ANSWER_SECONDS)
        assert self.failed == []

    def _live(self, user: User) -> None:
        with suppress(Lost):
            try:
                while not self._stop.is_set():
                    user.step()
                    self._stop.wait(user.chance.random() * THINKING_SECONDS)
            except Exception as error:  # noqa: BLE001 told to the test by `stop`
                self.failed.append(error)


def everybody(deployment: Deployment) -> list[User]:
    accounts = [account_of(tenant, seat) for tenant in TENANTS for seat in SEATS]
    return [User(deployment, account, number) for number, account in enumerate(accounts)]
