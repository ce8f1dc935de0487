"""The log as a proof: what its owner changes behind everybody's back, and what is signed anew."""

# ruff: noqa: S608 the statements are made of the test's own words

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from api import bootstrap
from handlers.directory import set_disabled
from handlers.ledger_check import LedgerCheck
from handlers.ports import Origin
from tests.servers import Servers
from tests.services import settings_for

TABLE = "stored_events"
COLUMNS = "originator_id, originator_version, topic, state, notification_id"


@dataclass
class Book:
    """A log with facts and a gap, its signed checkpoints, and an owner of the database who means no good."""

    watchword: bootstrap.Watchword
    owner_url: str

    def own(self, *statements: str) -> None:
        """Run statements as the owner of the database, its triggers switched off."""
        tables = (TABLE, "ledger_leaf", "ledger_checkpoint")
        with psycopg.connect(self.owner_url) as owner:
            for statement in (
                *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables),
                *statements,
                *(f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in tables),
            ):
                owner.execute(statement)

    def checkpoint(self) -> str:
        return bootstrap.ledger(self.watchword).checkpoint().text

    def verify(self) -> list[str]:
        """Return what a whole verification finds."""
        book = bootstrap.ledger(self.watchword)
        return list(LedgerCheck(book.tree, book.notes).run(full=True).findings)

    def console(self, *words: str) -> subprocess.CompletedProcess[str]:
        settings = self.watchword.settings
        ours = {
            "DATABASE_URL": settings.need("database_url"),
            "DATA_DIR": str(settings.data_dir),
            "LEDGER_DIR": str(settings.ledger_dir),
        }
        words = (sys.executable, "-m", "api.cli", "audit", *words)
        environ = {**os.environ, **ours}
        return subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture
def book(servers: Servers, filled_template: str, tmp_path: Path) -> Iterator[Book]:
    with servers.lent(filled_template) as database:
        watchword = bootstrap.build(settings_for(servers.folder, database, LEDGER_DIR=str(tmp_path / "ledger")))
        book, s = Book(watchword, database.owner_url), watchword.sockets
        book.own("SELECT nextval(pg_get_serial_sequence('stored_events', 'notification_id'))")  # one is never used
        set_disabled("dist-support", disabled=True, origin=Origin("operator", "c-1", s.clock.now()), s=s)
        book.own(f"CREATE TABLE saved AS TABLE {TABLE}")
        book.checkpoint()
        yield book
        watchword.close()


def test_log_01_the_services_own_role_changes_no_fact(servers: Servers, filled_template: str) -> None:
    with servers.lent(filled_template) as database:
        with psycopg.connect(database.app_url, autocommit=True) as service:
            for statement in (f"UPDATE {TABLE} SET state = ''", f"DELETE FROM {TABLE}", f"TRUNCATE {TABLE}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    service.execute(statement)
        with psycopg.connect(database.owner_url) as owner, pytest.raises(psycopg.errors.RaiseException):
            owner.execute(f"DELETE FROM {TABLE}")


def added_at(position: str) -> str:
    """Add the first fact of a stream that has none yet, such as an authenticator's or a policy's."""
    return (
        f"INSERT INTO {TABLE} ({COLUMNS}) SELECT originator_id || '-new', 1, topic, state, {position}"
        f" FROM {TABLE} WHERE notification_id = 9"
    )


WAYS = {
    "one byte": f"UPDATE {TABLE} SET state = set_byte(state, 9, 88) WHERE notification_id = 6",
    "one deleted": f"DELETE FROM {TABLE} WHERE notification_id = 6",
    "two swapped": f"UPDATE {TABLE} a SET state = b.state FROM {TABLE} b"
    " WHERE (a.notification_id, b.notification_id) IN ((7, 8), (8, 7))",
    "tail cut": f"DELETE FROM {TABLE} WHERE notification_id > 20",
    "one in a gap": added_at(f"(SELECT max(notification_id) - 1 FROM {TABLE})"),
}


def test_log_01_a_log_that_was_tampered_with_is_told_from_the_signed_one(book: Book) -> None:
    assert book.verify() == []
    for way, statement in WAYS.items():
        book.own(statement)
        assert book.verify() != [], way
        book.own(f"DELETE FROM {TABLE}", f"INSERT INTO {TABLE} ({COLUMNS}) SELECT {COLUMNS} FROM saved")


@pytest.mark.parametrize("position", [0, -7])
def test_log_01_a_fact_that_is_put_before_the_first_one_is_found(book: Book, position: int) -> None:
    """It would count for its stream, as any other fact does."""
    book.own(added_at(str(position)))
    assert book.verify() != []


def test_log_02_a_history_that_was_written_anew_does_not_fit_the_checkpoint_that_somebody_kept(
    book: Book, tmp_path: Path
) -> None:
    """The holder of database and key makes a new log and signs it; who kept an old note has the proof against it."""
    kept = tmp_path / "kept.txt"
    kept.write_text(book.checkpoint())
    book.own(WAYS["one byte"], "DELETE FROM ledger_leaf", "DELETE FROM ledger_checkpoint")
    for file in book.watchword.settings.ledger_dir.iterdir():
        file.unlink()
    book.checkpoint()
    assert book.verify() == [], "it was signed anew, and fits itself"
    result = book.console("verify", "--full", "--against", str(kept))
    assert (result.returncode, "given checkpoint" in result.stdout) == (1, True), result.stdout
