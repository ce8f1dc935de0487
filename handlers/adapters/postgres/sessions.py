"""Sign-ins in PostgreSQL: the guard reads the session and its account as one row, never a copy of it."""

import logging
from datetime import datetime, timedelta

from handlers.adapters.postgres.database import Database
from handlers.adapters.postgres.people import ENTRY, JOINS, entry
from handlers.adapters.postgres.row_macs import holds, session_mac
from handlers.adapters.postgres.rows import check_row, write_rows
from handlers.adapters.postgres.snapshots import from_kept
from handlers.ports import Ahead, Found, Keys, Session, SessionClosed, SessionOpened, SessionStands, StillAllowed

_STREAM = "'user_mfa:' || s.account_id"
_FIND = f"""
    SELECT CASE WHEN s.state = 'mfa_code_required' THEN ARRAY(SELECT ARRAY[
            f.position::text, f.stream, f.version::text, f.topic, convert_from(f.state, 'UTF8')]
        FROM ({from_kept(_STREAM)}) f (position, stream, version, topic, state)) END AS facts,
    CASE WHEN s.state = 'mfa_code_required' THEN ARRAY(SELECT ARRAY[
            x.secret_ref, encode(x.sealed, 'hex'), encode(k.wrapped, 'hex'), k.kek_version::text]
        FROM secret x JOIN data_key k USING (account_id) WHERE x.account_id = s.account_id) END AS secrets,
        s.token_hash, s.handle, s.state, s.account_id AS session_account, s.generation AS session_generation,
        s.population_generation AS session_population_generation, s.choices, s.level, s.required_level,
        s.stepped_up_until, s.device, s.created_at, s.seen_at, s.expires_at, s.idle, s.mac, {ENTRY}
    FROM session s LEFT JOIN (account_access a {JOINS}) ON a.account_id = s.account_id
    WHERE s.token_hash = %s AND s.expires_at > %s AND s.seen_at + s.idle > %s"""  # noqa: S608 our own words
_SEEN_EVERY = timedelta(minutes=1)
"""How exactly the last use of a session is noted; finer would write on every request."""


_log = logging.getLogger("watchword.web")


class PostgresSessions:
    """The Sessions socket's plug for PostgreSQL."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def find(self, token_hash: bytes, now: datetime) -> Found | None:
        """Return the session; None when it ended, idled out, was overtaken by a security change, or is not ours."""
        row = self._database.one(_FIND, (token_hash, now, now))
        if row is None:
            return None
        account = entry(row) if row["session_account"] else None
        generations = (row["session_generation"], row["session_population_generation"])
        if account is not None and (account.disabled or account.generations != generations):
            return None
        if now - row["seen_at"] >= _SEEN_EVERY:
            self._database.run("UPDATE session SET seen_at = %s WHERE token_hash = %s", (now, token_hash))
        session = Session(
            handle=row["handle"],
            state=row["state"],
            created_at=row["created_at"],
            seen_at=row["seen_at"],
            expires_at=row["expires_at"],
            idle=row["idle"],
            account_id=row["session_account"],
            generations=generations,
            choices=tuple(row["choices"]),
            level=row["level"],
            required_level=row["required_level"],
            stepped_up_until=row["stepped_up_until"],
            device=row["device"],
        )
        if not holds(row["mac"], session_mac(self._keys, token_hash, session, generations)):
            _log.critical("the row of session %s is not what was written: it opens nothing", session.handle)
            return None
        return Found(session, account, Ahead(row["facts"], row["secrets"]) if row["facts"] else None)

    def save(self, *rows: SessionOpened | SessionClosed | StillAllowed | SessionStands) -> None:
        """Write without a fact. Raises SessionEnded when what a row stands on stands no longer."""
        with self._database.transaction() as connection:
            for row in rows:
                check_row(connection, row)
            write_rows(connection, rows, self._keys)

    def forget_ended(self, now: datetime) -> int:
        """Delete what has run out, and return how many."""
        return self._database.forget("session", "expires_at <= %s OR seen_at + idle <= %s", (now, now))
