"""The ground of the browser tests: a real Chromium on the real portal, with windows that are watched, and real mail."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from api.embedded.catcher import MailCatcher
from api.embedded.mail import list_mails
from api.settings import Settings
from tests.browser.find_browser import find
from tests.browser.post import PostOffice
from tests.browser.window import FLAGS, PATIENCE, Windows, windows
from tests.services import Portal

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember a failure, so that the windows can be pictured before they close."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report  # type: ignore[return-value]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One browser for this folder. Playwright's event loop ends with it: other folders' tests have loops of their own."""
    path = find(install=False)
    if path is None:
        reason = "NO BROWSER: no Chromium or Chrome was found, so no page is tested. `make test` installs one."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def catcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailCatcher]:
    """An SMTP server that keeps every mail in a folder."""
    server = MailCatcher(tmp_path_factory.mktemp("post"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def mail_pages() -> bool:
    """Whether the portal shows the catcher's mails. A test that wants it says `parametrize("mail_pages", [True])`."""
    return False


@pytest.fixture
def settings(settings: Settings, catcher: MailCatcher, tmp_path: Path, *, mail_pages: bool) -> Settings:
    """The portal's settings, with a real way for its mails, and a ledger of its own."""
    mail = replace(settings, smtp_url=catcher.url, mail_dir=catcher.mail_dir, mail_pages=mail_pages)
    return replace(mail, ledger_dir=tmp_path / "ledger")


@pytest.fixture
def post(portal: Portal, catcher: MailCatcher) -> PostOffice:
    return PostOffice(portal, catcher, known={mail.id for mail in list_mails(catcher.mail_dir)})


@pytest.fixture
def window(chromium: Browser, portal: Portal, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Windows]:
    """Opens windows on the portal. What a page logged, what was refused and what was asked elsewhere fails the test."""
    with windows(chromium, portal.address) as opened:
        yield opened
        if request.node.stash.get(_FAILED, False):
            opened.keep_pictures(tmp_path)
        seen = opened.close()
    assert not seen, "\n".join(seen)
