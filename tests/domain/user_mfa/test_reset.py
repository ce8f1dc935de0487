"""Resets: by the person with a mailed link, and by an administrator at once."""

import pytest

from domain.facts import Factor, Initiator, ResetConfirmed, ResetMailRepeated, ResetRequested, Unlocked
from domain.kernel import Fact
from domain.user_mfa import LinkNoLongerValid, NoOpenReset, NothingToReset, UserMFA
from tests.domain.bench import Given, Outcome
from tests.domain.user_mfa.story import (
    ACTIVE,
    DEAD,
    ENABLED,
    HOUR,
    LOCKED,
    NOON,
    RESET_ASKED,
    RESET_BY_ADMINISTRATOR,
    RESET_BY_PERSON,
    SECOND,
    STARTED,
    VERIFIED_AT_100,
    given,
    wrong,
)

ASKED_AGAIN = ResetRequested(reset_id="res-2", expires_at=NOON + HOUR)


def confirm(history: Given[UserMFA], reset_id: str = "res-1", *, after: int = 0) -> Outcome:
    return history.when(lambda m: m.confirm_reset(reset_id=reset_id, at=NOON + after * SECOND))


def repeat(history: Given[UserMFA], *, after: int = 0) -> Outcome:
    return history.when(lambda m: m.repeat_reset_mail(reset_id="new-1", at=NOON + after * SECOND))


# ── My own ──


def test_a_person_with_an_active_authenticator_may_ask_for_a_reset() -> None:
    """S24, S28, D11: the link lives an hour."""
    given(*ACTIVE).when(lambda m: m.request_reset(reset_id="res-1", at=NOON)).then(RESET_ASKED)


@pytest.mark.parametrize("history", [(), (ENABLED,), (STARTED,), (*ACTIVE, RESET_BY_ADMINISTRATOR)])
def test_where_no_authenticator_is_active_there_is_nothing_to_reset(history: tuple[Fact, ...]) -> None:
    given(*history).when(lambda m: m.request_reset(reset_id="res-1", at=NOON)).refused(NothingToReset)


def test_until_the_link_is_confirmed_the_old_authenticator_stays_in_force() -> None:
    """S29"""
    asked = given(*ACTIVE, RESET_ASKED)
    assert (asked.state.factor, asked.state.secret_ref) == (Factor.ACTIVE, "sec-1")
    asked.when(lambda m: m.verify(purpose=VERIFIED_AT_100.purpose, challenge="ses-1", step=100, at=NOON)).then(
        VERIFIED_AT_100
    )


def test_confirming_ends_the_old_secret() -> None:
    """S30, S32: none is left, and nothing is owed."""
    confirm(given(*ACTIVE, RESET_ASKED)).then(RESET_BY_PERSON)
    state = given(*ACTIVE, RESET_ASKED, STARTED, RESET_BY_PERSON).state
    assert (state.factor, state.secret_ref, state.reset, state.setup) == (Factor.NONE, None, None, None)


def test_confirming_is_possible_where_mfa_is_enforced() -> None:
    """S33, F11: the policy is not even asked; the next login leads to the set-up."""
    confirm(given(*ACTIVE, RESET_ASKED)).then(RESET_BY_PERSON)
    assert given(*ACTIVE, RESET_BY_PERSON).state.asks_for_setup(required=True)


def test_the_link_works_for_an_hour_and_not_a_second_longer() -> None:
    """D11"""
    confirm(given(*ACTIVE, RESET_ASKED), after=3600).then(RESET_BY_PERSON)
    confirm(given(*ACTIVE, RESET_ASKED), after=3601).refused(LinkNoLongerValid)


def test_the_link_works_once() -> None:
    """D11"""
    confirm(given(*ACTIVE, RESET_ASKED, RESET_BY_PERSON)).refused(LinkNoLongerValid)


def test_only_the_newest_link_works() -> None:
    """D11"""
    twice = given(*ACTIVE, RESET_ASKED, ASKED_AGAIN)
    confirm(twice, "res-1").refused(LinkNoLongerValid)
    confirm(twice, "res-2").then(RESET_BY_PERSON.model_copy(update={"reset_id": "res-2"}))


def test_where_no_link_was_mailed_none_works() -> None:
    confirm(given(*ACTIVE)).refused(LinkNoLongerValid)


def test_the_link_of_an_administrators_reset_confirms_no_reset_of_ones_own() -> None:
    """D11: it opens the set-up, which is owed, and not the way around it."""
    confirm(given(*ACTIVE, RESET_BY_ADMINISTRATOR), "adm-1").refused(LinkNoLongerValid)


