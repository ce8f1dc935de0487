"""What the stories have in common: enrolling, waiting for the next code, reading mail."""

import asyncio
import re
from dataclasses import dataclass, field

import httpx

from handlers.ports import Mail
from tests.directory import PASSWORD, address
from tests.phone import code_at
from tests.portal import Browser
from tests.posting import react_after, send_due
from tests.services import Portal


def signed_in(portal: Portal, account: str) -> Browser:
    """Return a browser that is signed in without MFA."""
    browser = portal.browser()
    assert browser.sign_in(address(account), PASSWORD, account)["state"] == "signed_in"
    return browser


def next_code(portal: Portal, key: str) -> str:
    """Wait for the phone to show a code that was not used yet, and read it."""
    portal.clock.advance(seconds=30)
    return code_at(key, portal.clock.now().timestamp())


def wrong_code(portal: Portal, key: str) -> str:
    """Return six digits that the phone does not show now, nor just before or after."""
    now = portal.clock.now().timestamp()
    shown = {code_at(key, now + 30 * step) for step in range(-2, 3)}
    return next(code for code in ("123456", "234567", "345678", "456789", "567890", "678901") if code not in shown)


def set_up(portal: Portal, browser: Browser, token: str | None = None) -> str:
    """Set MFA up in a browser, and return the setup key that the phone keeps."""
    key: str = browser.start_setup(token)["setup_key"]
    answer = confirm(portal, browser, key)
    assert answer.json()["state"] == "signed_in", answer.text
    return key


def confirm(portal: Portal, browser: Browser, key: str) -> httpx.Response:
    return browser.post("/me/mfa/setup/confirm", {"code": next_code(portal, key)})


def enrolled(portal: Portal, account: str) -> tuple[Browser, str]:
    """Return a browser that is signed in with an active MFA, and the setup key."""
    browser = portal.browser()
    state = browser.sign_in(address(account), PASSWORD, account)["state"]
    assert state in {"signed_in", "mfa_setup_required"}
    return browser, set_up(portal, browser)


def give_code(portal: Portal, browser: Browser, key: str) -> httpx.Response:
    return browser.post("/sign-in/code", {"code": next_code(portal, key)})


def step_up(portal: Portal, browser: Browser, key: str | None = None) -> None:
    """Give the password again, and the code where MFA is active."""
    body = {"password": PASSWORD} | ({"code": next_code(portal, key)} if key else {})
    answer = browser.post("/session/step-up", body)
    assert answer.status_code == 200, answer.text


def enforce(browser: Browser, partner: str, *, users: bool = False, organizations: bool = False) -> httpx.Response:
    body = {"enforce_partner_users": users, "enforce_organizations": organizations}
    return browser.put(f"/partners/{partner}/mfa-policy", body)


def column(browser: Browser, partner: str, account: str, position: int = 0) -> dict[str, object]:
    """Return an account's row of User Management, once the view has come to a position."""
    answer = browser.get(f"/partners/{partner}/users", q=address(account), limit=200, min_position=position)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = next(row for row in answer.json()["items"] if row["account_id"] == account)
    return found


@dataclass
class Mailbox:
    """A Mailer plug that keeps what it is given."""

    mails: list[Mail] = field(default_factory=list)
    read_up_to: int = 0

    async def send(self, mail: Mail) -> None:
        self.mails.append(mail)

    def deliver(self, portal: Portal) -> list[Mail]:
        """Let the notification process work through what happened, and return the mails that came of it."""
        before, w = len(self.mails), portal.watchword
        self.read_up_to = react_after(w, self.read_up_to)
        while asyncio.run(send_due(w, self)):
            pass
        return self.mails[before:]


def link_in(mail: Mail) -> tuple[str, str]:
    """Return the two halves of the link in a mail."""
    found = re.search(r"/(?:reset|unlock)/([^#\s]+)#(\S+)", mail.text)
    assert found, mail.text
    return found[1], found[2]


def reason(answer: httpx.Response) -> tuple[int, str]:
    """Return how a refusal was answered."""
    return answer.status_code, answer.json()["reason"]
