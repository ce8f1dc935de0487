"""Setting an authenticator up: shown, proved, replaced."""

import pytest

from domain.facts import Factor, Initiator, Locked, Purpose, ResetMailRepeated, SetupStarted, Verified
from domain.guessing import AuthenticatorDead, ChallengeEnded, CodesLocked
from domain.user_mfa import LinkNoLongerValid, MailedTokenNeeded, NoSetup, Setup, SetupExpired, UserMFA
from tests.domain.bench import Given, Outcome
from tests.domain.user_mfa.story import (
    ACTIVE,
    DEAD,
    ENABLED,
    HOUR,
    LOCKED,
    MINUTE,
    NOON,
    RESET_ASKED,
    RESET_BY_ADMINISTRATOR,
    RESET_BY_PERSON,
    SECOND,
    SET_UP_AT_99,
    STARTED,
    given,
    wrong,
)

SETUP_FAILED = wrong(purpose=Purpose.SETUP)
NEW_MAIL = ResetMailRepeated(by=Initiator.ADMINISTRATOR, reset_id="adm-2", expires_at=NOON + 30 * HOUR)


def start(history: Given[UserMFA], *, mailed: str | None = None, needs_mail: bool = True, after: int = 0) -> Outcome:
    return history.when(
        lambda m: m.start_setup(
            setup_id="set-1",
            secret_ref="sec-1",
            session="ses-1",
            mailed=mailed,
            needs_mail=needs_mail,
            at=NOON + after * SECOND,
        )
    )


def confirm(history: Given[UserMFA], step: int | None, *, session: str = "ses-1", after: int = 0) -> Outcome:
    return history.when(lambda m: m.confirm_setup(session=session, step=step, at=NOON + after * SECOND))


# ── Shown ──


@pytest.mark.parametrize("history", [(), (ENABLED,), ACTIVE, (RESET_BY_PERSON,)])
def test_a_new_key_is_shown_for_ten_minutes(history: tuple[SetupStarted, ...]) -> None:
    """S18, S19, S41, F22: to whoever has none, wants one, or replaces the own."""
    start(given(*history)).then(STARTED)


def test_a_key_that_was_shown_changes_nothing_until_it_is_proved() -> None:
    """S20, F22: the old authenticator stays in force."""
    again = STARTED.model_copy(update={"secret_ref": "sec-2", "setup_id": "set-2"})
    state = given(*ACTIVE, again).state
    assert (state.factor, state.secret_ref) == (Factor.ACTIVE, "sec-1")
    assert given(STARTED).state.factor is Factor.NONE


def test_only_the_key_that_was_shown_last_counts() -> None:
    """F22"""
    again = STARTED.model_copy(update={"secret_ref": "sec-2", "setup_id": "set-2"})
    assert given(STARTED, again, SET_UP_AT_99).state.secret_ref == "sec-2"


# ── Proved ──


def test_a_right_code_of_the_shown_key_makes_the_authenticator_active() -> None:
    """S20, S21"""
    confirm(given(ENABLED, STARTED), 99).then(SET_UP_AT_99)
    state = given(ENABLED, STARTED, SET_UP_AT_99).state
    assert (state.factor, state.secret_ref, state.setup, state.last_time_step) == (Factor.ACTIVE, "sec-1", None, 99)
    assert not state.asks_for_setup(required=True)


def test_a_wrong_code_leaves_everything_as_it_was() -> None:
    """S20"""
    confirm(given(ENABLED, STARTED), None).then(SETUP_FAILED)
    before, after = given(ENABLED, STARTED).state, given(ENABLED, STARTED, SETUP_FAILED).state
    assert (after.factor, after.secret_ref, after.setup) == (before.factor, before.secret_ref, before.setup)


def test_no_other_sign_in_may_finish_the_setup() -> None:
    confirm(given(STARTED), 99, session="ses-2").refused(NoSetup)


def test_without_a_shown_key_there_is_nothing_to_finish() -> None:
    confirm(given(ENABLED), 99).refused(NoSetup)
    confirm(given(*ACTIVE), 99).refused(NoSetup)


def test_a_key_may_be_proved_for_ten_minutes_and_not_a_second_longer() -> None:
    confirm(given(STARTED), 99, after=600).then(SET_UP_AT_99)
    confirm(given(STARTED), 99, after=601).refused(SetupExpired)


def test_the_open_setup_is_shown_again_to_its_own_sign_in() -> None:
    """S19: a reloaded page shows the same key."""
    opened = given(STARTED).state.open_setup(session="ses-1", at=NOON)
    assert opened == Setup("set-1", "sec-1", "ses-1", NOON + 10 * MINUTE)


def test_a_new_authenticator_ends_the_old_one_and_the_links_of_its_resets() -> None:
    """F22"""
    again = STARTED.model_copy(update={"secret_ref": "sec-2"})
    state = given(*ACTIVE, RESET_ASKED, again, Verified(purpose=Purpose.SETUP, time_step=120, gives_back=0)).state
    assert (state.secret_ref, state.reset, state.setup) == ("sec-2", None, None)


