"""A streaming replica of PostgreSQL shows the views; sessions, rights and facts stay with the database itself."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
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
from tests.directory import PASSWORD, address, write_directory
from tests.flows.steps import column, enforce, enrolled, give_code, signed_in, step_up
from tests.portal import Browser
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
def primary(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    primary = EmbeddedPostgres(tmp_path / "primary", durable=False)
    primary.start()
    try:
        bootstrap.ensure_kek(tmp_path / "keys" / "kek.json")
        bootstrap.migrate(settings_for(tmp_path, Database(primary.owner_url, primary.app_url)))
        yield primary
    finally:
        primary.stop()


@pytest.fixture
def replica(primary: EmbeddedPostgres, tmp_path: Path) -> Iterator[Replica]:
    with replica_of(primary, tmp_path / "replica") as replica:
        yield replica


@pytest.fixture
def settings(primary: EmbeddedPostgres, replica: Replica, tmp_path: Path) -> Settings:
    settings = settings_for(tmp_path, Database(primary.owner_url, primary.app_url))
    return replace(settings, read_database_url=replica.app_url)


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
        portal.clock.advance(seconds=3)
        users = owner.get("/partners/dist/users").json()
        assert (users["position"] < position, users["lag_ms"] >= 3000) == (True, True)
        replica.execute("SELECT pg_wal_replay_resume()")
    until(lambda: owner.get(path, min_position=position).status_code == 200)
    assert owner.get(path, min_position=position).json()["enforce_partner_users"] is True


SHOWN = ("users", "mfa-policy", "summary", "audit")
"""What a partner's views answer."""
PAGES = ("/", "/user-management", "/audit")


def test_while_the_replica_is_away_views_are_refused_by_name_and_sign_in_and_wishes_go_on(
    portal: Portal, replica: Replica
) -> None:
    w, (owner, key) = portal.watchword, enrolled(portal, "dist-owner")
    until(lambda: shown(portal, owner) == {200})
    replica.stop()
    for each in SHOWN:
        answer = owner.get(f"/partners/dist/{each}")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), each
        assert (answer.json()["reason"], "Try again in a moment" in answer.json()["detail"]) == ("unavailable", True)
        assert int(answer.headers["retry-after"]) > 0
    for each in PAGES:
        answer = page(portal, owner, each)
        assert (answer.status_code, "Try again in a moment" in answer.text) == (503, True), each
        assert answer.headers["content-type"].startswith("text/html")
    assert page(portal, owner, "/security-settings").status_code == 200, (
        "what is demanded is decided by facts, not views"
    )
    again = portal.browser()
    assert again.sign_in(address("dist-owner"), PASSWORD, "dist-owner")["state"] == "mfa_code_required"
    assert give_code(portal, again, key).json()["state"] == "signed_in"
    step_up(portal, again, key)
    enforced = enforce(again, "dist", users=True)
    assert enforced.status_code == 200, enforced.text
    enrolled(portal, "dist-support")
    end = w.store.last_position()
    replica.start()
    until(lambda: owner.get("/partners/dist/mfa-policy", min_position=end).status_code == 200)
    assert owner.get("/partners/dist/mfa-policy").json()["enforce_partner_users"] is True
    assert column(owner, "dist", "dist-support", end)["mfa_status"] == "Active"
    assert shown(portal, owner) == {200}


def shown(portal: Portal, browser: Browser) -> set[int]:
    """Return the statuses with which all of it is answered."""
    answers = [browser.get(f"/partners/dist/{each}") for each in SHOWN]
    return {each.status_code for each in (*answers, *(page(portal, browser, path) for path in PAGES))}


def page(portal: Portal, browser: Browser, path: str) -> httpx.Response:
    """Look at a page with the same sign-in."""
    return browser.http.get(f"{portal.address}{path}", headers={"Sec-Fetch-Site": "same-origin"})


def _as_owner(settings: Settings) -> str:
    """Return the replica's address for the owner of the database."""
    there = conninfo_to_dict(settings.need("read_database_url"))
    return make_conninfo(settings.need("admin_database_url"), port=there["port"])
