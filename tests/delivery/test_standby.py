"""More programs than one of a kind: one works and another takes its place, or several share the work."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from api.bootstrap import Watchword, projector
from domain.facts import Enabled, Locked, MailSent
from projections.rebuilding import verify
from projections.views import VIEWS
from tests.delivery.steps import Post, append, in_the_log, serving, until
from tests.delivery.test_processes import programs, published

_NOWHERE = "smtp://127.0.0.1:9"
_TAKEN_OVER_SECONDS = 1.5
"""Two looks of the others, 0.5 s apart, and the machine's own slowness."""


def _folded(watchword: Watchword) -> bool:
    follower, end = projector(watchword), watchword.store.last_position()
    try:
        return all(follower.position(name) >= end for name in VIEWS)
    finally:
        follower.close()


def _relayed(watchword: Watchword) -> bool:
    return watchword.relay_position.get() == watchword.store.last_position()


_LEASE, _SHARDS = 1, 2
"""How PostgreSQL tells locks of one number from those of two."""


def _holders(watchword: Watchword, kind: int = _LEASE) -> Counter[int]:
    """Return the sessions of this database that hold leases, each with how many."""
    query = (
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND objsubid = %s"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return Counter(row["pid"] for row in watchword.database.all(query, (kind,)))


def _shared(watchword: Watchword, *shares: int) -> bool:
    return sorted(_holders(watchword, _SHARDS).values()) == sorted(shares)


def _work(watchword: Watchword, done: Callable[[Watchword], bool]) -> None:
    for _ in range(3):
        append(watchword, "user_mfa:dist-owner", Enabled())
        until(lambda: done(watchword))


def test_when_the_relay_is_killed_the_one_that_stands_by_takes_over(
    watchword: Watchword, nats_url: str, tmp_path: Path
) -> None:
    with programs(watchword, nats_url, _NOWHERE, tmp_path) as running:
        first = running.start("relay")
        _work(watchword, _relayed)
        second = running.start("relay")
        time.sleep(1.5)
        (holder,) = _holders(watchword)
        _work(watchword, _relayed)
        assert set(_holders(watchword)) == {holder}, "the second one only stands by"
        running.kill(first)
        _work(watchword, _relayed)
        assert holder not in _holders(watchword)
        second.terminate()
        assert second.wait(15) == 0, running.log.read_text()
    assert asyncio.run(published(watchword, nats_url)) == in_the_log(watchword)


def test_projectors_share_the_views_and_when_one_is_killed_the_others_take_its_shards_and_the_ledger(
    watchword: Watchword, nats_url: str, tmp_path: Path
) -> None:
    with programs(watchword, nats_url, _NOWHERE, tmp_path) as running:
        first = running.start("projector")
        _work(watchword, _folded)
        assert _shared(watchword, 8)
        until(lambda: len(_holders(watchword)) == 1)
        signing = _holders(watchword)
        second = running.start("projector")
        until(lambda: _shared(watchword, 4, 4))
        _work(watchword, _folded)
        assert _holders(watchword) == signing, "one signs, the other stands by for that"
        running.kill(first)
        killed = time.monotonic()
        until(lambda: _shared(watchword, 8) and len(_holders(watchword)) == 1 and _holders(watchword) != signing)
        assert time.monotonic() - killed < _TAKEN_OVER_SECONDS
        _work(watchword, _folded)
        second.terminate()
        assert second.wait(15) == 0, running.log.read_text()
    url, read = watchword.settings.need("database_url"), watchword.store.read
    assert all(verify(url, read, name).equal for name in VIEWS)


@pytest.mark.parametrize("kind", [_LEASE, _SHARDS])
def test_one_whose_session_with_the_database_is_ended_gives_its_place_up(
    watchword: Watchword, nats_url: str, tmp_path: Path, kind: int
) -> None:
    with programs(watchword, nats_url, _NOWHERE, tmp_path) as running:
        first = running.start("projector")
        _work(watchword, _folded)
        until(lambda: len(_holders(watchword, kind)) == 1)
        (holder,) = _holders(watchword, kind)
        watchword.database.one("SELECT pg_terminate_backend(%s)", (holder,))
        if kind == _SHARDS:
            assert first.wait(15) is not None
            running.start("projector")
        else:  # X24: the views of a program that lost the ledger's lease go on, and it asks for the lease again
            until(lambda: len(_holders(watchword, kind)) == 1 and _holders(watchword, kind) != {holder})
            assert first.poll() is None
        _work(watchword, _folded)


@pytest.mark.parametrize("workers", [2, 4])
def test_several_workers_share_the_messages_and_each_mail_is_sent_once(
    watchword: Watchword, nats_url: str, tmp_path: Path, workers: int
) -> None:
    with serving(Post()) as post, programs(watchword, nats_url, post.url, tmp_path) as running:
        for _ in range(workers):
            running.start("worker")
        running.start("relay")
        for _ in range(60):
            append(watchword, "user_mfa:dist-owner", Locked(until=None))
        query = "SELECT count(*) AS sent FROM mail_queue WHERE state = 'sent'"
        until(lambda: watchword.database.one(query) == {"sent": 60}, 60)
        assert all(each.poll() is None for each in running.started)
    assert len(post.taken) == len({mail["Message-ID"] for mail in post.mails}) == 60
    assert sum(isinstance(each.fact, MailSent) for each in watchword.store.read(0, 10_000)) == 60