# ── Another's ──

BEFORE: list[tuple[Fact, ...]] = [(), (ENABLED,), ACTIVE, (*ACTIVE, DEAD), (*ACTIVE, RESET_BY_ADMINISTRATOR)]


@pytest.mark.parametrize("history", BEFORE)
def test_an_administrator_resets_whatever_there_was(history: tuple[Fact, ...]) -> None:
    """S37, S39, F11, F17, D1, D11: at once; the set-up is owed, and its link lives a day."""
    outcome = given(*history).when(lambda m: m.reset_by_administrator(reset_id="adm-1", reason="lost", at=NOON))
    outcome.then(RESET_BY_ADMINISTRATOR.model_copy(update={"reason": "lost"}))
    state = given(*history, *outcome.facts).state
    assert (state.factor, state.secret_ref, state.setup) == (Factor.PENDING, None, None)
    assert state.owed_to_administrator()
    assert state.asks_for_setup(required=False)


def test_a_wish_of_ones_own_is_owed_to_nobody() -> None:
    """D2"""
    assert not given(ENABLED).state.owed_to_administrator()
    assert not given(*ACTIVE, RESET_ASKED).state.owed_to_administrator()


def test_an_administrators_reset_ends_the_open_link_of_ones_own() -> None:
    confirm(given(*ACTIVE, RESET_ASKED, RESET_BY_ADMINISTRATOR)).refused(LinkNoLongerValid)


def test_a_reset_ends_a_lock_and_lets_the_setup_begin() -> None:
    """F17"""
    for reset in (RESET_BY_PERSON, RESET_BY_ADMINISTRATOR):
        given(*ACTIVE, wrong(), LOCKED, reset).state.guesses.admit("ses-1", NOON)
        given(*ACTIVE, wrong(), DEAD, reset).state.guesses.admit("ses-1", NOON)


# ── The mail, again ──


def test_the_mail_of_ones_own_reset_can_be_sent_again_with_a_new_link() -> None:
    """F18, D11"""
    again = ResetMailRepeated(by=Initiator.PERSON, reset_id="new-1", expires_at=NOON + HOUR)
    repeat(given(*ACTIVE, RESET_ASKED)).then(again)
    repeated = given(*ACTIVE, RESET_ASKED, again)
    confirm(repeated, "res-1").refused(LinkNoLongerValid)
    confirm(repeated, "new-1").then(ResetConfirmed(by=Initiator.PERSON, reset_id="new-1"))


def test_the_mail_of_a_reset_that_has_run_out_is_not_sent_again() -> None:
    repeat(given(*ACTIVE, RESET_ASKED), after=3600).then(
        ResetMailRepeated(by=Initiator.PERSON, reset_id="new-1", expires_at=NOON + 2 * HOUR)
    )
    repeat(given(*ACTIVE, RESET_ASKED), after=3601).refused(NoOpenReset)


def test_the_mail_of_an_administrators_reset_can_be_sent_again_even_when_its_link_has_run_out() -> None:
    """F18: otherwise the account would be shut for ever."""
    for after in (0, 25 * 3600):
        expires = NOON + after * SECOND + 24 * HOUR
        again = ResetMailRepeated(by=Initiator.ADMINISTRATOR, reset_id="new-1", expires_at=expires)
        repeat(given(*ACTIVE, RESET_BY_ADMINISTRATOR), after=after).then(again)


@pytest.mark.parametrize("history", [(), ACTIVE, (*ACTIVE, RESET_BY_PERSON), (RESET_BY_ADMINISTRATOR, *ACTIVE)])
def test_where_no_reset_is_open_no_mail_is_repeated(history: tuple[Fact, ...]) -> None:
    repeat(given(*history)).refused(NoOpenReset)


def test_an_operators_unlocking_touches_no_open_reset() -> None:
    confirm(given(*ACTIVE, RESET_ASKED, LOCKED, Unlocked())).then(RESET_BY_PERSON)


def test_the_death_of_an_authenticator_ends_the_open_link() -> None:
    dead = given(*ACTIVE, RESET_ASKED, DEAD)
    confirm(dead).refused(LinkNoLongerValid)
    repeat(dead).refused(NoOpenReset)
    confirm(dead.after(ASKED_AGAIN), "res-2").then(RESET_BY_PERSON.model_copy(update={"reset_id": "res-2"}))


def test_a_lock_that_ends_by_itself_leaves_the_link_open() -> None:
    confirm(given(*ACTIVE, RESET_ASKED, LOCKED)).then(RESET_BY_PERSON)
