"""Where in the log each minute begins, so that an instant of the past is found without reading all of it.

Not divided by tenant: the first fact of a minute may be anybody's.
"""

from bisect import bisect, insort
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row

from domain.kernel import NO_TIME, Envelope
from projections.tables import insert

NAME = "log_minute"
TABLES = {NAME: ("minute",)}


def minute_of(at: datetime) -> datetime:
    """Return the minute that an instant belongs to."""
    return at.replace(second=0, microsecond=0)


class Fold:
    """For each minute with facts, the least position of all facts of this minute or a later one."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._known: dict[datetime, int] = {}
        self._order: list[datetime] = []
        self._new: list[datetime] = []

    def __len__(self) -> int:
        return len(self._new)

    def add(self, envelopes: Iterable[Envelope]) -> None:
        """Take in what happened next. Positions only rise, so a minute's first one is the least of its own."""
        first: dict[datetime, int] = {}
        for each in envelopes:
            if each.at != NO_TIME:
                first.setdefault(minute_of(each.at), each.position)
        unknown = [minute for minute in first if minute not in self._known]
        for minute, position in self._from(unknown):
            self._note(minute, position)
        for minute in unknown:
            if minute not in self._known:
                place = bisect(self._order, minute)
                later = self._order[place : place + 1]
                self._note(minute, min([first[minute], *(self._known[each] for each in later)]))
                self._new.append(minute)

    def _note(self, minute: datetime, position: int) -> None:
        if minute not in self._known:
            self._known[minute] = position
            insort(self._order, minute)

    def _from(self, minutes: Sequence[datetime]) -> list[Any]:
        """Return the first minute from each of these on that the table has."""
        query = """
            SELECT w.minute, w.first_position FROM unnest(%s::timestamptz[]) AS m (minute)
            CROSS JOIN LATERAL (SELECT * FROM log_minute WHERE minute >= m.minute ORDER BY minute LIMIT 1) w"""
        with self._connection.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(query, (list(minutes),)).fetchall() if minutes else []

    def write(self) -> None:
        """Write the minutes that were not there."""
        insert(self._connection, NAME, ("minute", "first_position"), [(m, self._known[m]) for m in self._new])
