"""X30: rows that are needed for a while only are deleted, in small batches, by one program at a time."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from api.bootstrap import Watchword
from handlers.adapters.postgres import database as adapter

OLD = datetime.now(UTC) - timedelta(days=365)
ROWS = {
    "command": "INSERT INTO command SELECT 'c' || n, 'f', 's' || n, 1, %s FROM generate_series(1, %s) n",
    "processed_message": "INSERT INTO processed_message SELECT 'mail', 'm' || n, %s FROM generate_series(1, %s) n",
    "mail_queue": "INSERT INTO mail_queue (owed_at, mail_id, kind, account_id, tenant, because, state, next_try)"
    " SELECT %s, 'm' || n, 'mfa_activated', 'dist-owner', 'dist', 1, 'sent', now() FROM generate_series(1, %s) n",
    "mailed_link": "INSERT INTO mailed_link (at, link_id, account_id, secret_hash)"
    " SELECT %s, 'l' || n, 'dist-owner', 'h' FROM generate_series(1, %s) n",
    "session": "INSERT INTO session SELECT sha256(n::text::bytea), n, 'anonymous', NULL, 0, 0, '{}', 0, 0, NULL, '', t, t, t,"
    " '1 hour' FROM (SELECT %s::timestamptz AS t) t, generate_series(1, %s) n",
    "throttle": "INSERT INTO throttle (window_ends, key, tries) SELECT %s, n, 1 FROM generate_series(1, %s) n",
    "sign_in_log": "INSERT INTO sign_in_log SELECT %s, n, 'ip', false, 'wrong' FROM generate_series(1, %s) n",
    "logout_token": "INSERT INTO logout_token (expires_at, jti_digest) SELECT %s, n FROM generate_series(1, %s) n",
}
MANY = 2_500


def counted(watchword: Watchword, table: str) -> int:
    return int(watchword.database.all(f"SELECT count(*) AS rows FROM {table}")[0]["rows"])  # noqa: S608 our own names


@pytest.mark.parametrize("table", ROWS)
def test_x30_old_rows_go_and_new_ones_stay(watchword: Watchword, table: str) -> None:
    watchword.tidy()
    before = counted(watchword, table)
    watchword.database.run(ROWS[table], (OLD, MANY))
    assert counted(watchword, table) == before + MANY
    assert watchword.tidy() == MANY
    assert counted(watchword, table) == before
    watchword.database.run(ROWS[table], (datetime.now(UTC) + timedelta(hours=1), 3))
    assert watchword.tidy() == 0
    assert counted(watchword, table) == before + 3


def test_x30_dead_and_waiting_mails_stay(watchword: Watchword) -> None:
    watchword.database.run(ROWS["mail_queue"], (OLD, 2))
    watchword.database.run("UPDATE mail_queue SET state = CASE mail_id WHEN 'm1' THEN 'dead' ELSE 'pending' END")
    assert watchword.tidy() == 0


def test_x30_one_program_deletes_and_the_others_leave_it_at_once(watchword: Watchword) -> None:
    watchword.database.run(ROWS["command"], (OLD, 5))
    before = counted(watchword, "command")
    with psycopg.connect(str(watchword.settings.database_url)) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (adapter._FORGETTING,))
        assert watchword.tidy() == 0
        assert counted(watchword, "command") == before
    assert watchword.tidy() == 5
