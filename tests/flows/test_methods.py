"""HEAD, and GET where only a form posts to."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from api.routes import Door
from api.settings import Settings
from api.web import create_app
from tests.flows.steps import signed_in
from tests.services import Portal

TO = {"partner_id": "dist", "account_id": "dist-support"}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Checkpoints in a folder of the test's own: each database is another log."""
    return replace(settings, ledger_dir=tmp_path / "ledger")


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: TO.get(found[1], "none"), path)


def doors(portal: Portal, method: str) -> set[str]:
    """Return the addresses that have a method."""
    routes = create_app(portal.watchword).routes
    return {each.path for each in routes if isinstance(each, Door) and method in (each.methods or ())}


def test_x02_head_is_answered_as_get_without_a_body_everywhere(portal: Portal) -> None:
    """X02: health, pages and the JSON API."""
    owner = signed_in(portal, "dist-owner")
    for path in {"/healthz", "/readyz", *doors(portal, "GET")}:
        found, expected = (owner.http.request(name, portal.address + filled(path)) for name in ("HEAD", "GET"))
        assert (found.status_code, found.content) == (expected.status_code, b""), path
        assert found.headers.get("content-type") == expected.headers.get("content-type"), path
        assert found.status_code != 405


def test_x02_looking_at_an_address_of_a_form_leads_to_its_page(portal: Portal) -> None:
    """X02: whoever presses Enter in the address bar after a mistake comes to the page that holds the form."""
    owner = signed_in(portal, "dist-owner")
    program = {"/sso/logout/{provider_id}"}
    forms = {path for path in doors(portal, "POST") - doors(portal, "GET") - program if not path.startswith("/api/")}
    assert len(forms) > 10
    before = portal.watchword.store.last_position()
    for path in forms:
        answer = owner.http.get(portal.address + filled(path))
        assert answer.status_code == 303, path
        page = owner.http.get(portal.address + answer.headers["location"], follow_redirects=True)
        assert page.status_code == 200, path
    assert portal.watchword.store.last_position() == before


@pytest.mark.parametrize(
    ("form", "page"),
    [
        ("/mfa/setup/confirm", "/mfa/setup"),
        ("/security-settings/policy", "/security-settings"),
        ("/user-management/dist-support/reset", "/user-management"),
        ("/me/identities/link", "/me/identities"),
        ("/sign-out", "/"),
    ],
)
def test_x02_the_page_is_the_nearest_one_above(portal: Portal, form: str, page: str) -> None:
    assert portal.browser().http.get(portal.address + form).headers["location"] == page


def test_x02_what_only_a_program_posts_to_has_no_page(portal: Portal) -> None:
    browser = portal.browser()
    for path in ("/sso/logout/none", "/api/v1/sign-in", "/api/v1/me/mfa/setup/confirm"):
        answer = browser.http.get(portal.address + path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
