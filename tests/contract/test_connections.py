"""Every connection takes the whole address, and is in UTC, whatever the database, its role and the machine say."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from api import bootstrap
from api.readiness import unfit
from api.settings import BadSetting, Settings
from handlers.adapters.postgres.database import Database, conninfo
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.adapters.postgres.lease import Lease
from handlers.ports import Unavailable
from projections.rebuilding import verify
from projections.views import VIEWS
from tests import servers
from tests.contract.plugs import at_once, change, origin
from tests.services import settings_for

ZONES = ("America/New_York", "Asia/Kolkata", "Pacific/Kiritimati")


@pytest.fixture
def owner(database: servers.Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        yield connection


def set_always(owner: psycopg.Connection[Any], database: servers.Database, name: str, value: str) -> None:
    """Set it for the database and for the application's role in it."""
    role = sql.Identifier(str(conninfo_to_dict(database.app_url)["user"]))
    here = sql.SQL("ALTER DATABASE {} SET {} = {}")
    there = sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}")
    named, setting, literal = sql.Identifier(database.name), sql.Identifier(name), sql.Literal(value)
    owner.execute(here.format(named, setting, literal))
    owner.execute(there.format(role, named, setting, literal))


@pytest.mark.parametrize("zone", ZONES)
def test_x36_every_connection_is_in_utc(owner: psycopg.Connection[Any], database: servers.Database, zone: str) -> None:
    set_always(owner, database, "timezone", zone)
    pool = Database(database.app_url)
    store = PostgresEventStore(database.app_url)
    try:
        row = pool.one("SELECT current_setting('timezone') AS zone, '2026-01-01T00:00Z'::timestamptz AS at")
        assert row == {"zone": "UTC", "at": datetime(2026, 1, 1, tzinfo=UTC)}
        assert row["at"].utcoffset() == UTC.utcoffset(None)
        assert store._rows("SELECT current_setting('timezone')", ()) == [("UTC",)]
        kept = Lease(database.app_url, "a lease")
        kept.close()
        for name in VIEWS:
            assert verify(database.app_url, store.read, name, lambda _: None).equal
    finally:
        pool.close()
        store.close()


@pytest.mark.parametrize("key", ["application_name", "target_session_attrs", "connect_timeout", "options", "sslmode"])
def test_x37_every_parameter_of_the_address_is_kept(key: str) -> None:
    values = {
        "application_name": "portal",
        "target_session_attrs": "read-write",
        "connect_timeout": "3",
        "options": "-c work_mem=9MB",
        "sslmode": "verify-full",
    }
    address = f"postgresql://u:p@one:5432,two:5433/db?{key}={values[key].replace(' ', '%20').replace('=', '%3D')}"
    given = conninfo_to_dict(conninfo(address, "-c lock_timeout=1"))
    assert (given["host"], given["port"], given["dbname"]) == ("one,two", "5432,5433", "db")
    assert str(given[key]).startswith(values[key])
    assert "timezone=UTC" in str(given["options"])


def test_x37_sslmode_holds_from_the_first_connection_on(database: servers.Database) -> None:
    """The embedded server has no encryption: who insists on it gets no connection at all, not a plain one."""
    with pytest.raises(Unavailable):
        PostgresEventStore(f"{database.app_url}?sslmode=require").last_position()
    pool = Database(f"{database.app_url}?sslmode=require")
    with pytest.raises(Unavailable):
        pool.one("SELECT 1")
    pool.close()


def test_x37_several_hosts_work_in_every_program(servers: servers.Servers, database: servers.Database) -> None:
    def several(url: str) -> str:
        before, _, host = url.rpartition("@")
        return f"{before}@127.0.0.1:1,{host}"

    apart = type(database)(several(database.owner_url), several(database.app_url))
    settings = settings_for(servers.folder, apart)
    with pytest.raises(BadSetting, match="fsync"):  # it was asked: the tests' server runs without
        bootstrap.refuse_unsafe(settings)
    assert bootstrap.migrate(settings) == []
    watchword = bootstrap.build(settings, pool_size=2)
    follower = bootstrap.projector(watchword)
    try:
        watchword.store.append(change("user_mfa:acc-1", 0, 1), origin=origin())
        assert watchword.store.last_position() > 0
        follower.step()
    finally:
        follower.close()
        watchword.close()


def test_x35_a_read_only_database_refuses_commands_and_is_not_ready(settings: Settings) -> None:
    owner_url = str(settings.admin_database_url)
    apart = servers.Database(owner_url, str(settings.database_url))
    with psycopg.connect(owner_url, autocommit=True) as owner:
        set_always(owner, apart, "default_transaction_read_only", "on")
    watchword = bootstrap.build(settings)
    try:
        with pytest.raises(Unavailable, match="read-only"):
            watchword.store.append(change("user_mfa:acc-1", 0, 1), origin=origin())
        with pytest.raises(Unavailable, match="read-only"):
            watchword.database.run("DELETE FROM throttle")
        assert "read-only" in asyncio.run(unfit(watchword))["database"]
    finally:
        watchword.close()


def test_x35_after_all_connections_were_cut_every_read_recovers_at_once(
    owner: psycopg.Connection[Any], database: servers.Database
) -> None:
    pool, store = Database(database.app_url), PostgresEventStore(database.app_url)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    try:
        at_once(8, lambda _: pool.one("SELECT pg_sleep(0.1)"))  # so that there are many connections
        owner.execute(cut)
        assert at_once(8, lambda _: pool.one("SELECT 1 AS one")) == [{"one": 1}] * 8
        assert at_once(8, lambda _: store.last_position()) == [0] * 8
    finally:
        pool.close()
        store.close()


def test_x35_the_first_request_after_all_connections_were_cut_is_answered(
    owner: psycopg.Connection[Any], database: servers.Database
) -> None:
    """However many there were: the pool's own check waits longer after each dead one, and refused one request after another."""
    pool = Database(database.app_url, pool_size=8)
    try:
        at_once(8, lambda _: pool.one("SELECT pg_sleep(0.3)"))
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
        assert len(owner.execute(cut, (owner.info.backend_pid,)).fetchall()) >= 8
        time.sleep(1.1)  # longer than a connection that has just answered is trusted
        for _ in range(3):
            with pool.transaction() as connection:
                assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    finally:
        pool.close()
