"""A streaming replica of PostgreSQL shows the views; sessions, rights and facts stay with the database itself."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api import bootstrap
from api.cli.importing import take_file
from api.embedded.ground import survey
from api.embedded.ports import free_port
from api.embedded.postgres import EmbeddedPostgres
from api.settings import Settings
from domain.facts import Enforced, Population
from tests.delivery.steps import append, until
from tests.directory import write_directory
from tests.flows.steps import column, enrolled, signed_in
from tests.servers import Database
from tests.services import Portal, SetClock, settings_for


class Replica(EmbeddedPostgres):
    """A server that follows another one."""

    def _make_database(self) -> None:
        """It comes with the rest."""


@contextmanager
def replica_of(primary: EmbeddedPostgres, folder: Path) -> Iterator[Replica]:
    replica = Replica(folder, durable=False, port=free_port())
    replica.folder.mkdir(parents=True, mode=0o700)
    shutil.copy(primary.data_dir / "postgres.secrets.json", folder / "postgres.secrets.json")
    ground = survey(replica.folder)
    try:
        words = ("-D", f"{ground.folder}/cluster", "-d", primary.url("watchword_owner", "postgres"), "-R", "-c", "fast")
        subprocess.run(**ground.program("pg_basebackup", *words), check=True, capture_output=True)
    finally:
        ground.close()
    replica.start()
    try:
        yield replica
    finally:
        replica.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    primary = EmbeddedPostgres(tmp_path / "primary", durable=False)
    primary.start()
    try:
        bootstrap.ensure_kek(tmp_path / "keys" / "kek.json")
        settings = settings_for(tmp_path, Database(primary.owner_url, primary.app_url))
        bootstrap.migrate(settings)
        with replica_of(primary, tmp_path / "replica") as replica:
            yield replace(settings, read_database_url=replica.app_url)
    finally:
        primary.stop()


@pytest.fixture
def watchword(settings: Settings, tmp_path: Path) -> Iterator[bootstrap.Watchword]:
    watchword = bootstrap.build(settings, clock=SetClock())
    assert not take_file(write_directory(tmp_path), watchword).errors
    yield watchword
    watchword.close()


def test_what_was_just_done_is_seen_on_the_replica_by_its_position(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    enrolled(portal, "dist-support")
    position = portal.watchword.store.last_position()
    assert column(owner, "dist", "dist-support", position)["mfa_status"] == "Active"
    found = portal.watchword.views.one("SELECT pg_is_in_recovery() AS replica")
    assert found == {"replica": True}


def test_a_replica_that_has_stopped_following_is_waited_for_and_is_never_taken_for_newer_than_it_is(
    portal: Portal,
) -> None:
    w, owner, path = portal.watchword, signed_in(portal, "dist-owner"), "/partners/dist/mfa-policy"
    assert owner.get(path, min_position=w.store.last_position()).status_code == 200
    with psycopg.connect(_as_owner(w.settings), autocommit=True) as replica:
        replica.execute("SELECT pg_wal_replay_pause()")
        position = append(w, "partner_policy:dist", Enforced(population=Population.PARTNER_USERS)).position
        assert owner.get(path, min_position=position).status_code == 503
        old = owner.get(path).json()
        assert (old["enforce_partner_users"], old["position"] < position) == (False, True)
        replica.execute("SELECT pg_wal_replay_resume()")
    until(lambda: owner.get(path, min_position=position).status_code == 200)
    assert owner.get(path, min_position=position).json()["enforce_partner_users"] is True


def _as_owner(settings: Settings) -> str:
    """Return the replica's address for the owner of the database."""
    there = conninfo_to_dict(settings.need("read_database_url"))
    return make_conninfo(settings.need("admin_database_url"), port=there["port"])
