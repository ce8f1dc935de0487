"""Which facts somebody hears of by mail, and that nobody is woken for another."""

from datetime import UTC, datetime

import pytest

from domain.facts import (
    AttemptRefused,
    Disabled,
    Enabled,
    Enforced,
    EnforcementLifted,
    Factor,
    FailureReason,
    Initiator,
    Locked,
    MailKind,
    MailOwed,
    Population,
    Purpose,
    ResetConfirmed,
    ResetMailRepeated,
    ResetRequested,
    SetupStarted,
    SignInLocked,
    Unlocked,
    VerificationFailed,
    Verified,
)
from domain.kernel import Fact
from domain.notices import TOPICS, Audience, Notice, notice_for

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PERSON, ADMINISTRATOR = Initiator.PERSON, Initiator.ADMINISTRATOR

MAILS: list[tuple[Fact, Notice]] = [
    (
        ResetRequested(reset_id="res-1", expires_at=NOON),
        Notice(MailKind.RESET_REQUESTED, link_id="res-1", expires_at=NOON),
    ),
    (
        ResetConfirmed(by=ADMINISTRATOR, reset_id="res-1", expires_at=NOON),
        Notice(MailKind.RESET_BY_ADMINISTRATOR, link_id="res-1", expires_at=NOON),
    ),
    (ResetConfirmed(by=PERSON, reset_id="res-1"), Notice(MailKind.MFA_RESET)),
    (
        ResetMailRepeated(by=PERSON, reset_id="res-2", expires_at=NOON),
        Notice(MailKind.RESET_REQUESTED, link_id="res-2", expires_at=NOON),
    ),
    (
        ResetMailRepeated(by=ADMINISTRATOR, reset_id="res-2", expires_at=NOON),
        Notice(MailKind.RESET_BY_ADMINISTRATOR, link_id="res-2", expires_at=NOON),
    ),
    (Verified(purpose=Purpose.SETUP, time_step=1, gives_back=0), Notice(MailKind.MFA_ACTIVATED)),
    (Disabled(was=Factor.ACTIVE), Notice(MailKind.MFA_SWITCHED_OFF)),
    (Locked(until=NOON), Notice(MailKind.LOCKED)),
    (Locked(until=None), Notice(MailKind.LOCKED)),
    (
        SignInLocked(until=None, unlock_id="unl-1"),
        Notice(MailKind.LOCKED, link_id="unl-1"),
    ),
    (
        Enforced(population=Population.ORGANIZATIONS),
        Notice(MailKind.ENFORCED, audience=Audience.ADMINISTRATORS),
    ),
]
SILENT: list[Fact] = [
    Enabled(),
    SetupStarted(setup_id="set-1", secret_ref="sec-1", session="ses-1", expires_at=NOON),
    Verified(purpose=Purpose.SIGN_IN, time_step=1, gives_back=0),
    Verified(purpose=Purpose.STEP_UP, time_step=1, gives_back=0),
    VerificationFailed(purpose=Purpose.SIGN_IN, reason=FailureReason.WRONG, challenge="ses-1"),
    Disabled(was=Factor.PENDING),
    Unlocked(),
    EnforcementLifted(population=Population.ORGANIZATIONS),
    AttemptRefused(action="reset_user", reason="role_not_allowed"),
    MailOwed(kind=MailKind.LOCKED, account_id="acc-1", because=7),
]


@pytest.mark.parametrize(("fact", "notice"), MAILS, ids=lambda each: type(each).__name__)
def test_what_touches_a_persons_security_is_mailed(fact: Fact, notice: Notice) -> None:
    """S28, S40, F17, F18: a reset, its repetition, and everything that switches the authenticator on, off or shut."""
    assert notice_for(fact) == notice


@pytest.mark.parametrize("fact", SILENT, ids=lambda fact: type(fact).__name__)
def test_daily_life_is_not_mailed(fact: Fact) -> None:
    assert notice_for(fact) is None


def test_a_notifier_reads_the_facts_that_are_mailed_and_no_others() -> None:
    assert {fact.TOPIC for fact, _ in MAILS} == TOPICS


def test_each_kind_of_mail_has_a_fact_that_calls_for_it() -> None:
    assert {notice.kind for _, notice in MAILS} == set(MailKind)
