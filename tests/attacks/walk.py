"""Every route there is, from the OpenAPI document and the table of pages, so that a new one is attacked the day it is added."""

import re
from dataclasses import dataclass

import httpx
from fastapi.routing import iter_route_contexts

from api.rest import PREFIX
from api.web import create_app
from tests.attacks.site import Site
from tests.attacks.steps import pending
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, signed_in
from tests.flows.test_guard import OPEN_TO
from tests.flows.test_pages_guard import OPEN_TO as PAGES_OPEN_TO
from tests.flows.test_pages_guard import OPEN_TO_ALL
from tests.portal import Browser

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STATES = ("anonymous", "identified", "mfa_code_required", "mfa_setup_required")
PUBLIC = {f"{PREFIX}/openapi.json", "/healthz", "/readyz"}


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    is_page: bool

    @property
    def name(self) -> str:
        return f"{self.method} {self.path if self.is_page else self.short}"

    @property
    def short(self) -> str:
        return re.sub(r"\{\w+\}", "{id}", self.path.removeprefix(PREFIX))

    def open_to(self, state: str) -> bool:
        """Say whether a session that has come no further may use it. A HEAD is a GET without a body."""
        name = self.name.replace("HEAD ", "GET ", 1)
        if self.is_page:
            return name in OPEN_TO_ALL | PAGES_OPEN_TO[state]
        return name in OPEN_TO["anonymous"] | OPEN_TO[state]

    def at(self, partner: str, account: str) -> str:
        """Return the path with ids in it."""

        def an_id(found: re.Match[str]) -> str:
            return {"partner_id": partner, "account_id": account}.get(found[1], "none")

        return re.sub(r"\{(\w+)\}", an_id, self.path)


_FOUND: list[Route] = []


def routes(site: Site) -> list[Route]:
    """Return every method of every path that the service has, as its own documents and tables say."""
    if _FOUND:
        return _FOUND
    found = []
    for route in iter_route_contexts(create_app(site.watchword).routes):
        if route.path and not route.path.startswith("/static") and route.path not in PUBLIC:
            is_page = not route.path.startswith(PREFIX)
            found += [Route(method, route.path, is_page) for method in route.methods or ()]
    documented = site.browser().get("/openapi.json").json()["paths"]
    assert {route.path for route in found if not route.is_page} == set(documented), "the document names every route"
    assert len(found) > 40
    _FOUND.extend(found)
    return found


def ask(browser: Browser, method: str, path: str) -> httpx.Response:
    """Ask as the pages do: with the CSRF token, from our own site; a form for a page, JSON for the rest."""
    sent = {"Sec-Fetch-Site": "same-origin", "Origin": browser.origin}
    url = f"{browser.origin}{path}"
    if path.startswith(PREFIX):
        body: dict[str, str] | None = None if method in {"GET", "HEAD", "OPTIONS"} else {}
        return browser.http.request(method, url, headers=sent | {"X-CSRF-Token": browser.csrf}, json=body)
    form = None if method in {"GET", "HEAD", "OPTIONS"} else {"csrf_token": browser.csrf}
    return browser.http.request(method, url, headers=sent, data=form)


def in_state(site: Site, state: str, partner: str) -> Browser:
    """Return a browser whose sign-in has come this far and no further. The partner has an admin and a support."""
    admin = f"{partner}-admin"
    if state == "mfa_code_required":
        enrolled(site, admin)
        return pending(site, admin)
    browser = site.browser()
    if state == "identified":
        other = site.partner()
        site.take(site.account(f"{other}-admin", email=address(admin), partner=other, role="admin"))
        browser.sign_in(address(admin), PASSWORD)
    elif state == "mfa_setup_required":
        signed_in(site, admin).post("/me/mfa/enable")
        browser.sign_in(address(admin), PASSWORD)
    assert browser.session()["state"] == state
    return browser
