"""The container files, checked by the programs that will read them; no container engine is needed."""

import json
import os
import platform
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.embedded import ground
from tests.platform.machine import ROOT
from tests.servers import Servers

TOOLS = Path(sys.executable).parent
COMPOSE = TOOLS / "docker-compose"
HADOLINT = TOOLS / "hadolint"
PROGRAMS = ("web", "relay", "projector", "worker")
OURS = ("migrate", *PROGRAMS)
DOCKERFILE = ROOT / ".docker" / "Dockerfile"

HERE = (platform.system(), platform.machine())
needs_compose = pytest.mark.skipif(HERE != ("Linux", "x86_64"), reason="the compose program is for Linux on x86_64")
"""Where the program exists, a set-up that lost it fails here instead of passing without a look."""
HAS_HADOLINT = HERE[0] in {"Linux", "Darwin"} and HERE[1] in {"x86_64", "aarch64", "arm64"}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "made"
    subprocess.run([ROOT / ".docker" / "make-secrets", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def services(secrets: Path) -> dict[str, Any]:
    environment = {"PATH": os.environ["PATH"], "WATCHWORD_SECRETS": str(secrets)}
    words: list[str | Path] = [
        COMPOSE,
        "-f",
        ROOT / "docker-compose.yml",
        "--profile",
        "dev",
        "config",
        "--format",
        "json",
    ]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_it_fits_the_schema_of_compose_files() -> None:
    words: list[str | Path] = [
        TOOLS / "check-jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        ROOT / "docker-compose.yml",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_compose
def test_every_part_is_walled_in(services: dict[str, Any]) -> None:
    assert set(services) == {"postgres", "nats", "mailpit", *OURS}
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("cap_add"), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True, name
        assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert service["logging"]["options"]["max-size"], name
        assert not service.get("privileged"), name
    assert {services[name]["user"] for name in OURS} == {"10001:10001"}


@needs_compose
def test_x06_the_proxy_that_is_asked_for_is_counted(services: dict[str, Any]) -> None:
    """X06: else everybody behind it is one caller, whom thirty wrong passwords lock out."""
    assert services["web"]["environment"]["TRUSTED_PROXIES"] == "1"


@needs_compose
def test_the_signed_checkpoints_outlive_their_container(services: dict[str, Any]) -> None:
    for name in ("projector", "web"):
        place = services[name]["environment"]["LEDGER_DIR"]
        kept = {volume["target"]: volume for volume in services[name]["volumes"]}
        assert kept[place]["type"] == "volume", name
        assert kept[place]["source"] == "ledger", name
        assert not kept[place].get("read_only"), name
        assert f" {place}" in DOCKERFILE.read_text(), "the image makes the folder, so the volume is ours to write"


@needs_compose
def test_only_loopback_is_published_and_the_inner_network_has_no_way_out(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert set(published) == {"web", "mailpit"}
    assert {port["host_ip"] for ports in published.values() for port in ports} == {"127.0.0.1"}
    outside = {name for name, service in services.items() if "front" in (service.get("networks") or {})}
    assert outside == {"web", "worker", "mailpit"}
    assert services["mailpit"]["profiles"] == ["dev"]


@needs_compose
def test_what_serves_waits_for_migrations_and_the_worker_is_two(services: dict[str, Any]) -> None:
    for name in PROGRAMS:
        assert services[name]["command"] == [name]
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert services[name]["depends_on"]["nats"]["condition"] == "service_healthy"
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["postgres"]["image"] == "postgres:18"


@needs_compose
def test_no_password_is_in_an_environment_and_only_migrations_know_the_owners(
    services: dict[str, Any], secrets: Path
) -> None:
    words = [(secrets / name).read_text() for name in ("owner_password", "app_password", "nats_password")]
    assert all(len(word) >= 40 for word in words)
    assert not [word for word in words if word in json.dumps(services)]
    knowing = {
        name
        for name, service in services.items()
        if {"admin_database_url", "owner_password"} & {secret["source"] for secret in service.get("secrets", [])}
    }
    assert knowing == {"postgres", "migrate"}


def test_secrets_are_made_once_and_for_one_account(secrets: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    subprocess.run([ROOT / ".docker" / "make-secrets", secrets], check=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert ".secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_broker_takes_its_configuration(secrets: Path, tmp_path: Path) -> None:
    for name, place in ((ROOT / ".docker" / "nats.conf", "etc/nats"), (secrets / "nats_users", "run/secrets")):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(name, tmp_path / place)
    words: list[str | Path] = [TOOLS / "nats-server", "-t", "-c", tmp_path / "etc" / "nats" / "nats.conf"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sync_interval: always" in (ROOT / ".docker" / "nats.conf").read_text()


def test_the_role_of_the_service_can_come_in_and_make_nothing(servers: Servers, secrets: Path, tmp_path: Path) -> None:
    """The script of the image, on a database of ours, under other names."""
    psql = ground._programs() / "psql"
    with servers.lent(None) as database:
        script = (ROOT / ".docker" / "role.sql").read_text().replace("/run/secrets", str(secrets))
        script = script.replace("watchword_app", "compose_app").replace(
            "DATABASE watchword", f"DATABASE {database.name}"
        )
        (tmp_path / "role.sql").write_text(script)
        words: list[str | Path] = [
            psql,
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database.owner_url,
            "-f",
            tmp_path / "role.sql",
        ]
        subprocess.run(words, check=True)
        try:
            password = (secrets / "app_password").read_text()
            with (
                psycopg.connect(database.app_url, user="compose_app", password=password) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute("CREATE TABLE mine ()")
        finally:
            with psycopg.connect(database.owner_url, autocommit=True) as connection:
                connection.execute("DROP OWNED BY compose_app")
                connection.execute("DROP ROLE compose_app")


@pytest.mark.skipif(not HAS_HADOLINT, reason="hadolint is not for this platform")
def test_the_image_has_no_bad_habits() -> None:
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_gets_what_it_copies_and_nothing_else() -> None:
    lines = DOCKERFILE.read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied <= let_in | {f"{name}/" for name in let_in}
    assert all((ROOT / name).exists() for name in copied)
    assert "USER 10001:10001" in lines
