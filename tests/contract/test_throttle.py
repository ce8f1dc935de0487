"""Counts of tries: exact under races, over by themselves, and never moved by a try that was not let in."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from api.bootstrap import Watchword
from handlers.adapters.postgres.database import Database
from handlers.adapters.postgres.throttle import PostgresLinks, PostgresThrottle
from handlers.ports import Limit, Link
from tests import servers
from tests.contract.plugs import at_once

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TEN = Limit("ten", 10, 30 * MINUTE)
THREE = Limit("three", 3, 30 * MINUTE)
WAITING = Limit("waiting", 2, 30 * MINUTE, wait=30 * MINUTE, longest_wait=2 * HOUR)
FOR_EVER = Limit("for_ever", 3, None)
ONE = Limit("one", 1, MINUTE)


@pytest.fixture
def throttle(database: servers.Database) -> Iterator[PostgresThrottle]:
    pool = Database(database.app_url)
    yield PostgresThrottle(pool)
    pool.close()


def admitted(throttle: PostgresThrottle, limit: Limit, tries: int, *, at: datetime = NOON, key: str = "acc-1") -> int:
    return sum(throttle.reserve((limit, key), now=at).admitted for _ in range(tries))


def test_of_fifty_tries_at_once_exactly_the_limit_is_admitted(throttle: PostgresThrottle) -> None:
    answers = at_once(50, lambda _: throttle.reserve((TEN, "acc-1"), now=NOON))
    assert sum(answer.admitted for answer in answers) == 10
    assert [answer.last for answer in answers if answer.last] == [("ten",)]
    assert {answer.retry_at for answer in answers if not answer.admitted} == {NOON + 30 * MINUTE}


def test_fifty_tries_under_two_limits_and_in_both_orders_end_without_a_deadlock(throttle: PostgresThrottle) -> None:
    pairs = [(TEN, "acc-1"), (TEN, "acc-2")]
    answers = at_once(50, lambda n: throttle.reserve(*(pairs if n % 2 else pairs[::-1]), now=NOON))
    assert sum(answer.admitted for answer in answers) == 10


def test_each_key_and_each_limit_has_its_own_count(throttle: PostgresThrottle) -> None:
    assert admitted(throttle, THREE, 5) == 3
    assert admitted(throttle, THREE, 5, key="acc-2") == 3
    assert admitted(throttle, TEN, 5) == 5


def test_a_limit_of_one_admits_one(throttle: PostgresThrottle) -> None:
    first = throttle.reserve((ONE, "acc-1"), now=NOON)
    assert (first.admitted, first.last, first.blocked_until) == (True, ("one",), NOON + MINUTE)
    assert admitted(throttle, ONE, 5, at=NOON + MINUTE / 2) == 0
    assert admitted(throttle, ONE, 5, at=NOON + MINUTE) == 1


def test_when_the_window_ends_the_count_begins_again(throttle: PostgresThrottle) -> None:
    assert admitted(throttle, THREE, 2) == 2
    assert admitted(throttle, THREE, 1, at=NOON + 29 * MINUTE) == 1
    refused = throttle.reserve((THREE, "acc-1"), now=NOON + 29 * MINUTE)
    assert (refused.admitted, refused.retry_at) == (False, NOON + 30 * MINUTE)
    assert admitted(throttle, THREE, 5, at=NOON + 30 * MINUTE) == 3
    assert admitted(throttle, THREE, 1, at=NOON + 59 * MINUTE) == 0
    assert admitted(throttle, THREE, 1, at=NOON + 60 * MINUTE) == 1


def test_tries_that_are_spread_over_windows_do_not_add_up(throttle: PostgresThrottle) -> None:
    assert admitted(throttle, THREE, 2) == 2
    assert admitted(throttle, THREE, 2, at=NOON + 31 * MINUTE) == 2
    assert throttle.reserve((THREE, "acc-1"), now=NOON + 60 * MINUTE).last == ("three",)


def test_blocks_double_up_to_the_longest(throttle: PostgresThrottle) -> None:
    now, waits = NOON, []
    for _ in range(5):
        assert admitted(throttle, WAITING, 3, at=now) == 2
        retry_at = throttle.reserve((WAITING, "acc-1"), now=now).retry_at
        assert retry_at is not None
        assert throttle.reserve((WAITING, "acc-1"), now=retry_at - timedelta(seconds=1)).retry_at == retry_at
        waits.append(retry_at - now)
        now = retry_at
    assert waits == [30 * MINUTE, HOUR, 2 * HOUR, 2 * HOUR, 2 * HOUR]


def test_a_success_ends_the_doubling(throttle: PostgresThrottle) -> None:
    for at in (NOON, NOON + HOUR):
        assert admitted(throttle, WAITING, 2, at=at) == 2
    throttle.clear((WAITING, "acc-1"))
    assert admitted(throttle, WAITING, 2, at=NOON + HOUR) == 2
    assert throttle.reserve((WAITING, "acc-1"), now=NOON + HOUR).retry_at == NOON + HOUR + 30 * MINUTE


def test_when_one_of_several_limits_refuses_none_of_the_counts_moves(throttle: PostgresThrottle) -> None:
    assert admitted(throttle, THREE, 3) == 3
    for _ in range(20):
        refused = throttle.reserve((TEN, "acc-1"), (THREE, "acc-1"), (WAITING, "acc-1"), now=NOON)
        assert (refused.admitted, refused.retry_at) == (False, NOON + 30 * MINUTE)
    assert admitted(throttle, TEN, 20) == 10
    assert admitted(throttle, WAITING, 20) == 2


def test_a_try_that_was_right_is_given_back(throttle: PostgresThrottle) -> None:
    assert admitted(throttle, THREE, 3) == 3
    throttle.refund((THREE, "acc-1"))
    assert admitted(throttle, THREE, 2) == 1
    throttle.refund((THREE, "never tried"))
    assert admitted(throttle, THREE, 5, key="never tried") == 3


def test_a_success_forgets_the_tries_of_its_keys_alone(throttle: PostgresThrottle) -> None:
    for key in ("acc-1", "acc-2", "acc-3"):
        assert admitted(throttle, THREE, 3, key=key) == 3
    throttle.clear((THREE, "acc-1"), (THREE, "acc-2"))
    assert [admitted(throttle, THREE, 4, key=key) for key in ("acc-1", "acc-2", "acc-3")] == [3, 3, 0]


def test_a_limit_without_window_and_wait_blocks_until_it_is_cleared(throttle: PostgresThrottle) -> None:
    for days, count in enumerate((1, 1, 1, 0, 0)):
        assert admitted(throttle, FOR_EVER, 1, at=NOON + days * timedelta(days=100)) == count
    refused = throttle.reserve((FOR_EVER, "acc-1"), now=NOON + timedelta(days=3000))
    assert (refused.admitted, refused.retry_at) == (False, None)
    throttle.clear((FOR_EVER, "acc-1"))
    assert admitted(throttle, FOR_EVER, 4) == 3


def test_forgetting_old_counts_opens_nothing(throttle: PostgresThrottle) -> None:
    assert admitted(throttle, FOR_EVER, 3) == 3
    assert admitted(throttle, THREE, 3) == 3
    assert admitted(throttle, WAITING, 2) == 2
    assert throttle.forget_old(NOON + 29 * MINUTE) == 0
    assert throttle.forget_old(NOON + timedelta(days=30)) == 2
    assert admitted(throttle, FOR_EVER, 1, at=NOON + timedelta(days=30)) == 0


def test_a_mailed_link_is_dead_after_five_wrong_secrets(watchword: Watchword) -> None:
    links = PostgresLinks(watchword.database)
    assert (links.reserve("link-1"), links.find("link-1")) == (False, None)
    links.keep([Link("link-1", "dist-owner", "hash-1", wrong=0)])
    links.keep([Link("link-1", "dist-owner", "another hash", wrong=0)])
    assert sum(at_once(20, lambda _: links.reserve("link-1"))) == 5
    links.keep([Link("link-1", "dist-owner", "hash-1", wrong=0)])
    assert not links.reserve("link-1")
    found = links.find("link-1")
    assert found is not None
    assert (found.account_id, found.secret_hash, found.wrong) == ("dist-owner", "hash-1", 5)
    links.spare("link-1")
    assert (links.reserve("link-1"), links.reserve("link-1")) == (True, False)
