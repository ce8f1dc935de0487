"""How many codes may be guessed: every number of the security design, section 4, at its edge and one beside it."""

from datetime import UTC, date, datetime, timedelta

import pytest

from domain.facts import Locked, Purpose, Verified
from domain.guessing import AuthenticatorDead, ChallengeEnded, CodesLocked, Guesses
from domain.kernel import Refused

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TODAY, TOMORROW = NOON.date(), (NOON + timedelta(days=1)).date()
SECOND = timedelta(seconds=1)


def after_failures(number: int, *, challenge: str = "ses-1", guesses: Guesses | None = None) -> Guesses:
    guesses = guesses or Guesses()
    for _ in range(number):
        guesses = guesses.failed(challenge, against_secret=True)
    return guesses


def success(guesses: Guesses, *, gives_back: int = 0, on: date = TODAY) -> Guesses:
    return guesses.succeeded(Verified(purpose=Purpose.SIGN_IN, time_step=1, gives_back=gives_back), on)


def refusal_of(guesses: Guesses, at: datetime = NOON, *, challenge: str = "ses-1") -> type[Refused] | None:
    try:
        guesses.admit(challenge, at)
    except Refused as refusal:
        return type(refusal)
    return None


# ── Five in one sign-in ──


def test_a_sign_in_takes_five_wrong_codes_and_no_sixth() -> None:
    """F15"""
    assert refusal_of(after_failures(4)) is None
    assert refusal_of(after_failures(5)) is ChallengeEnded


def test_another_sign_in_has_five_of_its_own() -> None:
    assert refusal_of(after_failures(5), challenge="ses-2") is None


@pytest.mark.parametrize(
    ("here", "elsewhere", "last"), [(0, 0, False), (3, 0, False), (4, 0, True), (0, 4, False), (5, 0, True)]
)
def test_the_fifth_wrong_code_is_known_to_be_the_last(here: int, elsewhere: int, *, last: bool) -> None:
    guesses = after_failures(here, guesses=after_failures(elsewhere, challenge="ses-2"))
    assert guesses.is_last("ses-1") is last
    assert success(guesses).is_last("ses-1") is last


def test_a_spent_sign_in_stays_spent_whatever_comes_between() -> None:
    spent = after_failures(5)
    later = NOON + timedelta(days=1)
    locked, dead = spent.locked(NOON), spent.locked(None)
    for after in (locked, locked.unlocked(), success(spent), dead.without_secret(), spent.with_new_secret()):
        assert refusal_of(after, later) is ChallengeEnded
        assert refusal_of(after, later, challenge="ses-2") is None


def test_what_comes_between_gives_a_sign_in_no_further_tries() -> None:
    begun = after_failures(3)
    for between in (begun.locked(NOON), begun.locked(NOON).unlocked(), success(begun), begun.with_new_secret()):
        assert refusal_of(after_failures(1, guesses=between), NOON) is None
        assert refusal_of(after_failures(2, guesses=between), NOON) is ChallengeEnded


def test_only_the_last_fifty_failures_are_remembered_one_by_one() -> None:
    full = after_failures(45, challenge="ses-2", guesses=after_failures(5))
    assert refusal_of(full) is ChallengeEnded
    assert after_failures(1, challenge="ses-3", guesses=full).lately == (*full.lately[1:], "ses-3")


# ── Ten in a row ──


def test_the_tenth_wrong_code_in_a_row_locks_for_half_an_hour_and_the_ninth_does_not() -> None:
    """F15"""
    assert after_failures(8).locks_after_failure(NOON, may_die=True) == []
    assert after_failures(9).locks_after_failure(NOON, may_die=True) == [Locked(until=NOON + timedelta(minutes=30))]


def test_a_success_begins_the_row_afresh() -> None:
    assert success(after_failures(9)).locks_after_failure(NOON, may_die=True) == []


LOCKS = [(0, 30), (1, 60), (2, 120), (3, 240), (4, 480), (5, 960), (6, 1440), (7, 1440), (9, 1440)]


@pytest.mark.parametrize(("earlier", "minutes"), LOCKS)
def test_each_further_lock_lasts_twice_as_long_and_none_longer_than_a_day(earlier: int, minutes: int) -> None:
    guesses = after_failures(9, guesses=Guesses(locks=earlier))
    assert guesses.locks_after_failure(NOON, may_die=True) == [Locked(until=NOON + timedelta(minutes=minutes))]


def test_a_lock_of_any_number_lasts_a_day_and_is_no_error() -> None:
    guesses = after_failures(9, guesses=Guesses(locks=10_000))
    assert guesses.locks_after_failure(NOON, may_die=False) == [Locked(until=NOON + timedelta(hours=24))]


