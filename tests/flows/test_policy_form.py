"""The form of the policy: what was sent is shown again, and what is said is what happened."""

import re

import pytest

from domain.facts import Population
from handlers.callers import policy_of
from handlers.identity_providers import OPERATOR, ProviderLine, add
from tests.directory import PASSWORD
from tests.flows.pages import look, submit
from tests.flows.steps import enforce, signed_in
from tests.portal import Browser
from tests.services import Portal, by_operator

PATH = "/security-settings/policy"
NAMES = ("enforce_partner_users", "enforce_organizations", "sign_everyone_out")


def ticked(html: str) -> set[str]:
    """Return the boxes of the policy that a page shows as ticked."""
    boxes: list[str] = re.findall(r'<input type="checkbox"[^>]*>', html)
    return {name for name in NAMES for box in boxes if f'name="{name}"' in box and " checked" in box}


def as_shown(html: str) -> dict[str, str]:
    """Return the policy's fields as a browser sends them from a page."""
    version = re.search(r'name="version" value="([^"]*)"', html)
    assert version
    return {name: "on" if name in ticked(html) else "off" for name in NAMES} | {"version": version[1]}


def save(portal: Portal, browser: Browser, **changed: str) -> str:
    """Send the form as the page shows it, with some changes, and return the page that follows."""
    shown = as_shown(look(portal, browser, "/security-settings").text)
    answer = submit(portal, browser, PATH, **{**shown, **changed})
    return answer.text if answer.status_code != 303 else look(portal, browser, "/security-settings").text


def test_x60_after_a_mistyped_password_the_form_holds_what_was_sent(portal: Portal) -> None:
    """X60: the next Save stores what the person chose, and not what was in force before."""
    owner = signed_in(portal, "dist-owner")
    assert enforce(owner, "dist", organizations=True).status_code == 200
    portal.clock.advance(minutes=14)
    owner.session()
    portal.clock.advance(minutes=2)
    before = portal.watchword.store.last_position()
    wanted = {"enforce_partner_users": "on", "enforce_organizations": "off", "sign_everyone_out": "on"}
    page = save(portal, owner, **wanted, password="mistyped")
    assert ticked(page) == {"enforce_partner_users", "sign_everyone_out"}
    assert as_shown(page) == wanted | {"version": "1"}
    assert portal.watchword.store.last_position() == before
    answer = submit(portal, owner, PATH, **as_shown(page), password=PASSWORD)
    assert answer.status_code == 303
    assert policy_of("dist", portal.watchword.sockets)[0].enforced == {Population.PARTNER_USERS}


def test_x60_saved_is_said_only_when_something_was(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    assert "Nothing has changed" in save(portal, owner)
    page = save(portal, owner, enforce_organizations="on")
    assert "The policy is saved" in page
    page = save(portal, owner)
    assert "Nothing has changed" in page
    assert "The policy is saved" not in page


def test_x60_a_policy_that_was_changed_meanwhile_is_shown_as_it_is(portal: Portal) -> None:
    """X60: what was sent is older than what is shown then, so that nobody overwrites what was never seen."""
    owner, other = signed_in(portal, "dist-owner"), signed_in(portal, "dist-admin")
    assert enforce(other, "dist", organizations=True).status_code == 200
    page = save(portal, owner, version="0", enforce_partner_users="on")
    assert "changed meanwhile" in page
    assert as_shown(page)["version"] == "1"
    assert ticked(page) == {"enforce_organizations"}


@pytest.mark.parametrize("sent", [{}, {"credits_mfa": ""}, {"credits_mfa": "o"}])
def test_x01_counting_the_mfa_of_a_provider_is_asked_for_by_value(portal: Portal, sent: dict[str, str]) -> None:
    """X01: the form says what it wants; sent twice, or without the field, it turns nothing over."""
    s, owner = portal.watchword.sockets, signed_in(portal, "dist-owner")
    fields = {"id": "idp", "partner": "dist", "kind": "google", "tenant": "mail.example", "client_id": "client"}
    add(ProviderLine.model_validate(fields), OPERATOR, by_operator(portal.watchword), s)
    path = "/single-sign-on/idp/credit"
    refused = submit(portal, owner, path, **sent)
    assert (refused.status_code, "the field credits_mfa has to be on or off" in refused.text) == (422, True)
    for _ in range(2):
        assert submit(portal, owner, path, credits_mfa="on").status_code == 303
        found = s.identities.provider("idp")
        assert found is not None
        assert found.credits_mfa
    assert "Nothing has changed" in look(portal, owner, "/single-sign-on").text
