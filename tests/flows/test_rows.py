"""X114: whoever writes to the database without the key file makes no row that lets somebody in."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, signed_in
from tests.services import Portal

OTHERWISE: dict[str, str] = {
    "bool": "NOT coalesce({0}, false)",
    "int8": "{0} + 1",
    "int4": "{0} + 1",
    "int2": "{0} + 1",
    "text": "coalesce({0}, '') || 'x'",
    "_text": "array_append({0}, '*')",
    "bytea": "{0} || '\\x00'::bytea",
    "timestamptz": "coalesce({0}, now()) + interval '7 hours'",
    "interval": "{0} + interval '7 hours'",
}
"""For each type of a column another value than it has."""
HARMLESS = {("session", "seen_at"), ("service_token", "created_at")}
"""When a session was last used is noted in place; when a token was made decides nothing."""


@pytest.fixture
def owner(portal: Portal) -> Iterator[Connection[Any]]:
    with psycopg.connect(portal.watchword.settings.need("admin_database_url"), autocommit=True) as connection:
        yield connection


def columns(owner: Connection[Any], table: str) -> list[tuple[str, str]]:
    query = (
        "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = %s AND table_schema = 'public'"
    )
    return [(str(name), str(kind)) for name, kind in owner.execute(query, (table,))]


def changed(owner: Connection[Any], table: str, column: str, kind: str) -> bool:
    """Change a column of every row; False when the database itself refuses it."""
    name = sql.Identifier(column)
    value = sql.SQL(OTHERWISE[kind]).format(name)
    try:
        owner.execute(sql.SQL("UPDATE {} SET {} = {}").format(sql.Identifier(table), name, value))
    except psycopg.errors.IntegrityError:
        return False
    return True


def test_x114_a_session_of_which_any_column_was_changed_opens_nothing(portal: Portal, owner: Connection[Any]) -> None:
    browser, tried = signed_in(portal, "dist-owner"), 0
    owner.execute("CREATE TABLE kept AS TABLE session")
    for column, kind in columns(owner, "session"):
        if changed(owner, "session", column, kind):
            tried += 1
            state = browser.get("/me/mfa").status_code
            assert state == (200 if ("session", column) in HARMLESS else 401), column
        owner.execute("DELETE FROM session")
        owner.execute("INSERT INTO session SELECT * FROM kept")
        assert browser.get("/me/mfa").status_code == 200
    assert tried > 12


def test_x114_an_own_sign_in_does_not_become_an_owners(portal: Portal, owner: Connection[Any]) -> None:
    """A person with a password alone sets the row of the own sign-in to an owner's, signed in with a code."""
    enrolled(portal, "dist-owner")
    browser = portal.browser()
    browser.sign_in(address("three-dist"), PASSWORD)
    owner.execute(
        "UPDATE session SET state = 'signed_in', account_id = 'dist-owner', level = 2, generation = (SELECT generation"
        " FROM account_access WHERE account_id = 'dist-owner') WHERE state = 'identified'"
    )
    assert browser.session()["state"] == "anonymous"
    assert browser.get("/partners/dist/users").status_code == 401


def test_x114_a_session_that_was_made_up_opens_nothing(portal: Portal, owner: Connection[Any]) -> None:
    """A copy of a row that is right, under the hash of another token: the hash is covered as well."""
    browser, other = signed_in(portal, "dist-owner"), signed_in(portal, "dist-support")
    assert other.get("/partners/dist/audit").status_code == 403
    owner.execute("CREATE TABLE two AS TABLE session")
    owner.execute(
        "UPDATE two SET token_hash = (SELECT token_hash FROM session WHERE account_id = 'dist-support')"
        " WHERE account_id = 'dist-owner'"
    )
    owner.execute("DELETE FROM session WHERE account_id = 'dist-support'")
    owner.execute("INSERT INTO session SELECT * FROM two WHERE account_id = 'dist-owner' ON CONFLICT DO NOTHING")
    assert other.get("/partners/dist/audit").status_code == 401
    assert browser.get("/me/mfa").status_code == 200


def test_x114_a_token_of_which_any_column_was_changed_opens_nothing(portal: Portal, owner: Connection[Any]) -> None:
    token = portal.watchword.tokens.create("portal", ["read"], "dist")
    browser = portal.browser(headers={"Authorization": f"Bearer {token}"})
    assert browser.get("/partners/dist/users").status_code == 200
    owner.execute("CREATE TABLE kept AS TABLE service_token")
    for column, kind in columns(owner, "service_token"):
        assert changed(owner, "service_token", column, kind)
        expected = 200 if ("service_token", column) in HARMLESS else 401
        assert browser.get("/partners/dist/users").status_code == expected, column
        owner.execute("DELETE FROM service_token")
        owner.execute("INSERT INTO service_token SELECT * FROM kept")
        assert browser.get("/partners/dist/users").status_code == 200


@pytest.mark.parametrize("table", ["session", "service_token"])
def test_x114_a_row_without_a_mac_opens_nothing(portal: Portal, owner: Connection[Any], table: str) -> None:
    token = portal.watchword.tokens.create("portal", ["read"], "dist")
    program, person = portal.browser(headers={"Authorization": f"Bearer {token}"}), signed_in(portal, "dist-owner")
    browser = program if table == "service_token" else person
    assert browser.get("/partners/dist/users").status_code == 200
    owner.execute(sql.SQL("UPDATE {} SET mac = NULL").format(sql.Identifier(table)))
    assert browser.get("/partners/dist/users").status_code == 401
