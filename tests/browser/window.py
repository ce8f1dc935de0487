"""A window of a real browser, and the watch that is kept over it: what a page may not do comes out at the end."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, ViewportSize
from playwright.sync_api import Error as PlaywrightError

VIEWPORTS: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
    "narrow": {"width": 320, "height": 640},
}
PATIENCE = 15_000
"""Milliseconds: this machine may be busy with other tests."""
FLAGS = ("--disable-quic", "--disable-background-networking", "--disable-component-update", "--no-first-run")
NO_FETCH = frozenset({"data", "blob", "about"})
_STATUS = re.compile(r"Failed to load resource: the server responded with a status of (?:4\d\d|503)")


@dataclass
class Watch:
    """What happened in a window that no page of ours should do."""

    origin: str
    friends: set[str] = field(default_factory=set)
    """Other origins that people are led to on purpose: identity providers."""
    logged: list[tuple[str, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Addresses of documents that were answered with 4xx or 503: the browser logs that, and it is no fault of the page."""

    def over(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", lambda error: self.others.append(f"uncaught: {error.error}"))
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("requestfailed", self._failed)

    def complaints(self) -> list[str]:
        """Everything that was seen: errors, refusals of the Content-Security-Policy, failed and foreign requests."""
        errors = [f"logged: {text} ({where})" for text, where in self.logged if not self._expected(text, where)]
        return [*errors, *self.others]

    def _expected(self, text: str, where: str) -> bool:
        return bool(_STATUS.match(text)) and where.partition("#")[0] in self.refused

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.logged.append((message.text, message.location["url"]))

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in NO_FETCH and f"{parts.scheme}://{parts.netloc}" not in {self.origin, *self.friends}:
            self.others.append(f"asked another origin: {request.url}")

    def _response(self, response: Response) -> None:
        if response.request.is_navigation_request() and (400 <= response.status < 500 or response.status == 503):
            self.refused.add(response.url.partition("#")[0])

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # which is how a request ends whose page is left
            self.others.append(f"failed: {request.method} {request.url}: {request.failure}")


@dataclass
class Windows:
    """Opens windows, each a browser of its own: nothing is shared with the others, cookies neither."""

    browser: Browser
    origin: str
    friends: set[str] = field(default_factory=set)
    opened: list[tuple[Page, Watch]] = field(default_factory=list)

    def __call__(
        self,
        viewport: Literal["desktop", "phone", "narrow"] = "desktop",
        *,
        color_scheme: Literal["light", "dark"] = "light",
        java_script: bool = True,
    ) -> Page:
        context = self.browser.new_context(
            base_url=self.origin,
            viewport=VIEWPORTS[viewport],
            color_scheme=color_scheme,
            java_script_enabled=java_script,
            has_touch=viewport != "desktop",
            is_mobile=viewport == "phone",
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
        )
        context.set_default_timeout(PATIENCE)
        watch = Watch(self.origin, self.friends)
        watch.over(context)
        page = context.new_page()
        self.opened.append((page, watch))
        return page

    def keep_pictures(self, folder: Path) -> None:
        """Keep what each window shows, and say where."""
        for number, (page, _) in enumerate(self.opened, 1):
            picture = folder / f"window-{number}.png"
            try:
                page.screenshot(path=picture, full_page=True, caret="initial")
                shown = page.locator("body").inner_text()
            except PlaywrightError as error:
                print(f"window {number}: {error}")
            else:
                print(f"window {number} at {page.url}, kept as {picture}, says:\n{shown}\n")

    def close(self) -> list[str]:
        """Close all windows, and return what was seen in them."""
        found = []
        for number, (page, watch) in enumerate(self.opened, 1):
            page.context.close()
            found += [f"window {number}: {complaint}" for complaint in watch.complaints()]
        self.opened.clear()
        return found


@contextmanager
def windows(browser: Browser, origin: str) -> Iterator[Windows]:
    """Lend windows on an address, and close them whatever happens."""
    lent = Windows(browser, origin)
    try:
        yield lent
    finally:
        lent.close()
