"""Real servers for the tests: PostgreSQL and NATS once for each test process, a fresh database for each test."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import uvicorn
from psycopg import sql

from api import bootstrap
from api.cli.importing import take_file
from api.embedded.nats import EmbeddedNats
from api.embedded.ports import free_port
from api.embedded.postgres import EmbeddedPostgres
from api.settings import Settings, read
from api.web import create_app
from tests.directory import write_directory
from tests.portal import Browser


@dataclass
class SetClock:
    """A clock that the test moves. It never goes back."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, **spans: float) -> None:
        self.ahead += timedelta(**spans)


@dataclass
class Servers:
    """The servers of one test process."""

    postgres: EmbeddedPostgres
    folder: Path
    made: int = 0

    def database(self, template: str | None) -> tuple[str, str]:
        """Make a database and return its addresses for the owner and for the application."""
        self.made += 1
        name = f"test_{self.made}"
        with psycopg.connect(self.postgres.owner_url, autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
            if template:
                statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
            connection.execute(statement)
        return _named(self.postgres.owner_url, name), _named(self.postgres.app_url, name)


def _named(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def settings_for(folder: Path, owner_url: str, app_url: str, **more: str) -> Settings:
    """Return settings as the environment would give them."""
    port = str(free_port())
    environ = {"PORT": port, "DATA_DIR": str(folder), "DATABASE_URL": app_url, "SMTP_URL": "smtp://127.0.0.1:9", **more}
    return replace(read(environ, ask_running=False), admin_database_url=owner_url, web_processes=1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """PostgreSQL without fsync, and a folder with the deployment's keys."""
    folder = tmp_path_factory.mktemp("servers")
    postgres = EmbeddedPostgres(folder / "pg", durable=False)
    postgres.start()
    try:
        bootstrap.ensure_kek(folder / "keys" / "kek.json")
        yield Servers(postgres, folder)
    finally:
        postgres.stop()


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    nats = EmbeddedNats(tmp_path_factory.mktemp("nats"), sync_always=False)
    nats.start()
    try:
        yield nats.url
    finally:
        nats.stop()


@pytest.fixture(scope="session")
def empty_template(servers: Servers) -> str:
    """A database with tables and nothing in them."""
    owner_url, app_url = servers.database(None)
    settings = settings_for(servers.folder, owner_url, app_url)
    bootstrap.migrate(settings)
    return urlsplit(owner_url).path.lstrip("/")


@pytest.fixture(scope="session")
def filled_template(servers: Servers, empty_template: str) -> str:
    """The same with the test directory in it."""
    owner_url, app_url = servers.database(empty_template)
    watchword = bootstrap.build(settings_for(servers.folder, owner_url, app_url))
    result = take_file(write_directory(servers.folder), watchword)
    assert not result.errors
    projector = bootstrap.projector(watchword)
    while projector.step():
        pass
    projector.close()
    watchword.close()
    return urlsplit(owner_url).path.lstrip("/")


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
def settings(servers: Servers, filled_template: str) -> Settings:
    owner_url, app_url = servers.database(filled_template)
    return settings_for(servers.folder, owner_url, app_url)


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
def serving(watchword: bootstrap.Watchword) -> Iterator[None]:
    config = uvicorn.Config(create_app(watchword), port=watchword.settings.port, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield
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
