"""Identity providers in PostgreSQL: folded from facts in their own transaction, and the rows that are no facts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection

from domain.facts import (
    AccountErased,
    DomainProved,
    DomainWithdrawn,
    IdentityLinked,
    IdentityProviderAdded,
    IdentityProviderRemoved,
    IdentityUnlinked,
    MfaCredited,
    MfaUncredited,
    ProviderKind,
)
from domain.identity import Provider
from domain.kernel import Fact
from handlers.adapters.postgres.database import Database
from handlers.adapters.postgres.people import ENTRY, JOINS, entry
from handlers.ports import AccountEntry, AuthorizationAsked, ClientSecretKept, ProviderSession, Row, Unconfirmed

_AWAY_AT_ONCE = 5
"""Sign-ins of one browser that are away at once; more end the oldest. Ours: one for each tab of a hurried person."""
_OF_PROVIDER = "SELECT * FROM identity_provider"
_COLUMNS = "provider_id, partner_id, kind, name, issuer, client_id, restricted_to, rank"


FOLDED = (
    DomainProved,
    DomainWithdrawn,
    IdentityProviderAdded,
    IdentityProviderRemoved,
    MfaCredited,
    MfaUncredited,
    IdentityLinked,
    IdentityUnlinked,
    AccountErased,
)
"""The facts that change who may vouch for whom."""


def fold_identity(connection: Connection[Any], subject: str, fact: Fact) -> None:
    """Bring providers, domains and links to where a fact has led."""
    match fact:
        case DomainProved():
            connection.execute("INSERT INTO proved_domain (domain, partner_id) VALUES (%s, %s)", (fact.domain, subject))
        case DomainWithdrawn():
            connection.execute(
                "DELETE FROM proved_domain WHERE domain = %s AND partner_id = %s", (fact.domain, subject)
            )
        case IdentityProviderAdded():
            insert = f"INSERT INTO identity_provider ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"  # noqa: S608 our own words
            whose = (subject, fact.partner_id, fact.kind.value, fact.name, fact.issuer, fact.client_id)
            connection.execute(insert, (*whose, fact.restricted_to, fact.rank))
        case IdentityProviderRemoved():
            _removed(connection, subject)
        case MfaCredited() | MfaUncredited():
            update = "UPDATE identity_provider SET credits_mfa = %s WHERE provider_id = %s"
            connection.execute(update, (isinstance(fact, MfaCredited), subject))
        case IdentityLinked():
            insert = "INSERT INTO identity_link (provider_id, subject_digest, account_id) VALUES (%s, %s, %s)"
            connection.execute(insert, (fact.provider_id, fact.subject_digest, subject))
        case IdentityUnlinked():
            delete = "DELETE FROM identity_link WHERE provider_id = %s AND account_id = %s"
            connection.execute(delete, (fact.provider_id, subject))
        case AccountErased():
            connection.execute("DELETE FROM identity_link WHERE account_id = %s", (subject,))
        case _:
            pass


def _removed(connection: Connection[Any], provider_id: str) -> None:
    connection.execute(
        "WITH held AS MATERIALIZED (SELECT token_hash FROM session WHERE handle IN (SELECT handle FROM provider_session"
        " WHERE provider_id = %s) ORDER BY token_hash FOR UPDATE)"
        " DELETE FROM session WHERE token_hash IN (SELECT token_hash FROM held)",
        (provider_id,),
    )
    tables = ("provider_session", "authorization_request", "identity_link", "client_secret", "identity_provider")
    for table in tables:
        connection.execute(f"DELETE FROM {table} WHERE provider_id = %s", (provider_id,))  # noqa: S608 our own names


# ── Rows ──


def _client_secret_kept(connection: Connection[Any], row: ClientSecretKept) -> None:
    connection.execute(
        "INSERT INTO client_secret (provider_id, sealed, wrapped, kek_version) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (provider_id) DO UPDATE SET sealed = excluded.sealed, wrapped = excluded.wrapped,"
        " kek_version = excluded.kek_version",
        (row.provider_id, row.sealed, row.wrapped_key, row.kek_version),
    )


def _authorization_asked(connection: Connection[Any], row: AuthorizationAsked) -> None:
    connection.execute(
        "DELETE FROM authorization_request WHERE state_hash IN (SELECT state_hash FROM authorization_request"
        " WHERE handle = %s ORDER BY asked_at DESC OFFSET %s)",
        (row.handle, _AWAY_AT_ONCE - 1),
    )
    values = (row.state_hash, row.handle, row.provider_id, row.purpose, row.link_id, row.back)
    connection.execute(
        "INSERT INTO authorization_request (state_hash, handle, provider_id, purpose, link_id, back, asked_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (*values, row.asked_at, row.expires_at),
    )


def _provider_session(connection: Connection[Any], row: ProviderSession) -> None:
    said = (row.handle, row.provider_id, row.subject_digest, row.sub_digest, row.sid_digest, row.amr, row.acr)
    connection.execute(
        "INSERT INTO provider_session (handle, provider_id, subject_digest, sub_digest, sid_digest, amr, acr, credited,"
        " opened_at, expires_at, confirmed_until) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (handle) DO UPDATE SET sid_digest = excluded.sid_digest,"
        " expires_at = excluded.expires_at, confirmed_until = excluded.confirmed_until",
        (*said, row.credited, row.opened_at, row.expires_at, row.confirmed_until),
    )


def _unconfirmed(connection: Connection[Any], row: Unconfirmed) -> None:
    connection.execute("UPDATE provider_session SET confirmed_until = NULL WHERE handle = %s", (row.handle,))


WRITERS: dict[type[Row], Callable[[Connection[Any], Any], None]] = {
    ClientSecretKept: _client_secret_kept,
    AuthorizationAsked: _authorization_asked,
    ProviderSession: _provider_session,
    Unconfirmed: _unconfirmed,
}
"""For each kind of row of this file, its statement."""


def _provider(row: dict[str, Any]) -> Provider:
    return Provider(**row | {"kind": ProviderKind(row["kind"])})


class PostgresIdentities:
    """The Identities socket's plug for PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def provider(self, provider_id: str) -> Provider | None:
        """Return one provider that stands."""
        row = self._database.one(f"{_OF_PROVIDER} WHERE provider_id = %s", (provider_id,))
        return _provider(row) if row else None

    def providers(self, partner_id: str | None = None) -> Sequence[Provider]:
        """Return the providers of a partner, or of all, in the order of their names."""
        query = f"{_OF_PROVIDER} WHERE %s::text IS NULL OR partner_id = %s ORDER BY name, provider_id"
        return [_provider(row) for row in self._database.all(query, (partner_id, partner_id))]

    def providers_for(self, domain: str) -> Sequence[Provider]:
        """Return the providers of every partner whose this mail domain is."""
        where = "partner_id IN (SELECT partner_id FROM proved_domain WHERE domain = %s) ORDER BY name, provider_id"
        return [_provider(row) for row in self._database.all(f"{_OF_PROVIDER} WHERE {where}", (domain,))]

    def domains(self, partner_id: str) -> frozenset[str]:
        """Return the mail domains that are proved to be the partner's."""
        rows = self._database.all("SELECT domain FROM proved_domain WHERE partner_id = %s", (partner_id,))
        return frozenset(row["domain"] for row in rows)

    def _entries(self, condition: str, *values: object) -> list[AccountEntry]:
        query = f"SELECT {ENTRY} FROM account_access a {JOINS} WHERE {condition}"  # noqa: S608 our own words
        ordered = f"{query} AND NOT a.disabled ORDER BY p.name, o.name NULLS FIRST, a.account_id"
        return [entry(row) for row in self._database.all(ordered, values)]

    def linked(self, provider_id: str, subject_digest: str) -> Sequence[AccountEntry]:
        """Return the open accounts that the identity opens, in the order of their names."""
        links = "SELECT account_id FROM identity_link WHERE provider_id = %s AND subject_digest = %s"
        return self._entries(f"a.account_id IN ({links})", provider_id, subject_digest)

    def unlinked_with(self, mail_key: str, provider: Provider) -> Sequence[AccountEntry]:
        """Return the open accounts of the provider's partner with this address and no identity of the provider."""
        links = "SELECT FROM identity_link l WHERE l.account_id = a.account_id AND l.provider_id = %s"
        where = f"n.mail_key = %s AND a.partner_id = %s AND NOT EXISTS ({links})"
        return self._entries(where, mail_key, provider.partner_id, provider.provider_id)

    def links(self, account_id: str) -> Mapping[str, str]:
        """Return, by provider, the digest of the identity that is linked to an account."""
        query = "SELECT provider_id, subject_digest FROM identity_link WHERE account_id = %s"
        return {row["provider_id"]: row["subject_digest"] for row in self._database.all(query, (account_id,))}

    def take(self, state_hash: str, now: datetime) -> AuthorizationAsked | None:
        """Return what was asked under this state, once; None when it is over or was taken."""
        delete = "DELETE FROM authorization_request WHERE state_hash = %s RETURNING *"
        row = self._database.one(delete, (state_hash,))
        return AuthorizationAsked(**row) if row and row["expires_at"] > now else None

    def session(self, handle: str, now: datetime) -> ProviderSession | None:
        """Return what a provider said at a sign-in."""
        query = "SELECT * FROM provider_session WHERE handle = %s AND expires_at > %s"
        row = self._database.one(query, (handle, now))
        return ProviderSession(**row) if row else None

    def end_sessions(self, provider_id: str, *, sub_digest: str, sid_digest: str) -> int:
        """End the sign-ins that a provider's session, or a person's, has opened; return how many."""
        ended = (
            "WITH held AS MATERIALIZED (SELECT handle FROM provider_session WHERE provider_id = %s"
            " AND (%s = '' OR sub_digest = %s) AND (%s = '' OR sid_digest = %s) ORDER BY handle FOR UPDATE)"
            " DELETE FROM provider_session WHERE handle IN (SELECT handle FROM held) RETURNING handle"
        )
        with self._database.transaction() as connection:
            values = (provider_id, sub_digest, sub_digest, sid_digest, sid_digest)
            handles = [row["handle"] for row in connection.execute(ended, values).fetchall()]
            ended = (
                "WITH held AS MATERIALIZED (SELECT token_hash FROM session WHERE handle = ANY(%s) ORDER BY token_hash"
                " FOR UPDATE) DELETE FROM session WHERE token_hash IN (SELECT token_hash FROM held)"
            )
            return connection.execute(ended, (handles,)).rowcount if handles else 0

    def remember_logout(self, jti_digest: str, until: datetime) -> bool:
        """Say whether this logout token is new."""
        insert = "INSERT INTO logout_token (jti_digest, expires_at) VALUES (%s, %s) ON CONFLICT DO NOTHING"
        return self._database.run(insert, (jti_digest, until)) == 1

    def save(self, *rows: Row) -> None:
        """Write without a fact."""
        with self._database.transaction() as connection:
            for row in rows:
                WRITERS[type(row)](connection, row)

    def forget_old(self, now: datetime) -> int:
        """Delete what has run out, and return how many rows."""
        tables = ("authorization_request", "provider_session", "logout_token")
        return sum(self._database.forget(table, "expires_at <= %s", (now,)) for table in tables)
