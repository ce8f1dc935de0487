"""Follows the log into the views: rows and position in one transaction, and a loud stop at a fact it cannot fold."""

import logging
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import psycopg

from domain.kernel import Envelope
from projections.shares import Shares
from projections.tables import FEW, much_at_once
from projections.views import POSITION, VIEWS, Fold, Part, of_shards, parts

Read = Callable[[int, int], Sequence[Envelope]]
"""Returns the next envelopes after a position, at most so many."""
PAGE = 5_000
"""Facts in one reading of the log."""
MOST = 1_000_000
"""Facts in one transaction at most, when a view is far behind; a single fact is visible at once."""
ROWS = 50_000
"""A view that has so many rows to write writes them, however far behind it is."""
BATCH_SECONDS = 1.0
"""For so long facts are taken in before what they led to is written."""
POLL_SECONDS = 0.25
"""How long a follower sleeps when no commit wakes it."""
RETRY_SECONDS = 10.0
"""How long a view that cannot fold a fact waits before it tries again, and says so again."""
AWAY = (psycopg.OperationalError, psycopg.InterfaceError)
"""The database does not answer: no fault of a fact."""
LOCK = "SELECT pg_advisory_lock(hashtext('view'), hashtext(%s))"
"""Whoever puts other rows in a view's place holds this lock, and who folds a page into it shares it."""
_SHARE = (
    "SELECT name FROM unnest(%s::text[]) AS name WHERE pg_try_advisory_lock_shared(hashtext('view'), hashtext(name))"
)
_UNSHARE = "SELECT pg_advisory_unlock_shared(hashtext('view'), hashtext(name)) FROM unnest(%s::text[]) AS name"
TRACKED = "SELECT application_name, notification_id FROM notification_tracking WHERE application_name = ANY(%s)"
_TRACK = """
    INSERT INTO notification_tracking (application_name, notification_id) SELECT name, %s FROM unnest(%s::text[]) AS name
    ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id"""
_log = logging.getLogger("watchword.projector")


def pages(read: Read, page: Sequence[Envelope], most: int = MOST) -> Iterator[Sequence[Envelope]]:
    """Return this page and those that follow, so many facts at most. A thread that reads ahead only fights for the GIL."""
    taken = len(page)
    while page:
        yield page
        more = len(page) == PAGE and taken < most
        page = read(page[-1].position, min(PAGE, most - taken)) if more else []
        taken += len(page)


class _Folding(NamedTuple):
    """Some parts of one view, and the fold that they share."""

    parts: list[Part]
    fold: Fold

    @property
    def shards(self) -> frozenset[int | None]:
        return frozenset(each.shard for each in self.parts)


def _few(folds: Collection[_Folding]) -> bool:
    return sum(len(each.fold) for each in folds) <= FEW


