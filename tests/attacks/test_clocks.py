"""The service at odds with the clock: one that jumped and was set right, and processes whose clocks differ."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from api import bootstrap
from api.embedded.ports import free_port
from domain.facts import Locked
from tests.attacks.site import Site
from tests.attacks.steps import confirm_reset, pending, reset_by
from tests.attacks.web_process import SharedClock
from tests.directory import PASSWORD, address
from tests.flows.steps import confirm, enrolled, give_code, link_in, reason, signed_in, wrong_code
from tests.phone import code_at
from tests.portal import Browser
from tests.servers import Servers
from tests.services import serving, settings_for


def test_clk_02_a_clock_that_jumped_and_was_set_right_lets_nobody_in_and_keeps_nobody_out_for_long(site: Site) -> None:
    account = f"{site.partner('support')}-support"
    _, key = enrolled(site, account)
    site.clock.advance(minutes=10)
    waiting = pending(site, account)
    beyond = code_at(key, site.clock.now().timestamp() + 75)
    assert reason(waiting.post("/sign-in/code", {"code": beyond})) == (401, "code_not_accepted"), "one step is the most"
    assert give_code(site, waiting, key).status_code == 200
    used = code_at(key, site.clock.now().timestamp())
    site.clock.advance(minutes=-10)
    waiting = pending(site, account)
    for code in (code_at(key, site.clock.now().timestamp()), used):
        assert reason(waiting.post("/sign-in/code", {"code": code})) == (401, "code_not_accepted")
    told = re.search(rf"codes of account {account} wait for about (\d+) s", site.log.read_text(errors="replace"))
    assert told
    assert int(told[1]) in {570, 600, 630}, "ten minutes, to the step"
    site.clock.advance(minutes=10)
    assert reason(waiting.post("/sign-in/code", {"code": used}))[0] == 401, "its time has come, and it is used"
    assert give_code(site, pending(site, account), key).status_code == 200, "as soon as the time is reached"
    reasons = [fact.fact.model_dump().get("reason") for fact in site.history(account)]
    assert "replayed" in reasons, "the log says why"


def test_clk_02_a_reset_ends_the_wait_however_far_the_clock_had_jumped(site: Site) -> None:
    partner = site.partner("owner", "support")
    account = f"{partner}-support"
    _, key = enrolled(site, account)
    site.clock.advance(days=400)
    assert give_code(site, pending(site, account), key).status_code == 200
    site.clock.advance(days=-400)
    waiting = pending(site, account)
    now = code_at(key, site.clock.now().timestamp())
    assert reason(waiting.post("/sign-in/code", {"code": now})) == (401, "code_not_accepted")
    assert reset_by(signed_in(site, f"{partner}-owner"), account).status_code == 200
    person = site.browser()
    assert person.sign_in(address(account), PASSWORD)["state"] == "mfa_setup_required"
    fresh: str = person.start_setup(link_in(site.mails(account)[-1])[1])["setup_key"]
    assert confirm(site, person, fresh).status_code == 200
    assert give_code(site, pending(site, account), fresh).status_code == 200
    assert pending(site, account).post("/sign-in/code", {"code": now}).status_code == 401, "the old one stays dead"


@pytest.mark.parametrize("seconds", [90, -90, 1.9])
def test_clk_03_a_process_whose_clock_differs_from_the_databases_is_not_fit_to_serve(
    servers: Servers, empty_template: str, seconds: float
) -> None:
    """The database's clock is moved in front of the service."""
    with servers.lent(empty_template) as database:
        with psycopg.connect(database.owner_url) as owner:
            owner.execute("CREATE SCHEMA skewed")
            owner.execute(
                "CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
                f" AS $$SELECT pg_catalog.clock_timestamp() + interval '{seconds} seconds'$$"
            )
            owner.execute("GRANT USAGE ON SCHEMA skewed TO PUBLIC")
            owner.execute(f'ALTER DATABASE "{database.name}" SET search_path = skewed, public, pg_catalog')
        watchword = bootstrap.build(settings_for(servers.folder, database))
        with serving(watchword):
            browser = Browser.at(watchword.settings.public_url)
            answer = browser.http.get(f"{browser.origin}/readyz")
            browser.http.close()
        watchword.close()
    assert answer.status_code == 503
    assert answer.json()["unfit"]["clock"].startswith("differs from the database's by ")


