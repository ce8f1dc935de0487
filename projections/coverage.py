"""Who had to use MFA and was covered, second by second, and who changed between two positions of the log.

It keeps no table of its own: it reads the spans of ``status_history``, and why a cover ended from the facts themselves.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate, groupby, islice
from operator import itemgetter
from typing import Any

from psycopg import Connection

from domain import facts as f
from domain.kernel import Envelope

At = Callable[[Sequence[int]], Sequence[Envelope]]
"""Returns the envelopes at these positions."""
Row = Mapping[str, Any]
PAGE = 1_000
"""Accounts in one page: no more of them are in memory at once."""
TICK = timedelta(microseconds=1)
"""What everything here is counted in, so that sums are exact."""
_WHOM = {True: f.Population.PARTNER_USERS, False: f.Population.ORGANIZATIONS}


class NotAsTheLogSays(Exception):
    """What a view says of the span is not what the log says. The sentence names the remedy."""


@dataclass(frozen=True, slots=True)
class Span:
    """From one moment of a partner to another."""

    partner_id: str
    a: int
    """A position: how it stood here holds from the first instant on."""
    b: int
    """A position: how it stood here holds until the last instant. Nothing behind it is known."""
    t0: datetime
    t1: datetime
    """No longer part of it."""

    def ticks(self, at: datetime) -> int:
        """Return an instant as ticks since the first one; what is before or behind the span, as its end there."""
        return min(max((at - self.t0) // TICK, 0), (self.t1 - self.t0) // TICK)


class Cause(StrEnum):
    """Why somebody who had to use MFA was not covered."""

    NOT_ENROLLED = "not_enrolled"
    """There had never been an active authenticator."""
    RESET = "reset"
    SWITCHED_OFF = "switched_off"


_CAUSES: dict[type, Cause] = {f.ResetConfirmed: Cause.RESET, f.Disabled: Cause.SWITCHED_OFF}
"""What the facts mean that end an active authenticator."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which MFA was demanded of an account, in ticks of the span, and whether it was covered."""

    begin: int
    end: int
    active: bool
    lost: int | None = None
    """The position of the fact that ended the cover before, None: there never was one."""
    again_at: datetime | None = None
    """When the cover was there again, None: not by the end of the span."""


@dataclass(frozen=True, slots=True)
class Covered:
    """One account of which MFA was demanded at any time in the span."""

    account_id: str
    stretches: list[Stretch]
    """In order, each as long as it can be."""
    lost: Mapping[int, Envelope]
    """The facts that ended a cover, by position."""

    def ticks(self, *, active: bool) -> int:
        """Return for how long MFA was demanded with a cover, or without."""
        return sum(each.end - each.begin for each in self.stretches if each.active is active)

    def cause(self, gap: Stretch) -> Cause:
        """Return why a stretch without cover was without it."""
        return Cause.NOT_ENROLLED if gap.lost is None else _CAUSES[type(self.lost[gap.lost].fact)]


def held(rows: Sequence[Row], span: Span) -> list[tuple[int, int, Row]]:
    """Return from when to when each of these rows held, which follow on one another and reach to the span's end.

    A row begins at its fact's time, yet never before the row that it followed: the clocks of several machines disagree.
    """
    times = (0 if row["from_position"] <= span.a else span.ticks(row["from_at"]) for row in rows)
    begins = list(accumulate(times, max))
    return list(zip(begins, [*begins[1:], span.ticks(span.t1)], rows, strict=True))


@dataclass(frozen=True, slots=True)
class Demands:
    """What the partner demanded in the span."""

    versions: list[tuple[int, int, Row]]
    """Each version of the policy with its ticks."""

    def of(self, population: f.Population, *, demanded: bool) -> list[tuple[int, int]]:
        """Return when MFA was demanded of a population, or was not, as ticks; longest stretches, in order."""
        found: list[tuple[int, int]] = []
        for begin, end, row in self.versions:
            if row[f"enforce_{population.value}"] is demanded and begin < end:
                joined = found.pop()[0] if found and found[-1][1] == begin else begin
                found.append((joined, end))
        return found


_VERSIONS = """
    SELECT version, enforce_partner_users, enforce_organizations, changed_by, from_position, from_at FROM policy_interval
    WHERE partner_id = %(partner)s AND from_position <= %(b)s AND coalesce(to_position, 9223372036854775807) > %(a)s
    ORDER BY from_position"""


def demands(connection: Connection[Any], span: Span) -> Demands:
    """Return the versions of the policy that were in force in the span."""
    values = {"partner": span.partner_id, "a": span.a, "b": span.b}
    return Demands(held(connection.execute(_VERSIONS, values).fetchall(), span))


_TOUCHED = """s.partner_id = %(partner)s AND s.account_id > %(after)s
        AND s.from_position <= %(b)s AND coalesce(s.to_position, 9223372036854775807) > %(a)s"""
_ACCOUNTS = f"""
    SELECT s.account_id, s.organization_id IS NULL AS partner_user, s.account_state, s.factor, s.from_position, s.from_at,
        CASE WHEN s.from_position <= %(a)s AND s.factor <> 'active' THEN (SELECT max(w.to_position) FROM status_interval w
            WHERE w.account_id = s.account_id AND w.factor = 'active' AND w.to_position <= s.from_position) END AS lost
    FROM status_interval s
    WHERE {_TOUCHED} AND s.account_id <= (SELECT max(account_id) FROM (
        SELECT DISTINCT s.account_id FROM status_interval s WHERE {_TOUCHED} ORDER BY s.account_id LIMIT %(page)s) p)
    ORDER BY s.account_id, coalesce(s.to_position, 9223372036854775807)"""  # noqa: S608 our own words