class Projector:
    """Keeps the live views in step with the log, as far as their shards are ours."""

    def __init__(self, url: str, read: Read) -> None:
        self._shares, self._read = Shares(url), read
        self._positions: dict[Part, int] = {}
        self._pace: dict[Part, tuple[int, float]] = {}
        """For each part how many facts it takes next, and when it is tried again."""

    def close(self) -> None:
        """Let the session go, and with it the shards."""
        self._shares.close()

    def position(self, name: str) -> int:
        """Return how far a view has come."""
        found = self._shares.session.execute(POSITION, ([each.name for each in parts(name)],)).fetchone()
        return found[0] if found else 0

    def step(self) -> int:
        """Fold what comes next into each part that is ours and behind, and return how many facts that were.

        Parts that stand at the same position share one reading of the log, one fold and one transaction. Those behind go
        no further than to where the next ones stand, which wait for them if that is now, and are one with them then. A
        part that cannot fold a fact stands still before it and says so, again and again; it never skips one. The others
        go on, among them the rows of the same view in other shards.
        """
        self._shares.settle()
        groups: dict[tuple[int, int, int | None], list[Part]] = defaultdict(list)
        for part in self._ours():
            limit, not_before = self._pace.get(part, (MOST, 0.0))
            if time.monotonic() >= not_before:  # after a failure each goes alone, until it is seen whose fact it is
                groups[self._positions[part], limit, None if limit == MOST else part.shard].append(part)
        until = dict(pairwise(sorted({after for after, *_ in groups})))
        folded, reached = 0, set[int]()
        with much_at_once():
            for (after, limit, _), group in sorted(groups.items(), key=lambda each: each[0][0]):
                if after not in reached:
                    folded += self._fold(group, after, limit, until.get(after, sys.maxsize))
                    reached |= {self._positions[part] for part in group} - {after}
        return folded

    def _ours(self) -> list[Part]:
        """Return the parts of our shards. Who has the first one folds what is not divided."""
        ours = [each for each in parts(*VIEWS) if (each.shard or 0) in self._shares.ours]
        if new := [each for each in ours if each not in self._positions]:
            rows = self._shares.session.execute(TRACKED, ([each.name for each in new],)).fetchall()
            self._stand(new, dict(rows))
        return ours

    def _stand(self, group: Sequence[Part], found: dict[str, int]) -> None:
        self._positions |= {each: found.get(each.name, 0) for each in group}

    def _fold(self, group: Sequence[Part], after: int, limit: int, until: int) -> int:
        most = min(limit, until - after)
        page = self._read(after, min(PAGE, most))
        if not page:
            return 0
        with self._alone(group, after) as free:
            by_view: dict[str, list[Part]] = defaultdict(list)
            for part in free:
                by_view[part.view].append(part)
            folds = [_Folding(every, VIEWS[view].Fold(self._shares.session)) for view, every in by_view.items()]
            taken, ends = 0, time.monotonic() + BATCH_SECONDS
            for each in pages(self._read, page, most):
                after, taken = min(each[-1].position, until), taken + len(each)
                due = each if after < until else [one for one in each if one.position <= until]
                folds = self._add(folds, due, taken)
                rows = max((len(one.fold) for one in folds), default=ROWS)
                if rows >= ROWS or after == until or time.monotonic() > ends:
                    break
            self._write_each(folds, after, taken)
        return taken * len(by_view)

    @contextmanager
    def _alone(self, group: Sequence[Part], after: int) -> Iterator[list[Part]]:
        """Share the locks of views that nobody holds alone; return the parts that stand where they were left."""
        session, shared = self._shares.session, list[str]()
        try:
            with session.pipeline():  # the second one sees what was written before the locks were had
                locks = session.execute(_SHARE, (sorted({each.view for each in group}),))
                places = session.execute(TRACKED, ([each.name for each in group],))
                shared = [name for (name,) in locks.fetchall()]
                self._stand(group, dict(places.fetchall()))
            yield [each for each in group if each.view in shared and self._positions[each] == after]
        finally:
            if not session.closed:
                session.execute(_UNSHARE, (shared,))

    def _add(self, folds: Sequence[_Folding], page: Sequence[Envelope], taken: int) -> list[_Folding]:
        """Give each fold what happened in its shards; return those that could take it in."""
        facts = {shards: of_shards(page, shards) for shards in {each.shards for each in folds}}
        return [each for each in folds if self._tried(each, taken, partial(each.fold.add, facts[each.shards]))]

    def _write_each(self, folds: Sequence[_Folding], position: int, taken: int) -> None:
        """Write little of all views at once; much of a view, or what cannot be written so, by itself."""
        if len(folds) > 1 and _few(folds):
            try:
                self._write(folds, position)
            except AWAY:
                raise
            except Exception as error:  # noqa: BLE001 whichever view it is: it is found below, and named
                _log.info("written one by one after position %s: %s", position, type(error).__name__)
            else:
                return
        for each in folds:
            self._tried(each, taken, partial(self._write, [each], position))

    def _write(self, folds: Sequence[_Folding], position: int) -> None:
        session, moved = self._shares.session, [part for each in folds for part in each.parts]
        with session.pipeline() if _few(folds) else nullcontext(), session.transaction():
            for each in folds:
                each.fold.write()
            session.execute(_TRACK, (position, [part.name for part in moved]))
        for part in moved:
            self._positions[part] = position
            self._pace[part] = (min(MOST, 2 * self._pace.get(part, (MOST, 0.0))[0]), 0.0)

    def _tried(self, folding: _Folding, taken: int, work: Callable[[], None]) -> bool:
        """Let parts that fail take fewer facts next time, and one stand still where even a single one is too much."""
        try:
            work()
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, this part stops here and the next one goes on
            self._pace |= dict.fromkeys(folding.parts, (max(1, taken // 8), 0.0))
            if taken == len(folding.parts) == 1:
                (part,) = folding.parts
                at = self._positions[part]
                _log.critical("%s stands still after position %s: %s", part.name, at, type(error).__name__)
                self._pace[part] = (1, time.monotonic() + RETRY_SECONDS)
            return False
        return True

    def follow(self, url: str, stop: threading.Event) -> None:
        """Fold for ever, woken by each commit to the log, and by the clock in case a wake-up was lost."""
        with psycopg.connect(url, autocommit=True) as listener:
            listener.execute("LISTEN stored_events")
            while not stop.is_set():
                if self.step() == 0:
                    for _ in listener.notifies(timeout=POLL_SECONDS, stop_after=1):
                        pass
