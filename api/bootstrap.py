"""Plugs into sockets: the one place that knows which plug goes where."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from api.settings import BadSetting, Settings
from handlers.adapters import key_check
from handlers.adapters.keyring import DerivedKeys, Keyring
from handlers.adapters.late_oidc import LateProviders
from handlers.adapters.machine import SystemChance, SystemClock
from handlers.adapters.messages import NOTIFIER, STREAM, data_of, place_of
from handlers.adapters.notes import NoteFile, NoteKey
from handlers.adapters.passwords import Argon2Passwords
from handlers.adapters.postgres import migrate as migrations
from handlers.adapters.postgres import retention
from handlers.adapters.postgres.database import Database, conninfo
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.adapters.postgres.identities import PostgresIdentities
from handlers.adapters.postgres.lease import NOTICED_SOON, Lease
from handlers.adapters.postgres.ledger import PostgresTree
from handlers.adapters.postgres.mail_queue import PostgresMailQueue, PostgresRelayPosition
from handlers.adapters.postgres.people import PostgresPeople
from handlers.adapters.postgres.service_tokens import PostgresServiceTokens, give_macs
from handlers.adapters.postgres.sessions import PostgresSessions
from handlers.adapters.postgres.throttle import PostgresLinks, PostgresSignInLog, PostgresThrottle
from handlers.adapters.vault import SealedVault
from handlers.ledger import Ledger
from handlers.ports import Clock, Rules, Sockets
from handlers.relay import RETENTION

if TYPE_CHECKING:
    from nats.aio.client import Client

    from handlers.adapters.broker import NatsBroker
    from handlers.adapters.mailer import SmtpMailer
    from projections.runner import Projector

MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")
"""PostgreSQL settings without which an acknowledged fact could be lost."""
LEDGER_KEY = "ledger.key"
"""The file of the key that signs checkpoints, beside the key-encryption keys."""


@dataclass(frozen=True, slots=True)
class Watchword:
    """One process's plugs."""

    settings: Settings
    database: Database
    views: Database
    """Where the rows of views are read that a page or an answer shows: the database, or a replica of it."""
    store: PostgresEventStore
    sockets: Sockets
    queue: PostgresMailQueue
    tokens: PostgresServiceTokens
    vault: SealedVault
    keyring: Keyring
    relay_position: PostgresRelayPosition

    def tidy(self) -> int:
        """Delete what has run out or is kept no longer, one program at a time; return how many rows."""
        now = self.sockets.clock.now()
        sessions = PostgresSessions(self.database, self.sockets.keys)
        counts, log = PostgresThrottle(self.database), PostgresSignInLog(self.database)
        identities = PostgresIdentities(self.database)
        kept = retention.forget_old(self.database, now)
        return (
            kept
            + sessions.forget_ended(now)
            + counts.forget_old(now)
            + log.forget_old(now)
            + identities.forget_old(now)
        )

    def close(self) -> None:
        """Let the connections go."""
        self.sockets.providers.close()
        self.store.close()
        self.database.close()
        self.views.close()


def ensure_kek(path: Path) -> None:
    """Make the key file if there is none, and beside it the ledger's."""
    key_check.make_keys(path, path.with_name(LEDGER_KEY))


def check_keys(settings: Settings, *, make: bool = False) -> None:
    """Refuse to start without a key that stored data needs; ``make``: as the owner, and make the files for new data."""
    url = (settings.admin_database_url if make else None) or settings.need("database_url")
    key_check.check_keys(url, settings.kek_file, settings.kek_file.with_name(LEDGER_KEY), make=make)


def build(
    settings: Settings, *, clock: Clock | None = None, pool_size: int = 8, hashing_cores: int | None = None
) -> Watchword:
    """Plug everything in. Called after the process has started: pools do not survive a fork.

    ``hashing_cores``: how many passwords are hashed at once, None: as many as there are cores.
    """
    url = settings.need("database_url")
    check_keys(settings)
    keyring = Keyring(settings.kek_file)
    database = Database(url, pool_size=pool_size)
    vault = SealedVault(database, keyring)
    keys = DerivedKeys(keyring)
    store = PostgresEventStore(url, pool_size=pool_size, keys=keys)
    rules = Rules(reset_setup_needs_mail=settings.reset_setup_needs_mail, public_url=settings.public_url)
    sockets = Sockets(
        store=store,
        people=PostgresPeople(database),
        vault=vault,
        passwords=Argon2Passwords(cores=hashing_cores),
        keys=keys,
        sessions=PostgresSessions(database, keys),
        throttle=PostgresThrottle(database),
        links=PostgresLinks(database),
        sign_in_log=PostgresSignInLog(database),
        identities=PostgresIdentities(database),
        providers=LateProviders(private_networks=settings.sso_private_networks),
        clock=clock or SystemClock(),
        chance=SystemChance(),
        rules=rules,
    )
    return Watchword(
        settings=settings,
        database=database,
        views=Database(settings.read_database_url, pool_size=pool_size) if settings.read_database_url else database,
        store=store,
        sockets=sockets,
        queue=PostgresMailQueue(database),
        tokens=PostgresServiceTokens(database, keys),
        vault=vault,
        keyring=keyring,
        relay_position=PostgresRelayPosition(database),
    )


