"""The history of one partner folded from the log itself, for what is signed: no table that could have been changed counts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from domain.kernel import CLOCK_TOLERANCE, Envelope, Unknown
from projections import status_history
from projections.coverage import NotAsTheLogSays, Span
from projections.rebuilding import session, shadow
from projections.runner import PAGE, ROWS, Read, pages
from projections.tables import much_at_once
from projections.views import VIEWS

NAMED = 1_000
"""Remarks of each kind that are named; all of them are counted."""


@dataclass(slots=True)
class Remarks:
    """What a reader of the signed history has to know beside it."""

    out_of_order: list[tuple[int, datetime, datetime]] = field(default_factory=list)
    """Position and time of each fact of the span that is older than one before it, and the time of that one."""
    unreadable: list[int] = field(default_factory=list)
    """Positions of facts that this release cannot read, of the partner, or so damaged that they name no partner."""

    def content(self) -> dict[str, Any]:
        """Return them as they are signed: how many there are, and the first ones."""
        older = [
            {"position": position, "at": _instant(at), "after": _instant(before)}
            for position, at, before in self.out_of_order[:NAMED]
        ]
        return {
            "times_out_of_order": {"count": len(self.out_of_order), "first": older},
            "unreadable_facts": {"count": len(self.unreadable), "first": self.unreadable[:NAMED]},
        }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


@contextmanager
def folded(url: str, read: Read, span: Span) -> Iterator[tuple[Connection[dict[str, Any]], Remarks]]:
    """Lend a connection on which the tables of the view ``status_history`` hold the span's partner as the log has it.

    The whole log is read: about 10 s for a million facts. Raises NotAsTheLogSays when the positions of the span do not
    belong to its instants.
    """
    remarks = Remarks()
    with session(url) as connection:
        shadow(connection, VIEWS[status_history.NAME])
        seen, after, before = _Seen(span, remarks), 0, -1
        while after > before:
            before, fold = after, status_history.Fold(connection)
            with much_at_once():
                for page in pages(read, read(after, PAGE)):
                    fold.add(seen.of(page))
                    after = page[-1].position
                    if len(fold) >= ROWS:
                        break
                with connection.transaction():
                    fold.write()
        yield connection, remarks


@dataclass(slots=True)
class _Seen:
    """What was seen of the log so far."""

    span: Span
    remarks: Remarks
    newest: datetime | None = None
    """The newest time of the partner's facts."""

    def of(self, page: Sequence[Envelope]) -> list[Envelope]:
        """Return the partner's facts up to the span's end; what is odd about them is remarked on."""
        for each in page:
            if isinstance(each.fact, Unknown) and each.tenant in {"", self.span.partner_id}:
                self.remarks.unreadable.append(each.position)
        ours = [each for each in page if each.tenant == self.span.partner_id]
        for each in ours:
            self._look_at(each)
        return [each for each in ours if each.position <= self.span.b]

    def _look_at(self, each: Envelope) -> None:
        span = self.span
        late = each.position <= span.a and each.at > span.t0 + CLOCK_TOLERANCE
        early = each.position > span.b and each.at < span.t1 - CLOCK_TOLERANCE
        if self.newest is not None and each.at < self.newest - CLOCK_TOLERANCE:
            self.remarks.out_of_order.append((each.position, each.at, self.newest))
        elif late or early:
            raise NotAsTheLogSays(
                f"the fact at position {each.position} is not of the time that the view log_minute says: rebuild it with"
                " `watchword rebuild log_minute`, and look at the log with `watchword audit verify --full`"
            )
        self.newest = max(self.newest or each.at, each.at)
