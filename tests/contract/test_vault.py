"""Shared secrets: sealed for one account, readable nowhere else, and under a new key whenever the operator wants."""

import base64
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import sql

from domain.totp import shared_secret
from handlers.adapters.keyring import KeyFileRefused, Keyring
from handlers.adapters.vault import SealedVault
from handlers.ports import Change, Conflict, SecretsEnded, Unreadable
from tests.contract.plugs import origin
from tests.contract.safes import Safe


def new_secret() -> str:
    return shared_secret(os.urandom(20))


def test_what_was_sealed_is_opened_by_who_reads_the_row(safe: Safe) -> None:
    secrets = {f"ref-{n}": new_secret() for n in range(3)}
    for ref, secret in secrets.items():
        safe.keep("dist-owner", ref, secret)
    safe.keep("dist-admin", "other", new_secret())
    again = SealedVault(safe.watchword.database, Keyring(safe.key_file))
    for ref, secret in secrets.items():
        assert again.open(tenant="dist", account_id="dist-owner", secret_ref=ref) == secret
    assert len(safe.versions()) == 2, "one data key for each account"
    with pytest.raises(Unreadable):
        safe.open("dist-owner", "unknown")


def test_the_same_secret_sealed_twice_looks_different(safe: Safe) -> None:
    secret = new_secret()
    first, second = (safe.keep("dist-owner", ref, secret) for ref in ("ref-1", "ref-2"))
    assert first.sealed != second.sealed
    assert len(first.sealed) == 12 + len(secret) + 16, "nonce, text, tag"


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE secret s SET sealed = o.sealed FROM secret o WHERE s.secret_ref = 'one' AND o.secret_ref = 'two'",
        "UPDATE secret s SET sealed = o.sealed FROM secret o WHERE s.secret_ref = 'one' AND o.secret_ref = 'theirs'",
        "UPDATE secret SET sealed = (SELECT wrapped FROM data_key WHERE account_id = 'dist-owner')",
        "UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE account_id = 'resell-owner')",
        "UPDATE secret SET sealed = set_byte(sealed, 0, get_byte(sealed, 0) # 1)",
        "UPDATE secret SET sealed = set_byte(sealed, 12, get_byte(sealed, 12) # 1)",
        "UPDATE secret SET sealed = set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 128)",
        "UPDATE secret SET sealed = substr(sealed, 1, length(sealed) - 1)",
        "UPDATE secret SET sealed = substr(sealed, 1, 12)",
        "UPDATE secret SET sealed = ''",
        "UPDATE data_key SET wrapped = ''",
        "UPDATE data_key SET wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1)",
        "UPDATE data_key SET kek_version = 7",
    ],
)
def test_a_secret_that_was_moved_or_altered_does_not_open(safe: Safe, harm: str) -> None:
    for account_id, ref in (("dist-owner", "one"), ("dist-owner", "two"), ("resell-owner", "theirs")):
        safe.keep(account_id, ref, new_secret())
    with safe.watchword.database.transaction() as connection:
        connection.execute(harm)
    with pytest.raises(Unreadable):
        safe.open("dist-owner", "one")


def test_a_secret_opens_for_its_account_and_tenant_alone(safe: Safe) -> None:
    secret = new_secret()
    safe.keep("dist-owner", "ref-1", secret)
    safe.keep("dist-admin", "ref-2", new_secret())
    for account_id, tenant in (("dist-owner", "resell"), ("dist-admin", "dist")):
        with pytest.raises(Unreadable):
            safe.open(account_id, "ref-1", tenant)
    assert safe.open("dist-owner", "ref-1") == secret


