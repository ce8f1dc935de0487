"""Counts of tries in PostgreSQL. A try is reserved by one statement before anything is compared, so no race adds one."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from psycopg import Cursor
from psycopg.rows import DictRow

from handlers.adapters.postgres.database import Database
from handlers.ports import Limit, Link, Reservation

_KEPT_FOR = timedelta(days=90)
"""How long failed passwords are kept. Ours: a quarter, for questions after an attack."""
_WRONG_SECRETS = 5
"""Wrong secrets after which a mailed link is dead. Source: the product's security design, section 4."""

_RESERVE = """
    INSERT INTO throttle AS t (key, tries, window_ends, blocked_until, blocks)
    VALUES (%(key)s, 1, %(window_ends)s, CASE WHEN %(limit)s = 1 THEN coalesce(
            least(%(now)s + %(wait)s::interval, %(now)s + %(longest)s::interval), %(window_ends)s::timestamptz, 'infinity')
        END, CASE WHEN %(limit)s = 1 THEN 1 ELSE 0 END)
    ON CONFLICT (key) DO UPDATE SET (tries, window_ends, blocked_until, blocks) = (
        SELECT c.tries, CASE WHEN c.fresh THEN %(window_ends)s::timestamptz ELSE t.window_ends END,
            CASE WHEN c.tries >= %(limit)s THEN coalesce(
                least(%(now)s + %(wait)s::interval * power(2, least(t.blocks, 20)), %(now)s + %(longest)s::interval),
                CASE WHEN c.fresh THEN %(window_ends)s::timestamptz ELSE t.window_ends END, 'infinity') END,
            t.blocks + CASE WHEN c.tries >= %(limit)s THEN 1 ELSE 0 END
        FROM (SELECT f.fresh, CASE WHEN f.fresh THEN 1 ELSE t.tries + 1 END AS tries FROM (
            SELECT t.window_ends <= %(now)s OR t.blocked_until <= %(now)s AS fresh) f) c)
    WHERE t.blocked_until IS NULL OR t.blocked_until <= %(now)s
    RETURNING blocked_until IS NOT NULL AS last, nullif(blocked_until, 'infinity') AS until"""
_IN_ORDER = """
    WITH held AS MATERIALIZED (SELECT key FROM throttle WHERE key = ANY(%s) ORDER BY key COLLATE "C" FOR UPDATE)"""
"""Locks the rows in the order in which ``reserve`` takes them, so that none waits in a ring."""
_HELD = "(SELECT key FROM held)"


class PostgresThrottle:
    """The Throttle socket's plug for PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, *tries: tuple[Limit, str], now: datetime) -> Reservation:
        """Count one try under each limit and key, or none of them when one is used up."""
        last: list[str] = []
        until: list[datetime | None] = []
        with self._database.connection() as connection, connection.transaction() as transaction:
            cursor = connection.cursor()
            for limit, key in sorted(tries, key=lambda each: _key(*each)):
                row = cursor.execute(_RESERVE, _values(limit, key, now)).fetchone()
                if row is None:
                    retry_at = _blocked_until(cursor, tries, now)
                    transaction.force_rollback = True
                    return Reservation(admitted=False, retry_at=retry_at, refused_by=limit)
                if row["last"]:
                    last.append(limit.name)
                    until.append(row["until"])
        ends = [each for each in until if each is not None]
        blocked_until = max(ends) if ends and len(ends) == len(until) else None
        return Reservation(admitted=True, last=tuple(last), blocked_until=blocked_until)

    def refund(self, *keys: tuple[Limit, str]) -> None:
        """Give one try back, for one that was right, and with it the block that it brought."""
        statement = "UPDATE throttle SET tries = greatest(tries - 1, 0), blocked_until = NULL WHERE key IN"
        self._database.run(f"{_IN_ORDER} {statement} {_HELD}", ([_key(*each) for each in keys],))

    def clear(self, *keys: tuple[Limit, str]) -> None:
        """Forget the tries, after a success."""
        self._database.run(f"{_IN_ORDER} DELETE FROM throttle WHERE key IN {_HELD}", ([_key(*each) for each in keys],))  # noqa: S608

    def forget_old(self, now: datetime) -> int:
        """Delete counts that say nothing any more, and return how many."""
        ended = "window_ends < %s AND (blocks = 0 OR (window_ends < %s AND coalesce(blocked_until < %s, true)))"
        long_ago = now - timedelta(days=2)
        return self._database.forget("throttle", ended, (now, long_ago, long_ago))


def _key(limit: Limit, key: str) -> str:
    return f"{limit.name}:{key}"


def _values(limit: Limit, key: str, now: datetime) -> dict[str, object]:
    return {
        "key": _key(limit, key),
        "limit": limit.tries,
        "window_ends": now + limit.window if limit.window else None,
        "now": now,
        "wait": limit.wait,
        "longest": limit.longest_wait or limit.wait,
    }


def _blocked_until(cursor: Cursor[DictRow], tries: Sequence[tuple[Limit, str]], now: datetime) -> datetime | None:
    """Return when the last of these blocks ends, so that who waits until then is not refused by another one."""
    query = "SELECT nullif(max(blocked_until), 'infinity') AS until FROM throttle WHERE key = ANY(%s) AND blocked_until > %s"
    row = cursor.execute(query, ([_key(*each) for each in tries], now)).fetchone()
    return row["until"] if row else None


class PostgresLinks:
    """The Links socket's plug for PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, links: Sequence[Link]) -> None:
        """Remember links that are about to be mailed; a second try at the same mail changes nothing."""
        if links:
            self._database.run(
                "INSERT INTO mailed_link (link_id, account_id, secret_hash)"
                " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING",
                tuple(
                    map(list, zip(*((each.link_id, each.account_id, each.secret_hash) for each in links), strict=True))
                ),
            )

    def find(self, link_id: str) -> Link | None:
        """Return a link."""
        row = self._database.one(
            "SELECT link_id, account_id, secret_hash, wrong FROM mailed_link WHERE link_id = %s", (link_id,)
        )
        return Link(**row) if row else None

    def spare(self, link_id: str) -> None:
        """Give one try back, for one that was right."""
        self._database.run("UPDATE mailed_link SET wrong = greatest(wrong - 1, 0) WHERE link_id = %s", (link_id,))

    def reserve(self, link_id: str) -> bool:
        """Count one try before it is compared; False when the link has seen five wrong ones."""
        statement = "UPDATE mailed_link SET wrong = wrong + 1 WHERE link_id = %s AND wrong < %s"
        return self._database.run(statement, (link_id, _WRONG_SECRETS)) == 1


class PostgresSignInLog:
    """The SignInLog socket's plug for PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, at: datetime, mail_digest: str, ip_prefix: str, *, known_device: bool, outcome: str) -> None:
        """Keep one failed try."""
        self._database.run(
            "INSERT INTO sign_in_log (at, mail_digest, ip_prefix, known_device, outcome) VALUES (%s, %s, %s, %s, %s)",
            (at, mail_digest, ip_prefix, known_device, outcome),
        )

    def forget_old(self, now: datetime) -> int:
        """Delete what is older than it is kept, and return how many."""
        return self._database.forget("sign_in_log", "at < %s", (now - _KEPT_FOR,))
