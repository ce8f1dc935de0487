"""Pages as a browser asks for them, for tests that look at answers instead of words."""

from typing import Any

import httpx

from tests.portal import Browser
from tests.services import Portal

FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}
"""What a browser sends with a form of a page of ours, beside the page's origin."""


def look(portal: Portal, browser: Browser, path: str, **headers: str) -> httpx.Response:
    """Look at a page."""
    return browser.http.get(f"{portal.address}{path}", headers=headers)


def submit(portal: Portal, browser: Browser, path: str, **fields: str) -> httpx.Response:
    """Send a page's form."""
    data = {"csrf_token": browser.csrf, **fields}
    return browser.http.post(f"{portal.address}{path}", data=data, headers=FROM_OUR_PAGE | {"Origin": portal.address})


def entries(browser: Browser, portal: Portal, **wanted: Any) -> list[dict[str, Any]]:
    """Return what the log of ``dist`` says, once the views have come to its end."""
    last = portal.watchword.store.last_position()
    answer = browser.get("/partners/dist/audit", min_position=last, limit=200, **wanted)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def state_of(portal: Portal, token: str) -> str:
    """Return how far a session token reaches."""
    answer = portal.browser().http.get("/session", headers={"Cookie": f"watchword={token}"})
    return str(answer.json()["state"])
