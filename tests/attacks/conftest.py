"""One service under attack for all cases of a process, and for each case a network of its own."""

from collections.abc import Iterator

import pytest

from api import bootstrap
from tests.attacks.site import PUBLIC_URL, Site
from tests.attacks.web_process import SharedClock
from tests.issuer import Issuer, issuing
from tests.servers import Servers
from tests.services import projecting, settings_for


@pytest.fixture(scope="session")
def running(servers: Servers, empty_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "clock").write_text("0")
    clock = SharedClock(folder / "clock")
    with servers.lent(empty_template) as database:
        settings = settings_for(servers.folder, database, PUBLIC_URL=PUBLIC_URL, LEDGER_DIR=str(folder / "ledger"))
        watchword = bootstrap.build(settings, clock=clock)
        site = Site(watchword, clock, PUBLIC_URL, folder=folder)
        try:
            with projecting(watchword):
                site.start()
                yield site
        finally:
            site.stop()
            watchword.close()


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    running.begin()
    yield running
    running.end()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing(Issuer()) as running:
        yield running
