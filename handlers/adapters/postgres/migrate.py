"""Makes and upgrades the tables: numbered SQL files, each applied once, all in one transaction, by one process at a time."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

_LOCK = 7_235_031
"""An advisory lock number of our own, so that two migrations wait for each other."""


def library_environment(url: str, *, pool_size: int = 4) -> dict[str, str]:
    """Return the event sourcing library's settings for a database address.

    The library knows host, port, user and password alone. The recorder's datastore takes the whole address from the name
    of the database instead, so that every parameter of it holds from the first connection on.
    """
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url,
        "POSTGRES_HOST": "",
        "POSTGRES_USER": "",
        "POSTGRES_PASSWORD": "",
        "ORIGINATOR_ID_TYPE": "text",
        "POSTGRES_POOL_SIZE": "1",
        "POSTGRES_MAX_OVERFLOW": str(pool_size - 1),
        "POSTGRES_LOCK_TIMEOUT": "5",
        "CREATE_TABLE": "no",
    }


def pending(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the names of the migrations that this database has not seen."""
    cursor = connection.cursor(row_factory=tuple_row)
    seen = cursor.execute("SELECT to_regclass('schema_migration') IS NOT NULL").fetchone()
    applied = set()
    if seen and seen[0]:
        applied = {name for (name,) in cursor.execute("SELECT name FROM schema_migration")}
    return [path.name for path in _migrations() if path.name not in applied]


def apply(connection: psycopg.Connection[Any], *, app_role: str | None) -> list[str]:
    """Bring the tables up to date and let the application's role use them; return what was applied."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
        )
        todo = pending(connection)
        for path in _migrations():
            if path.name in todo:
                connection.execute(path.read_bytes())
                connection.execute("INSERT INTO schema_migration (name) VALUES (%s)", (path.name,))
        if app_role:
            _grant(connection, app_role)
    return todo


def _migrations() -> list[Traversable]:
    folder = files("handlers.adapters.postgres") / "migrations"
    return sorted((path for path in folder.iterdir() if path.name.endswith(".sql")), key=lambda path: path.name)


def _grant(connection: psycopg.Connection[Any], app_role: str) -> None:
    """Let the application add and read facts, and work on all other tables."""
    role = sql.Identifier(app_role)
    for statement in (
        "GRANT USAGE ON SCHEMA public TO {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {role}",
        "REVOKE UPDATE, DELETE ON stored_events FROM {role}",
        "REVOKE INSERT, UPDATE, DELETE ON schema_migration FROM {role}",
        "REVOKE MAINTAIN ON stored_events FROM {role}",
    ):
        connection.execute(sql.SQL(statement).format(role=role))
    # Shadows of the views are temporary tables.
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, role))