"""A page of whole accounts, read in the order of one index."""


def coverage(connection: Connection[Any], at: At, span: Span, after: str = "") -> Iterator[Covered]:
    """Return each account that was open while MFA was demanded of it, in the order of the ids, behind ``after``."""
    found = demands(connection, span)
    when = {whom: found.of(population, demanded=True) for whom, population in _WHOM.items()}
    values = {"partner": span.partner_id, "a": span.a, "b": span.b, "after": after, "page": PAGE}
    while rows := connection.execute(_ACCOUNTS, values, prepare=False).fetchall():
        values["after"] = rows[-1]["account_id"]
        page = [(key, stretches(list(group), span, when)) for key, group in groupby(rows, itemgetter("account_id"))]
        ends = {each.lost for _, every in page for each in every if each.lost is not None}
        lost = {envelope.position: envelope for envelope in at(sorted(ends))} if ends else {}
        for key, every in filter(itemgetter(1), page):
            yield Covered(key, every, {p: lost[p] for p in lost.keys() & {each.lost for each in every}})


def stretches(rows: Sequence[Row], span: Span, when: Mapping[bool, Sequence[tuple[int, int]]]) -> list[Stretch]:
    """Return the times in which MFA was demanded of an account. ``when``: of partner users (True), and of others."""
    found: list[Stretch] = []
    lost, active = rows[0]["lost"], False
    for (begin, end, row), again_at in zip(held(rows, span), _again(rows), strict=True):
        lost = row["from_position"] if active and row["factor"] != "active" else lost
        active = row["factor"] == "active"
        for first, last in when[row["partner_user"]] if row["account_state"] == "open" else ():
            about = (active, None, None) if active else (active, lost, again_at)
            here = Stretch(max(first, begin), min(last, end), *about)
            if here.begin < here.end:
                if found and found[-1] == Stretch(found[-1].begin, here.begin, *about):
                    here = Stretch(found.pop().begin, here.end, *about)
                found.append(here)
    return found


def _again(rows: Sequence[Row]) -> list[datetime | None]:
    """Return for each row when the next cover began."""
    found: list[datetime | None] = []
    following: datetime | None = None
    for row in reversed(rows):
        found.append(following)
        following = row["from_at"] if row["factor"] == "active" else following
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Changed:
    """An account that changed between two positions."""

    account_id: str
    before: Row | None
    """As it stood at the first position, None: it was not there."""
    after: Row
    kinds: list[str]
    """What happened to it, in order, each once."""
    positions: list[int]
    """Of the facts that did it."""


_CHANGED = """
    WITH changed AS MATERIALIZED (
        SELECT DISTINCT account_id FROM status_interval
        WHERE partner_id = %(partner)s AND from_position > %(a)s AND from_position <= %(b)s AND account_id > %(after)s
        ORDER BY account_id LIMIT %(limit)s::bigint)
    SELECT s.account_id, s.organization_id, s.role, s.account_state, s.factor, s.owed, s.since, s.locked_until, s.from_position
    FROM changed c CROSS JOIN LATERAL (SELECT * FROM status_interval w WHERE w.account_id = c.account_id
        AND w.from_position <= %(b)s AND coalesce(w.to_position, 9223372036854775807) > %(a)s) s
    ORDER BY c.account_id, s.from_position"""


def difference(
    connection: Connection[Any], at: At, partner_id: str, a: int, b: int, *, after: str = "", limit: int | None = None
) -> Iterator[Changed]:
    """Return each account of a partner that changed between two positions, in the order of the ids, behind ``after``."""
    values = {"partner": partner_id, "a": a, "b": b, "after": after, "limit": limit}
    with connection.transaction(), connection.cursor("difference") as cursor:
        cursor.itersize = PAGE
        groups = (list(group) for _, group in groupby(cursor.execute(_CHANGED, values), itemgetter("account_id")))
        while page := list(islice(groups, PAGE)):
            begun = {row["from_position"] for rows in page for row in rows if row["from_position"] > a}
            facts = {envelope.position: envelope.fact for envelope in at(sorted(begun))}
            yield from (_changed(rows, a, facts) for rows in page)


def _changed(rows: Sequence[Row], a: int, facts: Mapping[int, object]) -> Changed:
    before = rows[0] if rows[0]["from_position"] <= a else None
    new = [row for row in rows if row["from_position"] > a]
    steps = zip([before, *new], new, strict=False)
    kinds = dict.fromkeys(kind for old, row in steps for kind in _kinds(old, row, facts[row["from_position"]]))
    return Changed(new[0]["account_id"], before, new[-1], list(kinds), [row["from_position"] for row in new])


def _kinds(old: Row | None, row: Row, fact: object) -> Iterable[str]:
    """Return what the fact between two rows did."""
    if old is None:
        return ["joined"]
    changed = {name for name in row if row[name] != old[name]}
    opened, active = row["account_state"] == "open", row["factor"] == "active"
    happened = {
        "restored": "account_state" in changed and opened,
        "left": "account_state" in changed and not opened,
        "switched_on": isinstance(fact, f.Enabled),
        "enrolled": "factor" in changed and active,
        "was_reset": isinstance(fact, f.ResetConfirmed),
        "lost_cover": "factor" in changed and old["factor"] == "active",
        "moved": "organization_id" in changed,
        "role_changed": "role" in changed,
        "locked": "locked_until" in changed and row["locked_until"] is not None,
    }
    return [kind for kind, it_did in happened.items() if it_did]
