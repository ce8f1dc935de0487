"""A new key-encryption key: every secret stays readable, whenever the work is cut off, and the old key ends."""

import json
import os
from itertools import islice
from pathlib import Path

import pytest

from domain.totp import shared_secret
from handlers.adapters.keyring import DerivedKeys, KeyFileRefused, Keyring
from handlers.adapters.vault import SealedVault
from handlers.ports import Unreadable
from tests.contract.safes import ACCOUNTS, Safe


@pytest.fixture
def secrets(safe: Safe) -> dict[str, str]:
    """Every account has a secret under the first key."""
    kept = {account_id: shared_secret(os.urandom(20)) for account_id in ACCOUNTS}
    for account_id, secret in kept.items():
        safe.keep(account_id, account_id, secret)
    return kept


def all_open(safe: Safe, secrets: dict[str, str]) -> bool:
    return {account_id: safe.open(account_id, account_id) for account_id in secrets} == secrets


def test_after_a_rotation_all_is_readable_and_nothing_is_under_the_old_key(safe: Safe, secrets: dict[str, str]) -> None:
    assert safe.versions() == [1] * 4
    version = safe.keyring.rotate()
    assert all_open(safe, secrets)
    assert list(safe.vault.rewrap(version, batch=3)) == [3, 1]
    assert (version, safe.versions()) == (2, [2] * 4)
    assert all_open(safe, secrets)
    assert list(safe.vault.rewrap(version)) == []


def test_without_the_old_key_all_is_readable_after_the_rotation(safe: Safe, secrets: dict[str, str]) -> None:
    list(safe.vault.rewrap(safe.keyring.rotate()))
    content = json.loads(safe.key_file.read_text())
    del content["keks"]["1"]
    safe.key_file.write_text(json.dumps(content))
    safe.vault = SealedVault(safe.watchword.database, Keyring(safe.key_file))
    assert all_open(safe, secrets)


def test_a_rotation_that_was_cut_off_goes_on_where_it_stopped(safe: Safe, secrets: dict[str, str]) -> None:
    version = safe.keyring.rotate()
    assert list(islice(safe.vault.rewrap(version, batch=1), 2)) == [1, 1]
    assert safe.versions() == [1, 1, 2, 2]
    assert all_open(safe, secrets)
    anew = SealedVault(safe.watchword.database, Keyring(safe.key_file))
    assert sum(anew.rewrap(version, batch=1)) == 2
    assert safe.versions() == [2] * 4
    assert all_open(safe, secrets)


def test_a_new_rotation_overtakes_one_that_was_cut_off(safe: Safe, secrets: dict[str, str]) -> None:
    assert list(islice(safe.vault.rewrap(safe.keyring.rotate(), batch=1), 1)) == [1]
    assert sum(safe.vault.rewrap(safe.keyring.rotate(), batch=3)) == 4
    assert safe.versions() == [3] * 4
    assert all_open(safe, secrets)


def test_a_process_from_before_the_rotation_seals_and_opens_with_the_new_key(
    safe: Safe, secrets: dict[str, str]
) -> None:
    old = SealedVault(safe.watchword.database, Keyring(safe.key_file))
    list(safe.vault.rewrap(safe.keyring.rotate()))
    for account_id, secret in secrets.items():
        assert old.open(tenant=ACCOUNTS[account_id], account_id=account_id, secret_ref=account_id) == secret
    assert old.seal(tenant="dist", account_id="nobody", secret_ref="ref", secret="x").kek_version == 2


def test_a_secret_that_is_kept_during_the_rotation_is_readable(safe: Safe, secrets: dict[str, str]) -> None:
    begun = safe.vault.rewrap(safe.keyring.rotate(), batch=1)
    next(begun)
    more = shared_secret(os.urandom(20))
    for account_id in secrets:
        safe.keep(account_id, f"second {account_id}", more)
    assert sum(begun) == 3
    assert [safe.open(account_id, f"second {account_id}") for account_id in secrets] == [more] * 4
    assert all_open(safe, secrets)


def test_a_version_that_is_not_in_the_file_is_refused(safe: Safe) -> None:
    with pytest.raises(Unreadable, match="version 9"):
        list(safe.vault.rewrap(9))


def test_mailed_links_and_digests_survive_a_rotation(tmp_path: Path) -> None:
    Keyring.create(tmp_path / "kek.json")
    keyring = Keyring(tmp_path / "kek.json")
    before = DerivedKeys(keyring)
    said = (before.link_secret("acc-1", "link-1"), before.digest("mail", "a"), before.digest("other", "a"))
    keyring.rotate()
    after = DerivedKeys(Keyring(tmp_path / "kek.json"))
    assert (after.link_secret("acc-1", "link-1"), after.digest("mail", "a"), after.digest("other", "a")) == said
    assert len(set(said)) == 3


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"root": "AA==", "current": 1, "keks": {"1": "AA=="}}', "null"])
def test_a_broken_key_file_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kek.json"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(KeyFileRefused, match="restore it"):
        Keyring(path)
    with pytest.raises(KeyFileRefused, match="missing"):
        Keyring(tmp_path / "none.json")
