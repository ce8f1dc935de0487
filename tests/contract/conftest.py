"""The plugs of the EventStore socket and a vault, each on ground of its own."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.bootstrap import Watchword
from handlers.adapters.keyring import Keyring
from handlers.adapters.memory import MemoryEventStore
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.adapters.vault import SealedVault
from handlers.ports import MessageProcessed
from tests.contract.plugs import Plug
from tests.contract.safes import Safe
from tests.servers import Database


@pytest.fixture
def postgres(database: Database) -> Iterator[PostgresEventStore]:
    store = PostgresEventStore(database.app_url)
    yield store
    store.close()


@pytest.fixture(params=["memory", "postgres"])
def plug(request: pytest.FixtureRequest) -> Plug:
    """Each plug of the EventStore socket."""
    if request.param == "memory":
        memory = MemoryEventStore()
        return Plug(memory, lambda: {row.message_id for row in memory.rows if isinstance(row, MessageProcessed)})
    url = request.getfixturevalue("database").app_url

    def processed() -> set[str]:
        with psycopg.connect(url) as connection:
            return {row[0] for row in connection.execute("SELECT message_id FROM processed_message")}

    return Plug(request.getfixturevalue("postgres"), processed)


@pytest.fixture
def safe(watchword: Watchword, tmp_path: Path) -> Safe:
    """A vault with a key file of its own, on the test directory."""
    key_file = tmp_path / "keys" / "kek.json"
    Keyring.create(key_file)
    keyring = Keyring(key_file)
    return Safe(watchword, key_file, keyring, SealedVault(watchword.database, keyring))