def test_a_new_setup_counts_afresh_but_remembers_which_sign_in_is_spent() -> None:
    guessed = given(*ACTIVE, LOCKED, wrong("ses-0"), STARTED, *[SETUP_FAILED] * 4, SET_UP_AT_99).state.guesses
    assert (guessed.in_a_row, guessed.net, guessed.locks) == ((), 0, 0)
    assert guessed.lately == ("ses-0", *["ses-1"] * 4)


def test_an_old_history_without_its_setup_is_told_without_error() -> None:
    state = given(SET_UP_AT_99).state
    assert (state.factor, state.secret_ref, state.last_time_step) == (Factor.NONE, None, 99)


# ── Guessed ──


def test_the_setup_takes_five_wrong_codes_and_then_asks_for_the_password() -> None:
    """F15"""
    confirm(given(STARTED, *[SETUP_FAILED] * 4), None).then(SETUP_FAILED)
    confirm(given(STARTED, *[SETUP_FAILED] * 5), 99).refused(ChallengeEnded)
    start(given(STARTED, *[SETUP_FAILED] * 5)).refused(ChallengeEnded)


def test_ten_wrong_setup_codes_lock_and_end_the_setup() -> None:
    """F15"""
    elsewhere = wrong("ses-0", purpose=Purpose.SETUP)
    almost = given(STARTED, *[elsewhere] * 5, *[SETUP_FAILED] * 4)
    confirm(almost, None).then(SETUP_FAILED, LOCKED)
    locked = almost.after(SETUP_FAILED, LOCKED)
    assert locked.state.setup is None
    start(locked).refused(CodesLocked, until=(NOON + 30 * MINUTE).isoformat())
    start(locked, after=1800).refused(ChallengeEnded)


def test_ninety_nine_wrong_setup_codes_and_one_at_sign_in_kill_nothing() -> None:
    """F15"""
    account = given(*ACTIVE)
    for _ in range(11):
        account = account.after(*[SETUP_FAILED] * 9, Locked(until=NOON))
    sign_in = account.when(lambda m: m.verify(purpose=Purpose.SIGN_IN, challenge="ses-2", step=None, at=NOON))
    sign_in.then(wrong("ses-2"))
    state = account.after(*sign_in.facts).state
    assert (state.guesses.net, state.guesses.dead) == (1, False)


def test_wrong_setup_codes_never_kill_the_authenticator() -> None:
    account = given()
    for number in range(150):
        guess = wrong(f"ses-{number}", purpose=Purpose.SETUP)
        account = account.after(STARTED, guess)
    confirm(account.after(STARTED), None).then(SETUP_FAILED, Locked(until=NOON + 30 * MINUTE))


def test_a_dead_authenticator_is_not_replaced_without_a_reset() -> None:
    start(given(*ACTIVE, DEAD)).refused(AuthenticatorDead)
    start(given(*ACTIVE, DEAD, RESET_BY_PERSON)).then(STARTED)


# ── After an administrator's reset ──


def test_after_an_administrators_reset_the_setup_asks_for_the_mailed_link() -> None:
    """D11, F17"""
    reset = given(*ACTIVE, RESET_BY_ADMINISTRATOR)
    start(reset).refused(MailedTokenNeeded)
    start(reset, mailed="adm-1").then(STARTED)


def test_where_the_mailed_link_is_switched_off_the_password_is_enough() -> None:
    """D16"""
    start(given(*ACTIVE, RESET_BY_ADMINISTRATOR), needs_mail=False).then(STARTED)


def test_the_link_to_the_setup_works_for_a_day_and_not_a_second_longer() -> None:
    """D11"""
    reset, day = given(*ACTIVE, RESET_BY_ADMINISTRATOR), 24 * 3600
    start(reset, mailed="adm-1", after=day).then(
        STARTED.model_copy(update={"expires_at": NOON + 24 * HOUR + 10 * MINUTE})
    )
    start(reset, mailed="adm-1", after=day + 1).refused(LinkNoLongerValid)


def test_only_the_newest_link_opens_the_setup() -> None:
    """D11, F18"""
    repeated = given(*ACTIVE, RESET_BY_ADMINISTRATOR, NEW_MAIL)
    start(repeated, mailed="adm-1").refused(LinkNoLongerValid)
    start(repeated, mailed="adm-2").then(STARTED)


def test_the_link_of_another_reset_opens_nothing() -> None:
    start(given(*ACTIVE, RESET_BY_ADMINISTRATOR), mailed="res-1").refused(LinkNoLongerValid)


def test_the_owed_setup_is_paid_by_the_proof_alone() -> None:
    """S41"""
    started = given(*ACTIVE, RESET_BY_ADMINISTRATOR, STARTED)
    assert started.state.owed_to_administrator()
    assert not started.after(SET_UP_AT_99).state.owed_to_administrator()
