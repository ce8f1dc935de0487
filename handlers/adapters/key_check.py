"""Whether the key files fit the stored data: no program starts without a key that something was sealed or signed with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import tuple_row

from handlers.adapters.keyring import KeyFileRefused, Keyring
from handlers.adapters.notes import NoteKey
from handlers.adapters.postgres.database import conninfo

_VERSIONS = """
    WITH RECURSIVE d (n) AS (SELECT min(kek_version) FROM data_key
        UNION ALL SELECT (SELECT min(kek_version) FROM data_key WHERE kek_version > d.n) FROM d WHERE d.n IS NOT NULL),
    c (n) AS (SELECT min(kek_version) FROM client_secret
        UNION ALL SELECT (SELECT min(kek_version) FROM client_secret WHERE kek_version > c.n) FROM c WHERE c.n IS NOT NULL)
    SELECT n FROM d WHERE n IS NOT NULL UNION SELECT n FROM c WHERE n IS NOT NULL ORDER BY n"""
"""The versions that some wrapped key needs, from the indexes alone, however many keys there are."""


def check_keys(url: str, key_file: Path, ledger_key: Path, *, make: bool = False) -> None:
    """Raise KeyFileRefused, with the remedy, when stored data needs a key that is not in the files.

    ``make``: make the files that are missing, where no stored data needs them. Without it, and without an answer of the
    database, the key file alone is looked at; the readiness check says the rest later.
    """
    needed, signed = _needed(url, must_answer=make)
    if make and not needed:
        Keyring.create(key_file)
    if make and not signed:
        NoteKey.create(ledger_key)
    missing = sorted(set(needed) - Keyring(key_file).versions())
    if missing:
        raise KeyFileRefused(
            f"{key_file} lacks version {', '.join(map(str, missing))} of the key-encryption key, and stored secrets are"
            " sealed under it: restore the file from its backup"
        )
    if signed and not ledger_key.exists():
        raise KeyFileRefused(f"{ledger_key} is missing, and the ledger is signed with it: restore it from its backup")


def make_keys(key_file: Path, ledger_key: Path) -> None:
    """Make the files that are missing, for a new deployment."""
    Keyring.create(key_file)
    NoteKey.create(ledger_key)


def lacking(connection: Connection[Any], keyring: Keyring) -> list[int]:
    """Return the versions of the key-encryption key that stored secrets need and the key file lacks."""
    return sorted(set(needed_versions(connection)) - keyring.versions())


def _needed(url: str, *, must_answer: bool) -> tuple[Sequence[int], bool]:
    """Return which versions of the key-encryption key the database needs, and whether it holds signed checkpoints."""
    try:
        with psycopg.connect(conninfo(url), autocommit=True) as connection:
            signed = connection.execute("SELECT to_regclass('ledger_checkpoint') IS NOT NULL").fetchone() == (True,)
            if signed:
                signed = connection.execute("SELECT EXISTS (SELECT FROM ledger_checkpoint)").fetchone() == (True,)
            return needed_versions(connection), signed
    except psycopg.Error:
        if must_answer:
            raise
        return [], False


def needed_versions(connection: Connection[Any]) -> Sequence[int]:
    """Return the versions of the key-encryption key that a database needs; none where its tables are still to be made."""
    cursor = connection.cursor(row_factory=tuple_row)
    made = cursor.execute("SELECT to_regclass('data_key') IS NOT NULL AND to_regclass('client_secret') IS NOT NULL")
    return [n for (n,) in cursor.execute(_VERSIONS).fetchall()] if made.fetchone() == (True,) else []