class TwoClocks:
    """Two web processes of the same database, one that is ahead and one that is behind; the test stops and moves time."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.clocks = [SharedClock(folder / name) for name in ("ahead", "behind")]
        self.ports = [free_port(), free_port()]
        self.differ(0)
        for port, clock in zip(self.ports, self.clocks, strict=True):
            site.launch(port, clock.file)
        site.wait(*self.ports)

    def differ(self, seconds: float) -> None:
        """Let one be so many seconds ahead of the database, and the other as many behind it; both go on."""
        for clock, ahead in zip(self.clocks, (seconds, -seconds), strict=True):
            clock.ahead = timedelta()
            clock.advance(seconds=ahead)

    def stand_at(self, at: datetime, differ: float) -> None:
        """Stop both: at the true time `at`, one ahead of it and the other behind."""
        for clock, ahead in zip(self.clocks, (differ, -differ), strict=True):
            clock.stand_at(at + timedelta(seconds=ahead))

    def browsers(self) -> list[Browser]:
        return [self.site.browser(ports=(port,)) for port in self.ports]

    def unfit(self) -> list[bool]:
        """Say of each process whether it holds its own clock against itself."""
        answers = [browser.http.get(f"{browser.origin}/readyz").json() for browser in self.browsers()]
        return ["clock" in answer["unfit"] for answer in answers]


@pytest.fixture(scope="module")
def two_clocks(running: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoClocks]:
    before = len(running.processes)
    yield TwoClocks(running, tmp_path_factory.mktemp("clocks"))
    for program in running.processes[before:]:
        program.kill()
        program.wait(30)
    del running.processes[before:]


AT_MOST = 1.0
"""By how much a process that calls itself fit may differ from the database, in seconds."""


def test_clk_03_each_process_measures_its_own_clock(site: Site, two_clocks: TwoClocks) -> None:
    assert site is two_clocks.site
    for differ in (90, 1.9):
        two_clocks.differ(differ)
        assert two_clocks.unfit() == [True, True], differ
    two_clocks.differ(0)
    assert two_clocks.unfit() == [False, False]


@pytest.mark.parametrize("asked_at", [0, 1], ids=["ahead", "behind"])
def test_clk_03_a_lock_ends_in_time_at_every_process(site: Site, two_clocks: TwoClocks, asked_at: int) -> None:
    account = f"{site.partner('support')}-support"
    _, key = enrolled(site, account)
    true = site.clock.now() + timedelta(minutes=2)
    two_clocks.stand_at(true, AT_MOST)
    for _ in range(2):
        browser = two_clocks.browsers()[asked_at]
        browser.sign_in(address(account), PASSWORD)
        for _ in range(5):
            browser.post("/sign-in/code", {"code": wrong_code(site, key)})
    assert isinstance(site.history(account)[-1].fact, Locked)

    def locked(browser: Browser) -> bool:
        assert browser.sign_in(address(account), PASSWORD)["state"] == "mfa_code_required"
        return browser.post("/sign-in/code", {"code": "123456"}).status_code == 429

    for seconds, expected in ((-2.01, True), (2.01, False)):
        two_clocks.stand_at(true + timedelta(minutes=30, seconds=seconds), AT_MOST)
        assert [locked(browser) for browser in two_clocks.browsers()] == [expected, expected], seconds


@pytest.mark.parametrize("asked_at", [0, 1], ids=["ahead", "behind"])
def test_clk_03_sign_ins_and_links_hold_to_their_time_at_every_process(
    site: Site, two_clocks: TwoClocks, asked_at: int
) -> None:
    """The code of the true moment is accepted once over both; a link ends an hour after it was asked for."""
    partner = site.partner("support", "auditor")
    accounts = [f"{partner}-support", f"{partner}-auditor"]
    keys = [enrolled(site, account)[1] for account in accounts]
    true = site.clock.now() + timedelta(minutes=2)
    two_clocks.stand_at(true, AT_MOST)
    for account, key in zip(accounts, keys, strict=True):
        browsers = two_clocks.browsers()
        for browser in browsers:
            browser.sign_in(address(account), PASSWORD)
        code = {"code": code_at(key, true.timestamp())}
        answers = [browsers[who].post("/sign-in/code", code).status_code for who in (asked_at, 1 - asked_at)]
        assert answers == [200, 401], "one of two, whichever is first"
        assert browsers[asked_at].post("/me/mfa/reset", {"password": PASSWORD}).status_code == 202
        assert site.kinds(account) == ["mfa_activated"], "a worker that is behind sends that much later"
    site.clock.advance(minutes=2, seconds=AT_MOST)
    links = [link_in(site.mails(account)[-1]) for account in accounts]
    two_clocks.stand_at(true + timedelta(hours=1, seconds=2.01), AT_MOST)
    assert [confirm_reset(each, links[0]).status_code for each in two_clocks.browsers()] == [410, 410]
    two_clocks.stand_at(true + timedelta(hours=1, seconds=-2.01), AT_MOST)
    assert confirm_reset(two_clocks.browsers()[0], links[1]).status_code == 200, (
        "the one that is ahead is the strict one"
    )
