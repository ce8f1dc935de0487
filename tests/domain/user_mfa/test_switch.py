"""Switching MFA on and off."""

from domain.facts import Disabled, Enforced, Factor, Population, Unlocked
from domain.guessing import AuthenticatorDead
from domain.user_mfa import AdministratorResetOpen, EnforcedByPartner, UserMFA
from tests.domain.user_mfa.story import (
    ACTIVE,
    DEAD,
    ENABLED,
    LOCKED,
    MINUTE,
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


def test_switching_on_makes_the_account_pending_and_no_more() -> None:
    """S06, S08, S16: no code is asked, and no secret exists yet; the next login leads through the set-up."""
    given().when(UserMFA.enable).then(ENABLED)
    pending = given(ENABLED).state
    assert (pending.factor, pending.secret_ref) == (Factor.PENDING, None)
    assert pending.asks_for_setup(required=False)


def test_switching_on_twice_changes_nothing() -> None:
    given(ENABLED).when(UserMFA.enable).then()
    given(*ACTIVE).when(UserMFA.enable).then()


def test_where_nothing_is_enforced_an_active_authenticator_may_be_switched_off() -> None:
    """F09"""
    off = Disabled(was=Factor.ACTIVE)
    given(*ACTIVE).when(lambda m: m.disable(required=False)).then(off)
    state = given(*ACTIVE, off).state
    assert (state.factor, state.secret_ref, state.setup, state.reset) == (Factor.NONE, None, None, None)


def test_a_wish_for_mfa_may_be_taken_back() -> None:
    """D2"""
    given(ENABLED).when(lambda m: m.disable(required=False)).then(Disabled(was=Factor.PENDING))


def test_switching_off_what_is_off_changes_nothing() -> None:
    given().when(lambda m: m.disable(required=False)).then()


def test_where_it_is_enforced_nobody_switches_off() -> None:
    """F06, F10"""
    for history in ((), (ENABLED,), ACTIVE, (RESET_BY_ADMINISTRATOR,)):
        given(*history).when(lambda m: m.disable(required=True)).refused(EnforcedByPartner)


def test_what_is_owed_after_an_administrators_reset_cannot_be_cancelled() -> None:
    """D2"""
    given(*ACTIVE, RESET_BY_ADMINISTRATOR).when(lambda m: m.disable(required=False)).refused(AdministratorResetOpen)


def test_once_the_owed_setup_is_done_it_may_be_switched_off_again() -> None:
    """F09, D2"""
    given(RESET_BY_ADMINISTRATOR, *ACTIVE).when(lambda m: m.disable(required=False)).then(Disabled(was=Factor.ACTIVE))


def test_switching_off_ends_the_open_setup_and_the_open_link() -> None:
    state = given(*ACTIVE, RESET_ASKED, STARTED, Disabled(was=Factor.ACTIVE)).state
    assert (state.setup, state.reset) == (None, None)


def test_switching_off_and_on_again_forgives_no_wrong_code() -> None:
    """F15"""
    state = given(*ACTIVE, wrong(), wrong(), Disabled(was=Factor.ACTIVE), ENABLED).state
    assert (len(state.guesses.in_a_row), state.guesses.net) == (2, 2)


def test_who_is_asked_for_the_setup() -> None:
    """S16, S32, S33, F04, F05"""
    asked = {
        "new": given(),
        "wanted": given(ENABLED),
        "active": given(*ACTIVE),
        "own reset": given(*ACTIVE, RESET_BY_PERSON),
        "reset": given(*ACTIVE, RESET_BY_ADMINISTRATOR),
    }
    assert [name for name, history in asked.items() if history.state.asks_for_setup(required=False)] == [
        "wanted",
        "reset",
    ]
    assert [name for name, history in asked.items() if history.state.asks_for_setup(required=True)] == [
        "new",
        "wanted",
        "own reset",
        "reset",
    ]


def test_an_operator_ends_a_lock_before_its_time() -> None:
    locked = given(*ACTIVE, wrong(), LOCKED)
    locked.when(lambda m: m.unlock(NOON)).then(Unlocked())
    opened = locked.after(Unlocked()).state
    opened.guesses.admit("ses-1", NOON)
    assert (opened.secret_ref, opened.guesses.net) == ("sec-1", 1)


def test_an_operator_cannot_bring_a_dead_authenticator_back() -> None:
    given(*ACTIVE, DEAD).when(lambda m: m.unlock(NOON)).refused(AuthenticatorDead)


def test_where_nothing_is_locked_any_more_there_is_nothing_to_unlock() -> None:
    given(*ACTIVE, wrong()).when(lambda m: m.unlock(NOON)).then()
    given(*ACTIVE, LOCKED).when(lambda m: m.unlock(NOON + 30 * MINUTE)).then()


def test_a_lock_can_be_ended_to_its_last_second() -> None:
    given(*ACTIVE, LOCKED).when(lambda m: m.unlock(NOON + 30 * MINUTE - SECOND)).then(Unlocked())


def test_a_dead_authenticator_that_was_switched_off_can_be_set_up_again() -> None:
    """F15: and no wrong code is forgiven before the new secret is proved."""
    switched = given(*ACTIVE, wrong(), DEAD, Disabled(was=Factor.ACTIVE), ENABLED)
    assert (switched.state.guesses.dead, switched.state.guesses.net) == (False, 1)
    started = switched.and_then(
        lambda m: m.start_setup(
            setup_id="set-2", secret_ref="sec-2", session="ses-2", mailed=None, needs_mail=True, at=NOON
        )
    )
    proved = started.and_then(lambda m: m.confirm_setup(session="ses-2", step=120, at=NOON)).state
    assert (proved.factor, proved.secret_ref, proved.guesses.net) == (Factor.ACTIVE, "sec-2", 0)


def test_a_fact_of_which_the_authenticator_knows_nothing_is_no_error() -> None:
    """D9: a change of policy is none of the account's facts."""
    policy = Enforced(population=Population.PARTNER_USERS)
    assert given(*ACTIVE, VERIFIED_AT_100, policy).state == given(*ACTIVE, VERIFIED_AT_100).state