def test_two_set_ups_that_begin_at_once_do_not_lose_a_key(safe: Safe) -> None:
    """Both seal under a data key of their own; the second is a conflict, and seals again when it decides again."""
    wishes = {ref: new_secret() for ref in ("ref-1", "ref-2")}
    place = {"tenant": "dist", "account_id": "dist-owner"}
    first, second = (safe.vault.seal(**place, secret_ref=ref, secret=secret) for ref, secret in wishes.items())
    safe.append("dist-owner", "ref-1", first, 0)
    with pytest.raises(Conflict):
        safe.append("dist-owner", "ref-2", second, 1)
    assert len(safe.watchword.store.history("user_mfa:dist-owner")) == 1
    safe.keep("dist-owner", "ref-2", wishes["ref-2"])
    assert [safe.open("dist-owner", ref) for ref in wishes] == list(wishes.values())


def test_a_secret_that_ended_is_gone(safe: Safe) -> None:
    secret = new_secret()
    safe.keep("dist-owner", "old", new_secret())
    safe.keep("dist-owner", "new", secret)
    safe.keep("dist-admin", "theirs", secret)
    store = safe.watchword.store
    started = [each.fact for each in store.history("user_mfa:dist-owner")][:1]
    change = Change("user_mfa:dist-owner", 2, started, "dist")
    store.append(change, origin=origin(), rows=[SecretsEnded("dist-owner", ("new",))])
    assert (safe.open("dist-owner", "new"), safe.open("dist-admin", "theirs")) == (secret, secret)
    with pytest.raises(Unreadable):
        safe.open("dist-owner", "old")


def test_the_whole_database_holds_the_secret_in_no_form(safe: Safe) -> None:
    secret = new_secret()
    row = safe.keep("dist-owner", "ref-1", secret)
    raw = base64.b32decode(secret + "=" * (-len(secret) % 8))
    keys = [key for _, key in [safe.keyring.current()]]
    keys.append(safe.vault._unwrap("dist", "dist-owner", row.wrapped_key, row.kek_version))
    dump = dump_of(safe.watchword.settings.admin_database_url or "")
    assert b"dist-owner" in dump
    assert row.sealed.hex().encode() in dump, "the dump shows bytes as hex"
    for form in [form for bare in (secret.encode(), raw, *keys) for form in forms_of(bare)]:
        assert form.lower() not in dump.lower()


def forms_of(bare: bytes) -> Iterator[bytes]:
    yield bare
    yield bare.hex().encode()
    yield from (encode(bare).rstrip(b"=") for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode))


def dump_of(url: str) -> bytes:
    """Return every row of every table, the library's included, as PostgreSQL writes it."""
    out = []
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert {"stored_events", "secret", "data_key", "command"} <= {name for (name,) in found}
        for (name,) in found:
            with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))) as rows:
                out += [bytes(row) for row in rows]
        states = connection.execute("SELECT state FROM stored_events").fetchall()
    return b"\n".join([*out, *(bytes(state) for (state,) in states)])


def test_the_cipher_is_aes_256_gcm() -> None:
    """Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", the submission to NIST."""
    half = "feffe9928665731c6d6a8f9467308308"
    plain = (
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    sealed = (
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )
    cipher, nonce = AESGCM(bytes.fromhex(half + half)), bytes.fromhex("cafebabefacedbaddecaf888")
    aad = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    assert cipher.encrypt(nonce, bytes.fromhex(plain), aad).hex() == sealed
    assert cipher.decrypt(nonce, bytes.fromhex(sealed), aad).hex() == plain


def test_a_new_key_file_is_for_its_owner_alone_and_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "kek.json"
    Keyring.create(path)
    before = path.read_bytes()
    Keyring.create(path)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (before, 0o600)
    assert [each.name for each in path.parent.iterdir()] == ["kek.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o601])
def test_a_key_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek.json"
    Keyring.create(path)
    keyring = Keyring(path)
    path.chmod(mode)
    for use in (lambda: Keyring(path), keyring.current):
        with pytest.raises(KeyFileRefused, match="chmod 600"):
            use()
    path.chmod(0o600)
    assert keyring.current()[0] == 1
