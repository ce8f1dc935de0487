"""What every log keeps: one contract over the log in memory and the one in PostgreSQL."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest

from domain.facts import Enabled, Locked
from domain.kernel import Envelope, Fact
from handlers.ports import Change, Conflict, Known, MessageProcessed, Origin
from tests.contract.plugs import (
    NOON,
    NOTHING,
    Plug,
    append_deciding_again,
    at_once,
    change,
    collect,
    numbers_in,
    origin,
    read_all,
    rising,
)

ONE = "user_mfa:one"
TWO = "user_mfa:two"
POLICY = "partner_policy:two"


def test_an_empty_log_has_nothing(plug: Plug) -> None:
    store = plug.store
    assert store.load(ONE, collect, NOTHING) == ((), 0)
    assert list(store.history(ONE)) == []
    assert list(store.read(0, 10)) == []
    assert store.known("never asked") is None
    assert store.last_position() == 0


def test_what_was_appended_is_loaded_in_order(plug: Plug) -> None:
    store = plug.store
    first = store.append(change(ONE, 0, 1, 2), origin=origin())
    second = store.append(change(ONE, 2, 3), origin=origin())
    assert store.load(ONE, collect, NOTHING) == ((1, 2, 3), 3)
    assert store.load(TWO, collect, NOTHING) == ((), 0)
    assert 0 < first < second == store.last_position()


def test_an_append_needs_a_fact(plug: Plug) -> None:
    with pytest.raises(ValueError, match="at least one fact"):
        plug.store.append(Change(ONE, 0, [], "dist"), origin=origin(), rows=[MessageProcessed("notifier", "1")])
    assert plug.processed() == set()


def test_an_envelope_comes_back_with_all_its_fields(plug: Plug) -> None:
    asked = Origin(
        actor="account:acc-1",
        command_id="cmd-1",
        at=NOON,
        correlation_id="corr-1",
        ip_prefix="198.51.100.0/24",
        session="ses-1",
        fingerprint="print-1",
    )
    locked = Locked(until=NOON + timedelta(minutes=30))
    position = plug.store.append(Change(ONE, 0, [Enabled(), locked], "dist"), origin=asked)
    expected = Envelope(
        fact=locked,
        stream=ONE,
        version=2,
        at=NOON,
        actor="account:acc-1",
        tenant="dist",
        command_id="cmd-1",
        correlation_id="corr-1",
        ip_prefix="198.51.100.0/24",
        session="ses-1",
    )
    first, second = plug.store.read(0, 10)
    assert (first.fact, first.version) == (Enabled(), 1)
    assert (second, second.position) == (expected, position)
    assert list(plug.store.history(ONE)) == [first, expected]
    assert [each.position for each in plug.store.history(ONE)] == [each.position for each in plug.store.read(0, 10)]
    assert list(plug.store.at([position, 10_000])) == [expected]
    assert [each.position for each in plug.store.at([position, first.position])] == [first.position, position]


def test_positions_rise_in_commit_order_and_pages_lose_nothing(plug: Plug) -> None:
    store = plug.store
    returned = [store.append(change(f"user_mfa:{n % 3}", n // 3, n), origin=origin()) for n in range(20)]
    assert rising(returned)
    expected = [(position, f"user_mfa:{n % 3}", n) for n, position in enumerate(returned)]
    for page in (1, 3, 7, 20, 500):
        assert read_all(store, page) == expected
    assert [envelope.position for envelope in store.read(returned[4], 2)] == returned[5:7]


def test_a_stale_version_is_a_conflict_and_stores_nothing(plug: Plug) -> None:
    store = plug.store
    position = store.append(change(ONE, 0, 1, 2), origin=origin())
    for stale in (0, 1):
        command = origin()
        with pytest.raises(Conflict):
            store.append(change(ONE, stale, 9), origin=command, rows=[MessageProcessed("notifier", "1")])
        assert store.known(command.command_id) is None
    assert (numbers_in(store, ONE), store.last_position(), plug.processed()) == ((1, 2), position, set())


def test_a_stream_that_was_to_stay_and_moved_on_is_a_conflict(plug: Plug) -> None:
    store = plug.store
    store.append(change(POLICY, 0, 1), origin=origin())
    store.append(change(ONE, 0, 1), origin=origin(), unchanged=[(POLICY, 1), ("partner_policy:never", 0)])
    store.append(change(POLICY, 1, 2), origin=origin())
    with pytest.raises(Conflict):
        store.append(
            change(ONE, 1, 2), origin=origin(), unchanged=[(POLICY, 1)], rows=[MessageProcessed("notifier", "1")]
        )
    with pytest.raises(Conflict):
        store.append(change(ONE, 1, 2), origin=origin(), unchanged=[(POLICY, 0)])
    assert (numbers_in(store, ONE), plug.processed()) == ((1,), set())
    store.append(change(ONE, 1, 2), origin=origin(), unchanged=[(POLICY, 2)])
    assert numbers_in(store, ONE) == (1, 2)


def test_only_a_stream_that_is_watched_can_be_asked_to_stay(plug: Plug) -> None:
    with pytest.raises(ValueError, match="only streams of partner_policy: are watched"):
        plug.store.append(change(ONE, 0, 1), origin=origin(), unchanged=[(TWO, 0)])
    assert plug.store.last_position() == 0


def test_what_a_decision_stands_on_does_not_change_while_it_is_stored(plug: Plug) -> None:
    """Of two that each stand on what the other changes, one is first and the other hears of it."""

    def one_of_two(number: int, switches: int) -> bool:
        one, policy = f"user_mfa:{number}", f"partner_policy:{number}"
        with suppress(Conflict):
            if switches:
                plug.store.append(change(one, 0, 1), origin=origin(), unchanged=[(policy, 0)])
            else:
                plug.store.append(change(policy, 0, 1), origin=origin())
            return True
        return False

    for number in range(30):
        enforced, switched = at_once(2, partial(one_of_two, number))
        assert enforced
        order = [stream.partition(":")[0] for _, stream, _ in read_all(plug.store, 100)[-1 - switched :]]
        assert order == (["user_mfa", "partner_policy"] if switched else ["partner_policy"])


def test_what_a_stream_led_to_depends_on_the_fold_and_its_beginning_alone(plug: Plug) -> None:
    """Whatever was loaded before, and by whichever fold of the same words."""

    def adding(step: int) -> Callable[[int, Fact], int]:
        return lambda total, _: total + step

    store, nine = plug.store, (*NOTHING, 9)
    store.append(change(ONE, 0, 1, 2), origin=origin())
    assert store.load(ONE, collect, NOTHING) == ((1, 2), 2)
    assert store.load(ONE, collect, nine) == ((9, 1, 2), 2)
    assert [store.load(ONE, adding(step), 0) for step in (1, 10, 1)] == [(2, 2), (20, 2), (2, 2)]
    store.append(change(ONE, 2, 3), origin=origin())
    assert [store.load(ONE, collect, begun) for begun in (NOTHING, nine)] == [((1, 2, 3), 3), ((9, 1, 2, 3), 3)]


def test_a_row_that_is_rejected_takes_the_facts_back(plug: Plug) -> None:
    store, row = plug.store, MessageProcessed("notifier", "1")
    position = store.append(change(ONE, 0, 1), origin=origin(), rows=[row])
    command = origin()
    with pytest.raises(Conflict):
        store.append(change(ONE, 1, 2), change(TWO, 0, 1), origin=command, rows=[MessageProcessed("n", "2"), row])
    assert (numbers_in(store, ONE), numbers_in(store, TWO)) == ((1,), ())
    assert (store.last_position(), plug.processed(), store.known(command.command_id)) == (position, {"1"}, None)


def test_the_same_command_twice_answers_its_position_and_stores_once(plug: Plug) -> None:
    store = plug.store
    command = origin("cmd-1", fingerprint="print-1")
    position = store.append(change(ONE, 0, 1), origin=command, rows=[MessageProcessed("notifier", "1")])
    store.append(change(TWO, 0, 1), origin=origin())
    again = store.append(change(ONE, 0, 1), origin=command, rows=[MessageProcessed("notifier", "2")])
    later = store.append(change(ONE, 1, 1), origin=command, unchanged=[(POLICY, 7)])
    assert (again, later) == (position, position)
    assert store.known("cmd-1") == Known(position, "print-1")
    assert (numbers_in(store, ONE), plug.processed()) == ((1,), {"1"})


def test_one_command_raced_by_eight_threads_stores_once(plug: Plug) -> None:
    store = plug.store
    for number in range(5):
        command = origin(f"cmd-{number}")
        answers = at_once(8, lambda _, n=number, c=command: store.append(change(ONE, n, n), origin=c))  # type: ignore[misc]
        assert set(answers) == {store.last_position()}
    assert numbers_in(store, ONE) == (0, 1, 2, 3, 4)


def test_many_facts_over_many_streams_are_stored_together_or_not_at_all(plug: Plug) -> None:
    store = plug.store
    changes = [change(f"user_mfa:{n}", 0, *range(n, n + 4)) for n in range(40)]
    store.append(change("user_mfa:39", 0, 99), origin=origin())
    with pytest.raises(Conflict):
        store.append(*changes, origin=origin())
    assert [stream for _, stream, _ in read_all(store, 50)] == ["user_mfa:39"]
    last = store.append(*changes[:39], origin=origin("all"))
    assert store.known("all") == Known(last, "")
    stored = read_all(store, 50)[1:]
    assert [(stream, number) for _, stream, number in stored] == [
        (f"user_mfa:{n}", number) for n in range(39) for number in range(n, n + 4)
    ]
    assert stored[-1][0] == last


def test_two_changes_of_one_stream_follow_each_other(plug: Plug) -> None:
    plug.store.append(change(ONE, 0, 1), change(TWO, 0, 5), change(ONE, 1, 2), origin=origin())
    assert plug.store.load(ONE, collect, NOTHING) == ((1, 2), 2)
    with pytest.raises(Conflict):
        plug.store.append(change(TWO, 1, 6), change(TWO, 1, 7), origin=origin())
    assert numbers_in(plug.store, TWO) == (5,)


def test_eight_threads_that_decide_again_lose_nothing(plug: Plug) -> None:
    store = plug.store

    def ten(thread: int) -> list[int]:
        return [append_deciding_again(store, ONE, 100 * thread + n) for n in range(10)]

    answers = at_once(8, ten)
    state, version = store.load(ONE, collect, NOTHING)
    assert (len(state), version) == (80, 80)
    assert set(state) == {100 * thread + n for thread in range(8) for n in range(10)}
    by_position = {position: number for position, _, number in read_all(store, 50)}
    assert [[by_position[p] for p in mine] for mine in answers] == [
        [100 * thread + n for n in range(10)] for thread in range(8)
    ]
