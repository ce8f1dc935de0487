"""Something outside is away: what goes on, what waits, and that nothing is let in."""

import re
import threading
import time
from pathlib import Path

import httpx
import pytest

from api import bootstrap, doors
from api.cli.importing import take_file
from api.embedded.postgres import EmbeddedPostgres
from api.frame import page as pages
from tests.directory import PASSWORD, address, write_directory
from tests.flows.steps import Mailbox, enrolled, give_code, reason, signed_in
from tests.portal import Browser
from tests.servers import Database
from tests.services import Portal, SetClock, projecting, serving, settings_for


def test_signing_in_and_enrolling_need_neither_broker_nor_mail_server(portal: Portal) -> None:
    """In these tests there is neither; what is owed is mailed when they are back."""
    browser, key = enrolled(portal, "dist-support")
    browser.sign_in(address("dist-support"), PASSWORD)
    assert give_code(portal, browser, key).status_code == 200
    ready = browser.http.get(f"{portal.address}/readyz")
    assert ready.status_code == 503
    assert ready.json()["unfit"].pop("broker") == "does not answer"
    assert set(ready.json()["unfit"]) == {"broker", "clock"}, "the test moved the clock"
    assert [mail.kind for mail in Mailbox().deliver(portal)] == ["mfa_activated"]


def test_without_the_database_nobody_gets_in_and_everything_goes_on_when_it_is_back(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "pg", durable=False)
    postgres.start()
    bootstrap.ensure_kek(tmp_path / "keys" / "kek.json")
    settings = settings_for(tmp_path, Database(postgres.owner_url, postgres.app_url))
    bootstrap.migrate(settings)
    watchword = bootstrap.build(settings, clock=SetClock())
    assert not take_file(write_directory(tmp_path), watchword).errors
    try:
        with serving(watchword):
            portal = Portal(watchword, watchword.sockets.clock, settings.public_url)  # type: ignore[arg-type]
            person, key = enrolled(portal, "dist-support")
            stranger = portal.browser()
            postgres.stop()
            for browser, path in ((person, "/me/mfa"), (person, "/session"), (person, "/partners/dist/users")):
                answer = browser.get(path)
                assert reason(answer) == (503, "unavailable")
                assert int(answer.headers["Retry-After"]) > 0
            assert reason(person.post("/me/mfa/disable")) == (503, "unavailable")
            assert stranger.session()["state"] == "anonymous", "X10: a form is shown, since nothing is stored for it"
            sign_in = {"email": address("dist-support"), "password": PASSWORD}
            assert reason(stranger.post("/sign-in", sign_in)) == (503, "unavailable")
            assert portal.browser().http.get(f"{portal.address}/healthz").status_code == 200
            assert person.http.get(f"{portal.address}/readyz").status_code == 503
            postgres.start()
            deadline = time.monotonic() + 30
            while person.get("/me/mfa").status_code == 503 and time.monotonic() < deadline:
                time.sleep(0.2)
            assert person.get("/me/mfa").json()["mfa_status"] == "Active"
            person.sign_in(address("dist-support"), PASSWORD)
            assert give_code(portal, person, key).status_code == 200
            with projecting(watchword):
                owner = signed_in(portal, "dist-owner")
                position = watchword.store.last_position()
                assert owner.get("/partners/dist/users", min_position=position).status_code == 200
            for browser in portal.browsers:
                browser.http.close()
    finally:
        watchword.close()
        postgres.stop()


def _reset_by_the_owner(watchword: bootstrap.Watchword) -> tuple[Portal, Browser, httpx.Response]:
    """Reset the supporter's MFA by the page's form, as its owner; nobody folds that into a view."""
    clock = watchword.sockets.clock
    assert isinstance(clock, SetClock)
    portal = Portal(watchword, clock, watchword.settings.public_url)
    owner = signed_in(portal, "dist-owner")
    sent = {"Origin": portal.address, "Sec-Fetch-Site": "same-origin"}
    url = f"{portal.address}/user-management/dist-support/reset"
    return portal, owner, owner.http.post(url, data={"csrf_token": owner.csrf, "reason": ""}, headers=sent)


def test_while_the_views_stand_still_a_page_comes_and_says_how_old_it_is(
    watchword: bootstrap.Watchword, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "WAIT_SECONDS", 0.2)
    with serving(watchword):
        portal, owner, done = _reset_by_the_owner(watchword)
        assert (done.status_code, done.headers["location"]) == (303, "/user-management")
        portal.clock.advance(seconds=90)
        page = owner.http.get(f"{portal.address}/user-management")
        assert page.status_code == 200, "the reset is done; only the list is old"
        assert "The MFA was reset" in page.text
        assert re.search(r"of the log, 9\d\.\d s behind", page.text)
        owner.http.close()


def test_a_page_waits_longer_for_what_its_reader_has_just_done(
    watchword: bootstrap.Watchword, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SOON", 0.01)
    with serving(watchword):
        portal, owner, _ = _reset_by_the_owner(watchword)
        late = threading.Timer(0.5, project, [watchword])
        late.start()
        assert "set-up pending" in owner.http.get(f"{portal.address}/user-management").text
        late.join()
        owner.http.close()


def project(watchword: bootstrap.Watchword) -> None:
    projector = bootstrap.projector(watchword)
    while projector.step():
        pass
    projector.close()
