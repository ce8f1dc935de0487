"""An empty ledger, and one with facts, gaps and checkpoints."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers import ledger, ledger_check
from handlers.adapters.notes import NoteKey
from handlers.adapters.postgres.database import Database as Pool
from handlers.adapters.postgres.event_store import PostgresEventStore
from tests.contract.ledger.book import Book
from tests.servers import Database


@pytest.fixture
def book(
    postgres: PostgresEventStore, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Book]:
    """An empty log; followers and checks read pages of 7."""
    monkeypatch.setattr(ledger, "PAGE", 7)
    monkeypatch.setattr(ledger_check, "PAGE", 7)
    NoteKey.create(tmp_path / "keys" / "ledger.key")
    pool = Pool(database.app_url, pool_size=4)
    yield Book(postgres, pool, database.owner_url, tmp_path)
    pool.close()


@pytest.fixture
def full(book: Book) -> Book:
    """45 facts of 5 streams with gaps between them, a checkpoint after every 9, and 3 facts after the last one."""
    for number in range(48):
        book.append(f"user_mfa:{number % 5}")
        if number % 6 == 5:
            book.leave_a_gap("user_mfa:1")
        if number % 9 == 8:
            book.ledger().checkpoint()
    while book.ledger().extend():
        pass
    book.save()
    return book
