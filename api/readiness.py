"""Is this deployment fit to serve: database, migrations, clock, message stream, views."""

import asyncio
import time
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

import psycopg
from psycopg.rows import DictRow

from api.bootstrap import Watchword, missing_keys, pending_migrations
from handlers import mailing
from handlers.ports import Clock, Unavailable, Unreadable
from projections import audit_trail
from projections.views import VIEWS, position

CLOCK_SECONDS = 1.0
"""How far our clock may be from the database's: two processes are then at most 2 s apart, which is how exact an expiry
has to be. Source: the product's attack catalogue, CLK-03."""
NAMED = 5
"""So many unreadable facts are named at most."""
BEHIND_SECONDS = 60.0
"""How far a view may be behind, and for how long relay and mail may stand still, before this counts as unfit."""
MAIL_LATE = timedelta(minutes=5)
"""A mail that has waited for so long counts as late: several tries have failed by then."""


async def unfit(watchword: Watchword) -> dict[str, str]:
    """Return what is not fit, by name, with a sentence."""
    found = await asyncio.to_thread(_database, watchword)
    broker = watchword.settings.nats_url
    if broker is None or not await _answers(broker):
        found["broker"] = "does not answer"
    return found


def _database(watchword: Watchword) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        with watchword.database.connection() as connection:
            skew = _skew(connection, watchword.sockets.clock)
            if skew > CLOCK_SECONDS:
                found["clock"] = f"differs from the database's by {skew:.1f} s"
            missing = pending_migrations(connection)
            if missing:
                found["migrations"] = f"missing: {', '.join(missing)}"
                return found
            found |= _writable(connection) | _keys(connection, watchword)
        found |= _views(watchword) | _unreadable(watchword) | _relay(watchword) | _mail(watchword)
    except (Unavailable, psycopg.Error) as error:
        found["database"] = f"does not answer ({type(error).__name__})"
    return found


def _skew(connection: psycopg.Connection[DictRow], clock: Clock) -> float:
    """Return by how many seconds the clocks differ at least; how long the answer took is not held against them."""
    before = clock.now().timestamp()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8 AS now").fetchone()
    after, theirs = clock.now().timestamp(), float(row["now"]) if row else 0.0
    return max(before - theirs, theirs - after, 0.0)


def _writable(connection: psycopg.Connection[DictRow]) -> dict[str, str]:
    """Name a database that stores nothing: a standby after a failover, or one that is set to read-only."""
    row = connection.execute("SELECT current_setting('transaction_read_only') = 'on' AS only").fetchone()
    return {"database": "is read-only, so nothing can be stored"} if row and row["only"] else {}


def _keys(connection: psycopg.Connection[DictRow], watchword: Watchword) -> dict[str, str]:
    """Name versions of the key-encryption key that stored secrets need and the key file lacks."""
    try:
        missing = missing_keys(connection, watchword)
    except Unreadable as error:
        return {"keys": str(error)}
    versions = ", ".join(map(str, missing))
    return (
        {"keys": f"the key file lacks version {versions}, so some secrets cannot be read: restore it"}
        if missing
        else {}
    )


def _views(watchword: Watchword) -> dict[str, str]:
    found: dict[str, str] = {}
    now = watchword.sockets.clock.now()
    for name in VIEWS:
        waiting = watchword.store.read(position(watchword.database.one, name), 1)
        if waiting and (now - waiting[0].at).total_seconds() > BEHIND_SECONDS:
            found[name] = f"has not folded position {waiting[0].position} yet"
    return found


def _relay(watchword: Watchword) -> dict[str, str]:
    """Name a relay that stands still while facts wait: no mail goes out then, and consumers hear of nothing."""
    position, key = watchword.relay_position.get(), watchword.settings.need("database_url")
    last = watchword.store.last_position()
    if position > last:
        return {"relay": f"has noted position {position}, which is beyond the end of the log, {last}"}
    since = _RELAY_AT.get(key)
    if position == last or since is None or since[0] != position:
        _RELAY_AT[key] = (position, time.monotonic())
    elif time.monotonic() - since[1] > BEHIND_SECONDS and _waits_long(watchword, position):
        return {"relay": f"stands still at position {position} of {last}: look at its log"}
    return {}


def _waits_long(watchword: Watchword, position: int) -> bool:
    """Say whether the next fact is old: after a quiet time without looks, one that was just stored says nothing."""
    waiting = watchword.store.read(position, 1)
    now = watchword.sockets.clock.now()
    return bool(waiting) and (now - waiting[0].at).total_seconds() > BEHIND_SECONDS


_RELAY_AT: dict[str, tuple[int, float]] = {}
"""For each database where its relay was seen last, and since when it has been there (monotonic seconds)."""
_MAIL = """
    SELECT count(*) AS mails, min(owed_at) AS since, bool_or(next_try < %s) AS untouched, EXISTS (
        SELECT FROM mail_queue s WHERE s.state = 'sent' AND s.owed_at > (SELECT min(owed_at) FROM mail_queue
            WHERE state = 'pending' AND owed_at < %s)) AS others_go
    FROM mail_queue WHERE state = 'pending' AND owed_at < %s AND last_error <> %s"""


def _mail(watchword: Watchword) -> dict[str, str]:
    """Name mail that stands still: nobody takes what is due, or the mail server takes none. One bad address is no outage."""
    now = watchword.sockets.clock.now()
    old = now - MAIL_LATE
    row = watchword.database.one(_MAIL, (now - timedelta(seconds=BEHIND_SECONDS), old, old, mailing.UNREADABLE))
    if not row or not row["mails"] or (row["others_go"] and not row["untouched"]):
        return {}
    why = "no worker takes them" if row["untouched"] else "the mail server takes none"
    return {"mail": f"{row['mails']} mails wait, the oldest since {row['since'].isoformat()}: {why}"}


def _unreadable(watchword: Watchword) -> dict[str, str]:
    """Name facts that this release cannot read. Their accounts stand still; everything else goes on."""
    with watchword.database.connection() as connection:
        rows = audit_trail.unreadable(connection, NAMED)
    named = ", ".join(f"position {row['position']} of {row['stream']}" for row in rows)
    return {"facts": f"cannot be read by this release, so nothing is decided there: {named}"} if rows else {}


async def _answers(urls: str) -> bool:
    """Say whether one node of the cluster, or the only one, can be reached."""
    return any([await _reached(urlsplit(url)) for url in urls.split(",")])


async def _reached(parts: SplitResult) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, parts.port or 4222), timeout=2)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
