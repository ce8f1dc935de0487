"""Codes of an active authenticator: right, wrong, used before, guessed."""

import pytest

from domain.facts import Disabled, Factor, FailureReason, Locked, Purpose, Unlocked, Verified
from domain.guessing import AuthenticatorDead, ChallengeEnded, CodesLocked
from domain.kernel import Fact
from domain.user_mfa import NotActive, UserMFA
from tests.domain.bench import Given, Outcome
from tests.domain.user_mfa.story import (
    ACTIVE,
    DEAD,
    ENABLED,
    HOUR,
    LOCKED,
    MINUTE,
    NOON,
    RESET_BY_ADMINISTRATOR,
    RESET_BY_PERSON,
    STARTED,
    VERIFIED_AT_100,
    given,
    right,
    wrong,
)

REPLAYED = wrong(reason=FailureReason.REPLAYED)
NOON_STEP = int(NOON.timestamp()) // 30
STEPS_A_DAY = 24 * 120


def verify(
    history: Given[UserMFA],
    step: int | None,
    *,
    challenge: str = "ses-1",
    purpose: Purpose = Purpose.SIGN_IN,
    minutes: float = 0,
) -> Outcome:
    at = NOON + minutes * MINUTE
    return history.when(lambda m: m.verify(purpose=purpose, challenge=challenge, step=step, at=at))


def failures(number: int, *, first: int = 0) -> list[Fact]:
    """Return so many wrong codes, each in a sign-in of its own."""
    return [wrong(f"old-{first + index}") for index in range(number)]


# ── Right and wrong ──


def test_a_right_code_is_accepted() -> None:
    """S23"""
    verify(given(*ACTIVE), 100).then(VERIFIED_AT_100)


def test_a_wrong_code_is_not_and_is_remembered() -> None:
    """S23, F15"""
    verify(given(*ACTIVE), None).then(wrong())


@pytest.mark.parametrize("history", [(), (ENABLED,), (STARTED,), (*ACTIVE, RESET_BY_PERSON)])
def test_without_an_active_authenticator_no_code_is_asked(history: tuple[Fact, ...]) -> None:
    """S30, F04"""
    verify(given(*history), 100).refused(NotActive)


def test_after_an_administrators_reset_the_old_codes_are_refused() -> None:
    """S39"""
    verify(given(*ACTIVE, RESET_BY_ADMINISTRATOR), 100).refused(NotActive)


def test_after_switching_off_the_old_codes_are_refused() -> None:
    """F22"""
    verify(given(*ACTIVE, Disabled(was=Factor.ACTIVE)), 100).refused(NotActive)


@pytest.mark.parametrize("purpose", [Purpose.SIGN_IN, Purpose.STEP_UP])
def test_what_a_code_was_entered_for_is_remembered(purpose: Purpose) -> None:
    verify(given(*ACTIVE), None, purpose=purpose).then(wrong(purpose=purpose))
    verify(given(*ACTIVE), 100, purpose=purpose).then(VERIFIED_AT_100.model_copy(update={"purpose": purpose}))


# ── Once ──


def test_a_code_is_accepted_once() -> None:
    """F15"""
    verify(given(*ACTIVE, VERIFIED_AT_100), 100).then(REPLAYED)
    verify(given(*ACTIVE, VERIFIED_AT_100), 101).then(right(101))


def test_a_code_of_an_earlier_time_step_is_as_good_as_used() -> None:
    verify(given(*ACTIVE, right(101)), 100).then(REPLAYED)


def test_the_code_of_the_setup_cannot_sign_in() -> None:
    """S20, F15"""
    verify(given(*ACTIVE), 99).then(REPLAYED)


def test_the_code_of_the_sign_in_cannot_step_up() -> None:
    verify(given(*ACTIVE, VERIFIED_AT_100), 100, purpose=Purpose.STEP_UP).then(
        wrong(purpose=Purpose.STEP_UP, reason=FailureReason.REPLAYED)
    )


def test_a_used_code_counts_like_a_wrong_one() -> None:
    """F15"""
    verify(given(*ACTIVE, VERIFIED_AT_100, *failures(9)), 100).then(REPLAYED, LOCKED)


# ── Five in one sign-in ──


def test_five_wrong_codes_end_the_sign_in_even_for_a_right_one() -> None:
    """F15"""
    verify(given(*ACTIVE, *[wrong()] * 4), 100).then(right(100, gives_back=1))
    verify(given(*ACTIVE, *[wrong()] * 5), 100).refused(ChallengeEnded)
    verify(given(*ACTIVE, *[wrong()] * 5), 100, challenge="ses-2").then(right(100, gives_back=1))


@pytest.mark.parametrize("between", [(right(100),), (LOCKED, Unlocked()), (RESET_BY_PERSON, *ACTIVE)])
def test_a_spent_sign_in_stays_spent_whatever_comes_between(between: tuple[Fact, ...]) -> None:
    """F15"""
    account = given(*ACTIVE, *[wrong()] * 5, *between)
    verify(account, 101).refused(ChallengeEnded)
    assert isinstance(verify(account, 101, challenge="ses-2").facts[0], Verified)


