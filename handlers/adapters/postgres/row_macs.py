"""MACs of rows that let somebody in, so that nobody who writes to the database without the key file makes or changes one.

A MAC covers every column that decides, and names the table. When a session was last used is not covered: it is noted in
place, and the latest end of a session is covered.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from handlers.ports import Keys, Session


def session_mac(keys: Keys, token_hash: bytes, session: Session, generations: tuple[int, int]) -> str:
    """Return the MAC of a session's row, which is written under these generations."""
    s = session
    times = [_instant(each) for each in (s.stepped_up_until, s.created_at, s.expires_at)]
    numbers = [*generations, s.level, s.required_level, s.idle.total_seconds()]
    return _mac(
        keys,
        "session",
        [token_hash.hex(), s.handle, str(s.state), s.account_id, *numbers, *times, s.device, *s.choices],
    )


def token_mac(keys: Keys, token_id: str, token_hash: bytes, scopes: Sequence[str], partner_id: str) -> str:
    """Return the MAC of a service token's row."""
    return _mac(keys, "service_token", [token_id, token_hash.hex(), partner_id, *scopes])


def holds(stored: str | None, right: str) -> bool:
    """Say whether the stored MAC is the right one; a row without one has none."""
    return hmac.compare_digest((stored or "").encode(), right.encode())


def _mac(keys: Keys, table: str, values: list[Any]) -> str:
    return keys.digest(f"row:{table}", orjson.dumps(values).decode())


def _instant(at: datetime | None) -> int | None:
    """Return an instant in microseconds since 1970, whatever its time zone."""
    return None if at is None else round(at.timestamp() * 1_000_000)
