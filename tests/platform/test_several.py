"""The container files for three brokers, a replica and two projectors, checked by the programs that will read them."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.embedded.ground import survey
from api.embedded.ports import free_port
from api.embedded.postgres import EmbeddedPostgres
from tests.delivery.steps import until
from tests.platform.machine import ROOT
from tests.platform.test_compose import COMPOSE, OURS, TOOLS, needs_compose

BROKERS = ("nats", "nats-2", "nats-3")
FILES = (ROOT / "docker-compose.yml", ROOT / ".docker" / "several.yml")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "made"
    subprocess.run([ROOT / ".docker" / "make-secrets", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def project(secrets: Path) -> dict[str, Any]:
    """Both files as Compose puts them together."""
    environment = {"PATH": os.environ["PATH"], "WATCHWORD_SECRETS": str(secrets)}
    words: list[str | Path] = [COMPOSE, "-f", FILES[0], "-f", FILES[1], "config", "--format", "json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_compose
def test_together_they_fit_the_schema_and_every_part_is_walled_in(project: dict[str, Any], tmp_path: Path) -> None:
    together = tmp_path / "together.json"
    together.write_text(json.dumps(project))
    words: list[str | Path] = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", together]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    services = project["services"]
    assert set(services) == {"postgres", "postgres-replica", *BROKERS, *OURS}
    for name, service in services.items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert not service.get("ports") or name == "web", name


@needs_compose
def test_x06_the_balancer_that_is_asked_for_is_counted(project: dict[str, Any]) -> None:
    """X06."""
    assert project["services"]["web"]["environment"]["TRUSTED_PROXIES"] == "1"


@needs_compose
def test_each_server_has_a_place_and_a_name_of_its_own_and_the_programs_know_them_all(
    project: dict[str, Any], secrets: Path
) -> None:
    services = project["services"]
    places = [
        volume["source"] for name in (*BROKERS, "postgres", "postgres-replica") for volume in services[name]["volumes"]
    ]
    assert sorted(places) == sorted({*BROKERS, "postgres", "postgres-replica"})
    assert [services[name]["environment"]["SERVER_NAME"] for name in BROKERS] == list(BROKERS)
    for user in ("worker", "relay"):
        assert project["secrets"][f"{user}_nats_url"]["file"] == str(secrets / f"{user}_nats_urls")
        assert [f"@{name}:4222" in (secrets / f"{user}_nats_urls").read_text() for name in BROKERS] == [True] * 3
    assert [f"@{name}:6222" in (secrets / "nats_routes").read_text() for name in BROKERS] == [True] * 3
    assert {services[name]["environment"]["NATS_REPLICAS"] for name in ("relay", "worker")} == {"3"}
    assert services["web"]["environment"]["READ_DATABASE_URL_FILE"] == "/run/secrets/read_database_url"
    assert "@postgres-replica:5432/" in (secrets / "read_database_url").read_text()
    assert services["projector"]["deploy"]["replicas"] == 2


@needs_compose
def test_no_password_is_in_an_environment_and_the_replica_knows_its_own_alone(
    project: dict[str, Any], secrets: Path
) -> None:
    names = ("owner_password", "app_password", "nats_password", "replica_password")
    services = project["services"]
    assert not [name for name in names if (secrets / name).read_text() in json.dumps(project)]
    assert {each["source"] for each in services["postgres-replica"]["secrets"]} == {"replica_password"}
    owners = {"admin_database_url", "owner_password"}
    knowing = {n for n, s in services.items() if owners & {each["source"] for each in s.get("secrets", [])}}
    assert knowing == {"postgres", "migrate"}


def test_each_broker_takes_its_configuration(secrets: Path, tmp_path: Path) -> None:
    etc, run = tmp_path / "etc" / "nats", tmp_path / "run" / "secrets"
    etc.mkdir(parents=True)
    run.mkdir(parents=True)
    shutil.copy(ROOT / ".docker" / "nats.conf", etc / "nats.conf")
    shutil.copy(ROOT / ".docker" / "nats-cluster.conf", etc / "watchword.conf")
    for name in ("nats_user", "nats_users", "nats_routes"):
        shutil.copy(secrets / name, run / name)
    words: list[str | Path] = [TOOLS / "nats-server", "-t", "-c", etc / "watchword.conf"]
    environment = {"PATH": os.environ["PATH"], "SERVER_NAME": "nats-2"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_replica_copies_the_database_with_its_own_role_and_follows_it(secrets: Path, tmp_path: Path) -> None:
    """The scripts of the containers, on two servers of ours."""
    password, port = (secrets / "replica_password").read_text(), free_port()
    primary = EmbeddedPostgres(tmp_path / "primary", durable=False)
    primary.start()
    place = survey(tmp_path / "replica")
    try:
        role = (ROOT / ".docker" / "replica.sql").read_text().replace("/run/secrets", str(secrets))
        psql = place.program("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", primary.owner_url)
        subprocess.run([*psql["args"]], input=role, text=True, check=True)
        shutil.copyfile(ROOT / ".docker" / "pg_hba.conf", primary.folder / "cluster" / "pg_hba.conf")
        script = (ROOT / ".docker" / "replica").read_text().replace("$(cat /run/secrets/replica_password)", password)
        given = place.program("postgres")
        options = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"]
        given["args"] = ["sh", "-c", script, "replica", *(word for each in options for word in ("-c", each))]
        given["env"] |= {"PATH": f"{place.programs}:{os.defpath}", "PGDATA": f"{place.folder}/data"}
        given["env"] |= {"PRIMARY_HOST": "127.0.0.1", "PRIMARY_PORT": str(primary.port)}
        with psycopg.connect(primary.owner_url, autocommit=True) as owner:
            owner.execute("SELECT pg_reload_conf()")
            assert owner.execute("SELECT FROM pg_hba_file_rules WHERE error IS NOT NULL").fetchall() == []
            with subprocess.Popen(**given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as replica:
                try:
                    until(lambda: owner.execute("SELECT FROM pg_stat_replication").fetchall() != [])
                    owner.execute("CREATE TABLE seen AS SELECT 7 AS number")
                    until(lambda: _seen(primary.app_url, primary.owner_url, port) == (7, True))
                finally:
                    replica.terminate()
    finally:
        place.close()
        primary.stop()


def _seen(app_url: str, owner_url: str, port: int) -> tuple[object, ...] | None:
    """Return what the replica has; nobody but who may on the primary can come in."""
    try:
        with psycopg.connect(owner_url, port=port) as connection, psycopg.connect(app_url, port=port):
            return connection.execute("SELECT number, pg_is_in_recovery() FROM seen").fetchone()
    except psycopg.Error:
        return None
