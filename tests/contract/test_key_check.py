"""X44, X91: no key is lost by a rotation, and no program starts without a key that stored secrets need."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api import bootstrap
from api.readiness import unfit
from domain.totp import shared_secret
from handlers.adapters.keyring import KeyFileRefused, Keyring
from handlers.adapters.vault import SealedVault
from tests.contract.plugs import at_once
from tests.contract.safes import ACCOUNTS, Safe

CUT_OFF = """
    CREATE SEQUENCE rewrapped;
    CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF nextval('rewrapped') = {row} THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER cut_off BEFORE UPDATE ON data_key FOR EACH ROW EXECUTE FUNCTION cut_off();"""


@pytest.fixture
def secrets(safe: Safe) -> dict[str, str]:
    kept = {account_id: shared_secret(os.urandom(20)) for account_id in ACCOUNTS}
    for account_id, secret in kept.items():
        safe.keep(account_id, account_id, secret)
    return kept


@pytest.fixture
def console(safe: Safe) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The console command in a process of its own, on the test's key file."""
    settings = safe.watchword.settings
    environ = {
        **os.environ,
        "DATA_DIR": str(safe.key_file.parent),
        "DATABASE_URL": str(settings.database_url),
        "ADMIN_DATABASE_URL": str(settings.admin_database_url),
        "NATS_URL": "nats://127.0.0.1:9",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "WATCHWORD_KEK_FILE": str(safe.key_file),
        "PORT": str(settings.port),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "api.cli", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)

    return run


def all_open(safe: Safe, secrets: dict[str, str]) -> bool:
    """Open every secret as a program does that has just started."""
    vault = SealedVault(safe.watchword.database, Keyring(safe.key_file))
    return secrets == {
        account_id: vault.open(tenant=ACCOUNTS[account_id], account_id=account_id, secret_ref=account_id)
        for account_id in secrets
    }


def without(key_file: Path, version: int) -> None:
    content = json.loads(key_file.read_text())
    del content["keks"][str(version)]
    key_file.write_text(json.dumps(content))


def test_x44_rotations_at_once_lose_no_key(safe: Safe) -> None:
    versions = at_once(8, lambda _: Keyring(safe.key_file).rotate())
    assert sorted(versions) == list(range(2, 10))
    assert Keyring(safe.key_file).versions() == set(range(1, 10))


def test_x44_two_rotations_at_once_at_the_console(safe: Safe, secrets: dict[str, str], console: Any) -> None:
    with ThreadPoolExecutor(2) as threads:
        done = [each.result() for each in [threads.submit(console, "keys", "rotate", "--json") for _ in range(2)]]
    assert [each.returncode for each in done] == [0, 0], done
    assert sorted(json.loads(each.stdout)["version"] for each in done) == [2, 3]
    assert safe.versions() == [3] * len(secrets)
    assert all_open(safe, secrets)


def test_x44_a_row_that_is_left_is_counted_and_said(safe: Safe, secrets: dict[str, str], console: Any) -> None:
    held = psycopg.connect(str(safe.watchword.settings.database_url))
    held.execute("SELECT FROM data_key WHERE account_id = 'dist-admin' FOR UPDATE")
    done = console("keys", "rotate", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (1, {"version": 2, "rewrapped": 3, "left": 1})
    held.close()
    done = console("keys", "rotate", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"version": 3, "rewrapped": 4, "left": 0})
    assert all_open(safe, secrets)


@pytest.mark.usefixtures("secrets")
def test_x44_a_damaged_row_stops_no_other_one(safe: Safe) -> None:
    safe.watchword.database.run("UPDATE data_key SET wrapped = '\\x00' WHERE account_id = 'dist-admin'")
    version = safe.keyring.rotate()
    assert sum(safe.vault.rewrap(version, batch=1)) == 3
    assert safe.vault.left(version) == 1


@pytest.mark.parametrize("row", [1, 2, 3, 4])
def test_x44_cut_off_at_any_row_everyone_is_readable_and_a_second_run_completes(
    safe: Safe, secrets: dict[str, str], console: Any, row: int
) -> None:
    with psycopg.connect(str(safe.watchword.settings.admin_database_url), autocommit=True) as owner:
        owner.execute(CUT_OFF.format(row=row).encode())
        owner.execute("GRANT USAGE ON SEQUENCE rewrapped TO PUBLIC")
    assert console("keys", "rotate").returncode == 1
    assert all_open(safe, secrets)
    assert console("keys", "rotate").returncode == 0
    assert set(safe.versions()) == {3}
    assert all_open(safe, secrets)


@pytest.mark.usefixtures("secrets")
def test_x44_a_key_that_is_needed_and_missing_is_refused_and_not_ready(safe: Safe, console: Any) -> None:
    safe.keyring.rotate()
    without(safe.key_file, 1)
    for words in (("web",), ("worker",), ("migrate",), ("accounts", "list")):
        done = console(*words)
        assert done.returncode == 1, (words, done)
        assert done.stderr.count("\n") == 1, done.stderr
        assert f"{safe.key_file} lacks version 1" in done.stderr
        assert "restore the file" in done.stderr
    apart = bootstrap.Watchword(
        **{name: getattr(safe.watchword, name) for name in safe.watchword.__dataclass_fields__ if name != "keyring"},
        keyring=Keyring(safe.key_file),
    )
    assert "lacks version 1" in asyncio.run(unfit(apart))["keys"]


@pytest.mark.parametrize("left", [None, "", "{}", '{"root": 1, "current": 1, "keks": []}', "\x00\x01"])
@pytest.mark.usefixtures("secrets")
def test_x91_no_program_starts_on_data_without_its_key_file(safe: Safe, console: Any, left: str | None) -> None:
    safe.key_file.unlink()
    if left is not None:
        safe.key_file.touch(mode=0o600)
        safe.key_file.write_text(left)
    for words in (("web",), ("migrate",)):
        done = console(*words)
        assert done.returncode == 1, (words, done)
        assert done.stderr.count("\n") == 1, done.stderr
        assert str(safe.key_file) in done.stderr
        assert "restore it" in done.stderr
    assert safe.key_file.exists() == (left is not None), "no key is made in place of one that is missing"


def test_x91_keys_are_made_for_new_data_alone(safe: Safe, console: Any) -> None:
    safe.key_file.unlink()
    console("migrate")
    assert Keyring(safe.key_file).versions() == {1}
    safe.keep("dist-owner", "dist-owner", shared_secret(os.urandom(20)))
    safe.key_file.unlink()
    assert "is missing" in console("migrate").stderr
    with pytest.raises(KeyFileRefused, match="is missing"):
        Keyring(safe.key_file)