# ── Ten in a row ──


def test_the_tenth_wrong_code_in_a_row_locks_for_half_an_hour() -> None:
    """F15"""
    verify(given(*ACTIVE, *failures(8)), None).then(wrong())
    verify(given(*ACTIVE, *failures(9)), None).then(wrong(), LOCKED)


def test_while_locked_no_code_is_looked_at_right_or_wrong() -> None:
    """F15"""
    locked = given(*ACTIVE, *failures(10), LOCKED)
    until = (NOON + 30 * MINUTE).isoformat()
    verify(locked, 100).refused(CodesLocked, until=until)
    verify(locked, None, minutes=29.99).refused(CodesLocked, until=until)


def test_a_lock_ends_by_itself() -> None:
    verify(given(*ACTIVE, *failures(10), LOCKED), 100, minutes=30).then(right(100, gives_back=1))


def test_each_further_lock_is_twice_as_long_up_to_a_day() -> None:
    """F15"""
    account, lasted = given(*ACTIVE), []
    for number in range(9):
        *_, lock = verify(account.after(*failures(9, first=9 * number)), None).facts
        assert isinstance(lock, Locked)
        assert lock.until is not None
        lasted.append((lock.until - NOON) / HOUR)
        account = account.after(Locked(until=NOON))
    assert lasted == [0.5, 1, 2, 4, 8, 16, 24, 24, 24]


def test_a_success_makes_the_next_lock_short_again() -> None:
    tired = given(*ACTIVE, *failures(10), LOCKED, *failures(10), LOCKED, VERIFIED_AT_100)
    verify(tired.after(*failures(9)), None).then(wrong(), LOCKED)


def test_an_unlocked_authenticator_is_looked_at_at_once() -> None:
    verify(given(*ACTIVE, *failures(10), LOCKED, Unlocked()), 100).then(right(100, gives_back=1))


# ── A hundred in all ──


def nearly_dead(net: int) -> Given[UserMFA]:
    """Return an account with so many wrong codes, its locks behind it."""
    account = given(*ACTIVE)
    for _ in range(net // 9):
        account = account.after(*failures(9), Locked(until=NOON))
    return account.after(*failures(net % 9))


def test_the_hundredth_wrong_code_in_all_leaves_the_authenticator_dead() -> None:
    """F15"""
    verify(nearly_dead(98), None).then(wrong())
    verify(nearly_dead(99), None).then(wrong(), DEAD)


def test_wrong_codes_of_a_sign_in_and_of_a_step_up_bring_death_nearer_alike() -> None:
    assert given(*ACTIVE, wrong(), wrong(purpose=Purpose.STEP_UP), REPLAYED).state.guesses.net == 3
    verify(nearly_dead(99), None, purpose=Purpose.STEP_UP).then(wrong(purpose=Purpose.STEP_UP), DEAD)


def test_a_dead_authenticator_takes_no_code_for_ever() -> None:
    """F15"""
    verify(given(*ACTIVE, DEAD), 100, minutes=60 * 24 * 3650).refused(AuthenticatorDead)


def test_a_reset_and_a_new_setup_bring_a_dead_authenticator_back() -> None:
    reborn = nearly_dead(100).after(DEAD, RESET_BY_PERSON, *ACTIVE)
    assert reborn.state.guesses.net == 0
    verify(reborn, 100).then(VERIFIED_AT_100)


def test_a_reset_without_the_new_setup_forgives_no_wrong_code() -> None:
    for reset in (RESET_BY_PERSON, RESET_BY_ADMINISTRATOR):
        assert given(*ACTIVE, *failures(7), reset).state.guesses.net == 7


# ── Given back ──


def test_a_success_gives_back_one_wrong_code_and_two_a_day_at_most() -> None:
    """F15"""
    account, given_back = given(*ACTIVE, *failures(5)), []
    for number in range(4):
        outcome = verify(account, NOON_STEP + number, minutes=number / 2)
        given_back += [fact.gives_back for fact in outcome.facts if isinstance(fact, Verified)]
        account = account.after(*outcome.facts)
    assert (given_back, account.state.guesses.net) == ([1, 1, 0, 0], 3)


def test_the_next_day_gives_back_again() -> None:
    """F15"""
    tired = given(*ACTIVE, *failures(5), right(NOON_STEP, gives_back=1), right(NOON_STEP + 1, gives_back=1))
    tomorrow = NOON_STEP + STEPS_A_DAY
    verify(tired, tomorrow, minutes=24 * 60).then(right(tomorrow, gives_back=1))


@pytest.mark.parametrize("late", [-1, 0, 1])
def test_around_midnight_a_day_still_gives_back_no_more_than_two(late: int) -> None:
    """F15: a code belongs to the day of its time step, however slowly it is typed."""
    midnight = NOON_STEP + STEPS_A_DAY // 2
    account = given(*ACTIVE, *failures(9))
    for step in range(midnight - 6, midnight + 6):
        account = account.after(*verify(account, step, minutes=(step + late - NOON_STEP) / 2 + 0.1).facts)
    assert account.state.guesses.net == 9 - 2 - 2
