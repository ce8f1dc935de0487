"""Fixtures of real servers: one PostgreSQL for the whole run; a fresh database, and a fresh NATS, for each test."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from api import bootstrap
from api.cli.importing import take_file
from api.connections import connection_options
from api.embedded.nats import EmbeddedNats
from api.embedded.ports import free_port
from api.settings import Settings, read
from api.web import create_app
from handlers.ports import Origin
from tests.directory import write_directory
from tests.portal import Browser
from tests.servers import Database, Servers, shared


@dataclass
class SetClock:
    """A clock that the test moves. It never goes back."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, **spans: float) -> None:
        self.ahead += timedelta(**spans)


def settings_for(folder: Path, database: Database, **more: str) -> Settings:
    """Return settings as the environment would give them."""
    environ = {"PORT": str(free_port()), "DATA_DIR": str(folder), "SMTP_URL": "smtp://127.0.0.1:9"}
    settings = read({**environ, "DATABASE_URL": database.app_url, **more}, ask_running=False)
    return replace(settings, admin_database_url=database.owner_url, web_processes=1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """PostgreSQL without fsync, shared by all processes of this run, and a folder with the deployment's keys."""
    base = tmp_path_factory.getbasetemp()
    with shared((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "servers") as servers:
        yield servers


@pytest.fixture
def nats_url(tmp_path: Path) -> Iterator[str]:
    """A NATS of the test's own, since the stream's name is always the same; it is up in 20 ms."""
    nats = EmbeddedNats(tmp_path / "nats", sync_always=False)
    nats.start()
    try:
        yield nats.url
    finally:
        nats.stop()


@pytest.fixture(scope="session")
def empty_template(servers: Servers) -> str:
    """A database with tables and nothing in them."""

    def make() -> str:
        database = servers.database(None)
        bootstrap.migrate(settings_for(servers.folder, database))
        return database.name

    return servers.once("empty_template", make)


@pytest.fixture(scope="session")
def filled_template(servers: Servers, empty_template: str) -> str:
    """The same with the test directory in it."""

    def make() -> str:
        database = servers.database(empty_template)
        watchword = bootstrap.build(settings_for(servers.folder, database))
        result = take_file(write_directory(servers.folder), watchword)
        assert not result.errors
        projector = bootstrap.projector(watchword)
        while projector.step():
            pass
        projector.close()
        watchword.close()
        return database.name

    return servers.once("filled_template", make)


@pytest.fixture
def database(servers: Servers, empty_template: str) -> Iterator[Database]:
    """A database of the test's own, with tables and nothing in them."""
    with servers.lent(empty_template) as database:
        yield database


@dataclass
class Portal:
    """A running web application on a database of its own, with a clock that the test moves."""

    watchword: bootstrap.Watchword
    clock: SetClock
    address: str
    browsers: list[Browser] = field(default_factory=list)

    def browser(self, **options: object) -> Browser:
        browser = Browser.at(self.address, **options)
        self.browsers.append(browser)
        return browser


@pytest.fixture
def settings(servers: Servers, filled_template: str) -> Iterator[Settings]:
    with servers.lent(filled_template) as database:
        yield settings_for(servers.folder, database)


@pytest.fixture
def watchword(settings: Settings) -> Iterator[bootstrap.Watchword]:
    """The plugs on a database with the test directory."""
    built = bootstrap.build(settings, clock=SetClock())
    yield built
    built.close()


@pytest.fixture
def portal(watchword: bootstrap.Watchword) -> Iterator[Portal]:
    """The web application and the projector, over real HTTP."""
    clock = watchword.sockets.clock
    assert isinstance(clock, SetClock)
    with serving(watchword), projecting(watchword):
        portal = Portal(watchword, clock, watchword.settings.public_url)
        yield portal
        for browser in portal.browsers:
            browser.http.close()


@contextmanager
def serving(watchword: bootstrap.Watchword, **options: Any) -> Iterator[uvicorn.Server]:
    """Serve as ``watchword web`` does, with other options of uvicorn where they are given."""
    options = connection_options(watchword.settings) | options
    config = uvicorn.Config(create_app(watchword), port=watchword.settings.port, log_level="error", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield server
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def projecting(watchword: bootstrap.Watchword) -> Iterator[None]:
    stop, projector = threading.Event(), bootstrap.projector(watchword)
    thread = threading.Thread(target=projector.follow, args=(watchword.settings.need("database_url"), stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        projector.close()


def by_operator(watchword: bootstrap.Watchword) -> Origin:
    """Return what the operator's next wish is known by."""
    s = watchword.sockets
    return Origin(actor="operator", command_id=s.chance.new_id(), at=s.clock.now())
