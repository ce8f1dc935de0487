"""A ledger, the log it follows, and somebody who owns the database and means no good."""

# ruff: noqa: S608 the statements are made of the test's own words

from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from handlers.adapters.notes import NoteFile, NoteKey
from handlers.adapters.postgres.database import Database
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.adapters.postgres.ledger import PostgresTree
from handlers.ledger import Ledger
from handlers.ledger_check import LedgerCheck, Verified
from handlers.ports import Conflict, Note
from tests.contract.plugs import change, origin

TABLES = ("stored_events", "ledger_leaf", "ledger_checkpoint")


def named(found: Verified) -> list[tuple[str, int | None]]:
    """Return kind and position of what was found, apart from copies of checkpoints that the database lacks."""
    return [(kind, each.position) for kind, each in found.findings.items() if kind != "copy"]


@dataclass
class Book:
    """A ledger, the log it follows, and somebody who owns the database and means no good."""

    store: PostgresEventStore
    pool: Database
    owner_url: str
    folder: Path

    def ledger(self) -> Ledger:
        """Return a follower that knows nothing yet, as a new process has it."""
        return Ledger(PostgresTree(self.pool), NoteFile(NoteKey(self.folder / "keys" / "ledger.key"), self.folder))

    def check(self, *, full: bool = True, given: Note | None = None) -> Verified:
        book = self.ledger()
        return LedgerCheck(book.tree, book.notes).run(full=full, given=given)

    @property
    def file(self) -> Path:
        return self.folder / "checkpoints.txt"

    def append(self, *streams: str) -> None:
        for stream in streams:
            self.store.append(change(stream, len(self.store.history(stream)), 1), origin=origin())

    def leave_a_gap(self, stream: str) -> None:
        """Have an append refused by a conflict, after it was given a position."""
        with pytest.raises(Conflict):
            self.store.append(change(stream, 0, 9), origin=origin())

    def add_facts(self, count: int) -> None:
        self.own(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            f" SELECT 'bulk:' || gen_random_uuid(), 1, 't.v1', 'x'::bytea FROM generate_series(1, {count})"
        )

    def own(self, *statements: str) -> list[tuple[int, ...]]:
        """Run statements as the owner of the database, its triggers switched off; return what the last one finds."""
        with psycopg.connect(self.owner_url) as owner:
            for table in TABLES:
                owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            found = [owner.execute(each) for each in statements][-1]
            rows: list[tuple[int, ...]] = found.fetchall() if found.description else []
            for table in TABLES:
                owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        return rows

    def positions(self) -> list[int]:
        return [row[0] for row in self.own("SELECT notification_id FROM stored_events ORDER BY 1")]

    def save(self) -> None:
        self.own(*(f"CREATE TABLE saved_{table} AS TABLE {table}" for table in TABLES))

    def restore(self) -> None:
        for table in TABLES:
            self.own(f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM saved_{table}")
        (self.folder / "verified.txt").unlink(missing_ok=True)
