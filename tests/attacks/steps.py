"""What the attacks have in common: a sign-in that waits for its code, a mailed link, a walk over every route."""

from typing import Any

import httpx

from tests.attacks.site import PUBLIC_URL, Site
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, give_code, link_in, signed_in
from tests.portal import Browser

FORM = {"Origin": PUBLIC_URL, "Sec-Fetch-Site": "same-origin"}


def pending(site: Site, account: str) -> Browser:
    """A sign-in whose password was right and whose code is still owed."""
    browser = site.browser()
    assert browser.sign_in(address(account), PASSWORD, account)["state"] == "mfa_code_required"
    return browser


def signed_in_by_code(site: Site, account: str, key: str) -> Browser:
    browser = pending(site, account)
    answer = give_code(site, browser, key)
    assert answer.status_code == 200, answer.text
    return browser


def ended(*browsers: Browser) -> list[bool]:
    """Say of each browser whether its sign-in is over."""
    return [browser.get("/me/mfa").status_code == 401 for browser in browsers]


def newest_link(site: Site, account: str) -> tuple[str, str]:
    return link_in([mail for mail in site.mails(account) if "#" in mail.text][-1])


def ask_reset(site: Site, browser: Browser, account: str) -> tuple[str, str]:
    """Ask for the own reset, and return the two halves of the mailed link."""
    before = len(site.mails(account))
    answer = browser.post("/me/mfa/reset", {"password": PASSWORD})
    assert answer.status_code == 202, answer.text
    mails = site.mails(account)[before:]
    assert [mail.kind.value for mail in mails] == ["reset_requested"]
    return link_in(mails[0])


def confirm_reset(browser: Browser, link: tuple[str, str], password: str | None = PASSWORD) -> httpx.Response:
    browser.session()
    body = {"secret": link[1]} | ({"password": password} if password else {})
    return browser.post(f"/reset/{link[0]}/confirm", body)


def reset_by(admin: Browser, account: str) -> httpx.Response:
    return admin.post(f"/accounts/{account}/mfa/reset", {})


def page(browser: Browser, method: str, path: str, **more: Any) -> httpx.Response:
    """Ask for a page; a form goes with the CSRF token of the session."""
    data = {"csrf_token": browser.csrf, **more.pop("data", {})} if method == "POST" else None
    return browser.http.request(method, f"{browser.origin}{path}", headers=FORM | more, data=data)


def token_of(browser: Browser) -> str:
    """The session token in the browser's cookie."""
    return browser.http.cookies["__Host-watchword"]


def with_cookie(site: Site, path: str, token: str) -> httpx.Response:
    """Ask with a session token that was seen somewhere."""
    return site.browser().http.get(path, headers={"Cookie": f"__Host-watchword={token}"})


__all__ = [
    "ask_reset",
    "confirm_reset",
    "ended",
    "enrolled",
    "newest_link",
    "page",
    "pending",
    "reset_by",
    "signed_in",
    "signed_in_by_code",
    "token_of",
    "with_cookie",
]
