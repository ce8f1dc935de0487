"""Rows that are written together with facts: for each kind, its statement."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import orjson
from psycopg import Connection

from handlers.adapters.postgres.identities import WRITERS
from handlers.adapters.postgres.row_macs import session_mac
from handlers.adapters.postgres.sign_ins import SESSIONS_OF_AN_ACCOUNT
from handlers.ports import (
    Conflict,
    Keys,
    LinkUsed,
    MailReturned,
    MailsSettled,
    MessageProcessed,
    PasswordKept,
    PersonErased,
    PersonKept,
    QueuedMail,
    Row,
    SecretKept,
    SecretsEnded,
    SessionClosed,
    SessionEnded,
    SessionOpened,
    SessionStands,
    StillAllowed,
)

_GENERATIONS = """
    SELECT a.generation, CASE WHEN a.organization_id IS NULL THEN p.partner_users_generation
           ELSE p.organizations_generation END AS population_generation
    FROM account_access a JOIN partner_access p USING (partner_id) WHERE a.account_id = %s AND NOT a.disabled
    FOR SHARE OF a, p"""
_SESSION = """
    INSERT INTO session (token_hash, handle, state, account_id, generation, population_generation, choices, level,
        required_level, stepped_up_until, device, created_at, seen_at, expires_at, idle, mac)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
_PEOPLE = """
    INSERT INTO person (account_id, partner_id, place, name, mail_address, mail_key)
    SELECT account_id, a.partner_id, r.place, r.name, r.mail_address, r.mail_key
    FROM json_to_recordset(%s::json) AS r (account_id text, place text, name text, mail_address text, mail_key text)
    JOIN account_access a USING (account_id)
    ON CONFLICT (account_id) DO UPDATE SET place = excluded.place, name = excluded.name,
        mail_address = excluded.mail_address, mail_key = excluded.mail_key"""
_OLDEST = """
    WITH oldest AS MATERIALIZED (
        SELECT token_hash FROM session WHERE account_id = %s AND state = 'signed_in' ORDER BY created_at DESC OFFSET %s),
    held AS MATERIALIZED (
        SELECT token_hash FROM session WHERE token_hash IN (SELECT token_hash FROM oldest) ORDER BY token_hash FOR UPDATE)
    DELETE FROM session WHERE token_hash IN (SELECT token_hash FROM held)"""


def check_row(connection: Connection[Any], row: Row) -> None:
    """Look whether what the row stands on still stands, before the facts of this transaction change it."""
    match row:
        case StillAllowed():
            if _generations(connection, row.account_id) != row.generations:
                raise Conflict(row.account_id) if row.read_again else SessionEnded
        case SessionStands():
            query = "SELECT FROM session WHERE token_hash = %s FOR UPDATE"
            if connection.execute(query, (row.token_hash,)).fetchone() is None:
                raise SessionEnded


def write_rows(connection: Connection[Any], rows: Iterable[Row], keys: Keys | None) -> None:
    """Write rows in the transaction of the connection, in their order; people who come in a row are one statement.

    Without ``keys`` a session gets no MAC, and opens nothing.
    """
    for kind, same in groupby(rows, key=type):
        if kind is PersonKept:
            _people_kept(connection, [row for row in same if isinstance(row, PersonKept)])
        elif kind is SessionOpened:
            for row in same:
                _session_opened(connection, row, keys)  # type: ignore[arg-type]
        elif kind not in {StillAllowed, SessionStands}:
            for row in same:
                _WRITERS[kind](connection, row)


def _generations(connection: Connection[Any], account_id: str) -> tuple[int, int]:
    found = connection.execute(_GENERATIONS, (account_id,)).fetchone()
    if found is None:
        raise SessionEnded
    return found["generation"], found["population_generation"]


def _session_opened(connection: Connection[Any], row: SessionOpened, keys: Keys | None) -> None:
    s = row.session
    if row.replaces is not None:
        ended = "DELETE FROM session WHERE token_hash = %s RETURNING true"
        if connection.execute(ended, (row.replaces,)).fetchone() is None:
            raise SessionEnded
    generations = _generations(connection, s.account_id) if s.account_id else (0, 0)
    values = (row.token_hash, s.handle, s.state, s.account_id, *generations, list(s.choices), s.level)
    more = (s.required_level, s.stepped_up_until, s.device, s.created_at, s.seen_at, s.expires_at, s.idle)
    mac = session_mac(keys, row.token_hash, s, generations) if keys else None
    connection.execute(_SESSION, (*values, *more, mac))
    if s.account_id and s.state == "signed_in":
        connection.execute(_OLDEST, (s.account_id, SESSIONS_OF_AN_ACCOUNT))


def _session_closed(connection: Connection[Any], row: SessionClosed) -> None:
    connection.execute("DELETE FROM session WHERE token_hash = %s", (row.token_hash,))


def _secret_kept(connection: Connection[Any], row: SecretKept) -> None:
    connection.execute(
        "INSERT INTO data_key (account_id, wrapped, kek_version) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (row.account_id, row.wrapped_key, row.kek_version),
    )
    # Sealed under another key than the one that is kept (two set-ups began at once): decide again.
    kept = connection.execute("SELECT wrapped FROM data_key WHERE account_id = %s", (row.account_id,)).fetchone()
    if kept is None or bytes(kept["wrapped"]) != row.wrapped_key:
        raise Conflict(row.account_id)
    connection.execute(
        "INSERT INTO secret (secret_ref, account_id, sealed) VALUES (%s, %s, %s)",
        (row.secret_ref, row.account_id, row.sealed),
    )


