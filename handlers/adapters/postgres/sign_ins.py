"""The most frequent step of all, a sign-in that goes on under a new token, written in the statement of its fact."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handlers.adapters.postgres.row_macs import session_mac
from handlers.ports import Keys, Row, SessionOpened, SessionStands, StillAllowed

SESSIONS_OF_AN_ACCOUNT = 10
"""More sign-ins at once end the oldest. Source: the product's security design, section 1."""

SWAP = f"""
    s AS MATERIALIZED (SELECT decode(token, 'hex') AS token_hash, decode(replaces, 'hex') AS replaced, r.*
        FROM json_to_recordset(%s::json) AS r (token text, replaces text, handle text, state text, account_id text,
            generation bigint, population_generation bigint, level smallint, required_level smallint,
            stepped_up_until timestamptz, device text, created_at timestamptz, seen_at timestamptz,
            expires_at timestamptz, idle double precision, mac text)),
    gone AS (DELETE FROM session USING s WHERE session.token_hash = s.replaced RETURNING session.token_hash),
    opened AS (INSERT INTO session (token_hash, handle, state, account_id, generation, population_generation, choices,
            level, required_level, stepped_up_until, device, created_at, seen_at, expires_at, idle, mac)
        SELECT s.token_hash, s.handle, s.state, s.account_id, s.generation, s.population_generation, '{{}}', s.level,
            s.required_level, s.stepped_up_until, s.device, s.created_at, s.seen_at, s.expires_at,
            make_interval(secs => s.idle), s.mac
        FROM s JOIN gone ON gone.token_hash = s.replaced
            JOIN account_access a ON a.account_id = s.account_id AND NOT a.disabled AND a.generation = s.generation
            JOIN partner_access p ON p.partner_id = a.partner_id AND s.population_generation = CASE
                WHEN a.organization_id IS NULL THEN p.partner_users_generation ELSE p.organizations_generation END
        RETURNING 1),
    surplus AS (DELETE FROM session WHERE token_hash IN (SELECT x.token_hash FROM s CROSS JOIN LATERAL (
        SELECT token_hash FROM session
        WHERE account_id = s.account_id AND state = 'signed_in' AND token_hash <> s.replaced
        ORDER BY created_at DESC OFFSET {SESSIONS_OF_AN_ACCOUNT - 1}) x))"""  # noqa: S608 our own number
"""Ends the sessions that went on and opens the new ones, where account and sign-in stand as they were seen."""
ALL_OPENED = "(SELECT count(*) FROM opened) = (SELECT count(*) FROM s) OR refuse_ended_session()"
"""Else nothing of the statement is stored. A session is opened under the numbers that were seen, so whoever raises one
of them at the same moment ends it too, and no lock is needed."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A sign-in's step from one token to the next, where nothing else is to be written."""

    allowed: StillAllowed
    opened: SessionOpened

    def record(self, keys: Keys | None) -> dict[str, Any]:
        """Return the row for the statement."""
        s = self.opened.session
        return {
            "token": self.opened.token_hash.hex(),
            "replaces": (self.opened.replaces or b"").hex(),
            "handle": s.handle,
            "state": s.state,
            "account_id": s.account_id,
            "generation": self.allowed.generations[0],
            "population_generation": self.allowed.generations[1],
            "level": s.level,
            "required_level": s.required_level,
            "stepped_up_until": s.stepped_up_until,
            "device": s.device,
            "created_at": s.created_at,
            "seen_at": s.seen_at,
            "expires_at": s.expires_at,
            "idle": s.idle.total_seconds(),
            "mac": session_mac(keys, self.opened.token_hash, s, self.allowed.generations) if keys else None,
        }


def swap_of(rows: Sequence[Row]) -> Swap | None:
    """Return the step when the rows are just that: the sign-in and its account stand, and it goes on."""
    match rows:
        case [SessionStands() as stands, StillAllowed() as allowed, SessionOpened() as opened]:
            session = opened.session
            same = stands.token_hash == opened.replaces and session.account_id == allowed.account_id
            if same and session.state == "signed_in" and not session.choices and not allowed.read_again:
                return Swap(allowed, opened)
    return None