def lease(settings: Settings, name: str) -> Lease:
    """Return what one program of a name holds while others stand by."""
    return Lease(settings.need("database_url"), f"watchword {name}")


def mailer(settings: Settings) -> "SmtpMailer":
    """Return the way to the mail server."""
    from handlers.adapters.mailer import SmtpMailer  # noqa: PLC0415 the worker alone sends mail

    return SmtpMailer(settings.need("smtp_url"), sender=settings.mail_from)


def ledger(watchword: Watchword) -> Ledger:
    """Return the follower that makes the log's tree and signs it."""
    settings = watchword.settings
    key = NoteKey(settings.kek_file.with_name(LEDGER_KEY))
    return Ledger(PostgresTree(watchword.database), NoteFile(key, settings.ledger_dir))


def projector(watchword: Watchword) -> "Projector":
    """Return the follower that keeps the views; its session's end frees the shards that it folds."""
    from projections.runner import Projector  # noqa: PLC0415 the projector alone folds

    return Projector(conninfo(watchword.settings.need("database_url"), NOTICED_SOON), watchword.store.read)


def refuse_unsafe(settings: Settings) -> None:
    """Refuse a database that may forget what it has acknowledged."""
    with psycopg.connect(conninfo(settings.admin_database_url or settings.need("database_url"))) as connection:
        for name in MUST_BE_ON:
            row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            if row and row[0] == "off":
                raise BadSetting(
                    f"PostgreSQL runs with {name} off, so an acknowledged fact could be lost: switch it on"
                )


_MACS = "0021_row_macs.sql"


def migrate(settings: Settings) -> list[str]:
    """Bring the database up to date, as its owner, and let the application's role use it; return what was applied."""
    app_url = settings.need("database_url")
    url = settings.admin_database_url or app_url
    app_role = None if url == app_url else str(conninfo_to_dict(app_url)["user"])
    with psycopg.connect(conninfo(url), autocommit=True) as connection:
        PostgresEventStore.create_tables(url)
        with connection.transaction():
            applied = migrations.apply(connection, app_role=app_role)
            if _MACS in applied:
                give_macs(connection, DerivedKeys(Keyring(settings.kek_file)))
        return applied


def pending_migrations(connection: psycopg.Connection[Any]) -> list[str]:
    """Return what `watchword migrate` has not applied to this database yet."""
    return migrations.pending(connection)


def missing_keys(connection: psycopg.Connection[Any], watchword: Watchword) -> list[int]:
    """Return the versions of the key-encryption key that stored secrets need and the key file lacks."""
    return key_check.lacking(connection, watchword.keyring)


async def connect(url: str) -> "Client":
    """Connect to the broker of the message stream."""
    from handlers.adapters import broker  # noqa: PLC0415 the relay and the worker alone are connected to the stream

    return await broker.connect(url)


async def stream(settings: Settings) -> "tuple[Client, NatsBroker]":
    """Connect to the message stream, and make the stream and the notifier's consumer if they are not there."""
    from handlers.adapters import broker  # noqa: PLC0415 the relay and the worker alone are connected to the stream

    client = await broker.connect(settings.relay_nats_url or settings.need("nats_url"))
    try:
        await broker.declare(
            client.jetstream(), retention_seconds=RETENTION.total_seconds(), replicas=settings.nats_replicas
        )
    except BaseException:
        await client.close()
        raise
    return client, broker.NatsBroker(client, source=settings.public_url)


__all__ = [
    "NOTICED_SOON",
    "NOTIFIER",
    "STREAM",
    "Lease",
    "Watchword",
    "build",
    "check_keys",
    "connect",
    "conninfo",
    "data_of",
    "ensure_kek",
    "lease",
    "ledger",
    "mailer",
    "migrate",
    "missing_keys",
    "pending_migrations",
    "place_of",
    "projector",
    "refuse_unsafe",
    "stream",
]