def test_a_success_lets_the_next_lock_be_short_again() -> None:
    guesses = after_failures(9, guesses=success(Guesses(locks=5)))
    assert guesses.locks_after_failure(NOON, may_die=True) == [Locked(until=NOON + timedelta(minutes=30))]


def test_a_lock_ends_by_time_and_not_a_second_before() -> None:
    """F15"""
    locked = after_failures(10).locked(NOON + timedelta(minutes=30))
    with pytest.raises(CodesLocked) as refused:
        locked.admit("ses-1", NOON + timedelta(minutes=30) - SECOND)
    assert refused.value.because == {"until": "2026-03-02T12:30:00+00:00"}
    assert refusal_of(locked, NOON + timedelta(minutes=30), challenge="ses-2") is None


def test_after_a_lock_another_ten_have_to_fail_for_the_next() -> None:
    locked = after_failures(10).locked(NOON)
    assert after_failures(8, guesses=locked).locks_after_failure(NOON, may_die=True) == []
    assert after_failures(9, guesses=locked).locks_after_failure(NOON, may_die=True) == [
        Locked(until=NOON + timedelta(hours=1))
    ]


# ── A hundred in all ──


def test_the_hundredth_wrong_code_kills_and_the_ninety_ninth_does_not() -> None:
    """F15"""
    assert Guesses(net=98).locks_after_failure(NOON, may_die=True) == []
    assert Guesses(net=99).locks_after_failure(NOON, may_die=True) == [Locked(until=None)]


def test_a_setup_code_cannot_kill_but_it_can_lock() -> None:
    assert Guesses(net=500).locks_after_failure(NOON, may_die=False) == []
    assert after_failures(9, guesses=Guesses(net=500)).locks_after_failure(NOON, may_die=False) == [
        Locked(until=NOON + timedelta(minutes=30))
    ]


def test_a_dead_authenticator_stays_dead_however_long_one_waits() -> None:
    dead = Guesses(net=100).locked(None)
    assert refusal_of(dead, NOON + timedelta(days=9999)) is AuthenticatorDead


def test_a_lock_that_follows_death_by_accident_of_history_says_dead_no_more() -> None:
    assert not Guesses().locked(None).locked(NOON).dead


def test_an_operator_ends_a_lock_and_no_death() -> None:
    assert refusal_of(Guesses().locked(NOON + timedelta(hours=9)).unlocked()) is None
    assert refusal_of(Guesses(net=100).locked(None).unlocked()) is AuthenticatorDead


def test_death_ends_with_the_secret_but_the_count_stays_until_a_new_one_is_proved() -> None:
    ended = Guesses(net=100, locks=3).locked(None).without_secret()
    assert refusal_of(ended) is None
    assert ended.net == 100
    assert ended.with_new_secret().net == 0


def test_a_wrong_setup_code_does_not_bring_death_nearer_and_counts_everywhere_else() -> None:
    failed = Guesses(net=7).failed("ses-1", against_secret=False)
    assert (failed.net, failed.in_a_row, failed.lately) == (7, ("ses-1",), ("ses-1",))


# ── What a success gives back ──


def test_a_success_gives_back_one_and_at_most_two_a_day() -> None:
    guesses = Guesses(net=10)
    given_back = []
    for _ in range(4):
        given_back.append(guesses.forgives(NOON))
        guesses = success(guesses, gives_back=given_back[-1])
    assert given_back == [1, 1, 0, 0]
    assert guesses.net == 8


def test_the_next_day_gives_back_again() -> None:
    tired = success(success(Guesses(net=10), gives_back=1), gives_back=1)
    assert tired.forgives(NOON) == 0
    assert tired.forgives(NOON + timedelta(days=1)) == 1
    assert success(tired, gives_back=1, on=TOMORROW).forgiven == 1


def test_where_nothing_failed_nothing_is_given_back() -> None:
    assert Guesses().forgives(NOON) == 0
    assert Guesses(net=1).forgives(NOON) == 1


def test_a_patient_guesser_is_not_hidden_by_a_person_who_signs_in_often() -> None:
    """Ten wrong codes a day against twenty sign-ins a day: dead in two weeks, not never."""
    guesses, days = Guesses(), 0
    while guesses.net < 100:
        at = NOON + timedelta(days=days)
        guesses, days = after_failures(10, guesses=guesses), days + 1
        for _ in range(20):
            guesses = success(guesses, gives_back=guesses.forgives(at), on=at.date())
    assert days == 13