def _secrets_ended(connection: Connection[Any], row: SecretsEnded) -> None:
    connection.execute(
        "DELETE FROM secret WHERE account_id = %s AND secret_ref <> ALL(%s)", (row.account_id, list(row.keep))
    )


def _people_kept(connection: Connection[Any], rows: Sequence[PersonKept]) -> None:
    connection.execute(_PEOPLE, (orjson.dumps(rows).decode(),))
    for row in rows:
        if row.address_changed:
            _take_password_along(connection, row)


def _take_password_along(connection: Connection[Any], row: PersonKept) -> None:
    """Copy the credential to the new address; other accounts may share the old one."""
    old = _credential_of(connection, row.account_id)
    copy = (
        "INSERT INTO credential (credential_id, mail_key, password_hash)"
        " SELECT gen_random_uuid(), %s, password_hash FROM credential WHERE credential_id = %s RETURNING credential_id"
    )
    new = connection.execute(copy, (row.mail_key, old)).fetchone()
    if new is not None:
        use = "UPDATE person SET credential_id = %s WHERE account_id = %s"
        connection.execute(use, (new["credential_id"], row.account_id))
        _drop_unused(connection, old)


def _person_erased(connection: Connection[Any], row: PersonErased) -> None:
    credential = _credential_of(connection, row.account_id)
    for table in ("person", "secret", "data_key", "session", "mailed_link"):
        connection.execute(f"DELETE FROM {table} WHERE account_id = %s", (row.account_id,))  # noqa: S608 our own names
    _drop_unused(connection, credential)


def _password_kept(connection: Connection[Any], row: PasswordKept) -> None:
    connection.execute(
        "INSERT INTO credential (credential_id, mail_key, password_hash) VALUES (%s, %s, %s)"
        " ON CONFLICT (credential_id) DO UPDATE SET password_hash = excluded.password_hash",
        (row.credential_id, row.mail_key, row.password_hash),
    )
    old = _credential_of(connection, row.account_id)
    connection.execute(
        "UPDATE person SET credential_id = %s WHERE account_id = %s", (row.credential_id, row.account_id)
    )
    _drop_unused(connection, old)


def _credential_of(connection: Connection[Any], account_id: str) -> str | None:
    found = connection.execute("SELECT credential_id FROM person WHERE account_id = %s", (account_id,)).fetchone()
    return found["credential_id"] if found else None


def _drop_unused(connection: Connection[Any], credential_id: str | None) -> None:
    connection.execute(
        "DELETE FROM credential c WHERE credential_id = %s"
        " AND NOT EXISTS (SELECT FROM person p WHERE p.credential_id = c.credential_id)",
        (credential_id,),
    )


def _link_used(connection: Connection[Any], row: LinkUsed) -> None:
    connection.execute("DELETE FROM mailed_link WHERE link_id = %s", (row.link_id,))


def _queued_mail(connection: Connection[Any], row: QueuedMail) -> None:
    connection.execute(
        "INSERT INTO mail_queue (mail_id, kind, account_id, tenant, because, link_id, expires_at, owed_at, state,"
        " next_try) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'pending', %s)",
        (
            row.mail_id,
            row.kind.value,
            row.account_id,
            row.tenant,
            row.because,
            row.link_id,
            row.expires_at,
            row.owed_at,
            row.owed_at,
        ),
    )


def _message_processed(connection: Connection[Any], row: MessageProcessed) -> None:
    connection.execute(
        "INSERT INTO processed_message (consumer, message_id) VALUES (%s, %s)", (row.consumer, row.message_id)
    )


def _mails_settled(connection: Connection[Any], row: MailsSettled) -> None:
    settled = connection.execute(
        "UPDATE mail_queue q SET state = s.state, tries = s.tries, last_error = s.error"
        " FROM unnest(%s::text[], %s::text[], %s::integer[], %s::text[]) AS s (mail_id, state, tries, error)"
        " WHERE q.mail_id = s.mail_id AND q.state = 'pending' RETURNING true",
        (
            [each.mail_id for each in row.mails],
            ["sent" if each.sent else "dead" for each in row.mails],
            [each.tries for each in row.mails],
            [each.error for each in row.mails],
        ),
    )
    if len(settled.fetchall()) != len(row.mails):
        raise Conflict("mail")


def _mail_returned(connection: Connection[Any], row: MailReturned) -> None:
    returned = connection.execute(
        "UPDATE mail_queue SET state = 'pending', tries = 0, next_try = %s WHERE mail_id = %s AND state = 'dead' RETURNING true",
        (row.at, row.mail_id),
    )
    if returned.fetchone() is None:
        raise Conflict(row.mail_id)


_WRITERS: dict[type[Row], Callable[[Connection[Any], Any], None]] = {
    SessionClosed: _session_closed,
    SecretKept: _secret_kept,
    SecretsEnded: _secrets_ended,
    PersonErased: _person_erased,
    PasswordKept: _password_kept,
    LinkUsed: _link_used,
    QueuedMail: _queued_mail,
    MessageProcessed: _message_processed,
    MailsSettled: _mails_settled,
    MailReturned: _mail_returned,
    **WRITERS,
}
