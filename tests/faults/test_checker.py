"""The checker itself: each thing that must not happen is made up once, and has to be found."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.facts import (
    FailureReason,
    Initiator,
    Locked,
    MailKind,
    MailOwed,
    MailSent,
    Purpose,
    ResetConfirmed,
    ResetRequested,
    SetupStarted,
    VerificationFailed,
    Verified,
)
from domain.kernel import Envelope, Fact
from tests.faults.checker import Findings, check_follower, check_log, check_mails, check_messages, check_operations
from tests.faults.history import History, Operation
from tests.faults.inbox import Letter

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STREAM = "user_mfa:tapir-user1"
SETUP = SetupStarted(setup_id="s", secret_ref="r", session="x", expires_at=NOON)
RESET = ResetConfirmed(by=Initiator.PERSON, reset_id="link")


def proved(step: int, purpose: Purpose = Purpose.SIGN_IN) -> Verified:
    return Verified(purpose=purpose, time_step=step, gives_back=0)


def failed(challenge: str = "c") -> VerificationFailed:
    return VerificationFailed(purpose=Purpose.SIGN_IN, reason=FailureReason.WRONG, challenge=challenge)


def log_of(*facts: Fact, stream: str = STREAM, after: int = 0) -> list[Envelope]:
    return [
        Envelope(
            fact,
            stream,
            n,
            NOON + timedelta(seconds=n),
            "account:x",
            "tapir",
            f"c{after + n}",
            f"op{n}",
            position=after + n,
        )
        for n, fact in enumerate(facts, start=1)
    ]


def asked(kind: str = "sign_in", outcome: str = "acknowledged", **more: object) -> Operation:
    return replace(Operation("op1", kind, "tapir-user1", 0.0, outcome=outcome, status=200), **more)  # type: ignore[arg-type]


def found_in(*facts: Fact) -> Findings:
    found = Findings()
    check_log(log_of(*facts), found)
    return found


def test_a_sound_history_is_left_alone() -> None:
    found = found_in(
        SETUP, proved(1, Purpose.SETUP), failed(), proved(2), RESET, SETUP.model_copy(update={"setup_id": "t"})
    )
    check_operations([asked(position=1)], log_of(proved(1)), found)
    check_operations([asked(outcome="unknown")], [], found)
    check_operations([asked(outcome="refused", reason="code_not_accepted")], log_of(failed()), found)
    assert found.words() == ""


@pytest.mark.parametrize(
    ("invariant", "operation", "facts"),
    [
        ("I1", asked(position=1), []),
        ("I1", asked(position=7), [proved(1)]),
        ("I1", asked("ask_reset", position=1), [failed()]),
        ("I1", asked(outcome="refused"), [proved(1)]),
        ("I2", asked("policy", outcome="unknown"), [RESET]),
        ("I5", asked(outcome="refused", reason="code_not_accepted"), []),
        ("I5", asked(outcome="refused", reason="codes_locked"), [failed()]),
    ],
)
def test_an_answer_that_the_log_belies_is_found(invariant: str, operation: Operation, facts: list[Fact]) -> None:
    found = Findings()
    check_operations([operation], log_of(*facts), found)
    assert set(found.wrong) == {invariant}


@pytest.mark.parametrize(
    ("invariant", "facts"),
    [
        ("I3", [SETUP, proved(1, Purpose.SETUP), proved(1)]),
        ("I3", [SETUP, proved(1, Purpose.SETUP), proved(2, Purpose.SETUP)]),
        ("I3", [RESET, RESET]),
        ("I5", [failed()] * 6),
        ("I5", [failed(str(n)) for n in range(11)]),
        ("I5", [Locked(until=NOON + timedelta(hours=1)), failed()]),
        ("I5", [Locked(until=None), RESET, proved(1)]),
    ],
)
def test_what_counted_twice_or_too_often_is_found(invariant: str, facts: list[Fact]) -> None:
    assert set(found_in(*facts).wrong) == {invariant}


@pytest.mark.parametrize("spoil", [lambda log: log[::-1], lambda log: log[:1] + log[2:], lambda log: [*log, log[-1]]])
def test_a_log_in_disorder_or_with_a_gap_is_found(spoil: Callable[[list[Envelope]], list[Envelope]]) -> None:
    found = Findings()
    check_log(spoil(log_of(failed(), failed(), failed())), found)
    assert set(found.wrong) == {"I1"}


def mailed() -> list[Envelope]:
    owed = MailOwed(kind=MailKind.RESET_REQUESTED, account_id="tapir-user1", because=1)
    asked_for = log_of(ResetRequested(reset_id="r", expires_at=NOON))
    return [*asked_for, *log_of(owed, MailSent(tries=1), stream="mail:m", after=1)]


def letter(**more: object) -> Letter:
    return replace(Letter("<m@watchword>", "tapir-user1@mail.example", "reset_requested", "hello tapir-user1"), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("invariant", "letters", "processed"),
    [
        ("", [letter()], {1}),
        ("", [letter(), letter()], {1}),
        ("I7", [letter()], set()),
        ("I7", [letter()], {1, 2}),
        ("I8", [], {1}),
        ("I8", [letter(), letter(raw=b"other")], {1}),
        ("I8", [letter(), letter(message_id="<n@watchword>")], {1}),
        ("I10", [letter(text="hello lemur-user1")], {1}),
    ],
)
def test_a_mail_that_is_missing_changed_or_another_tenants_is_found(
    invariant: str, letters: list[Letter], processed: set[int]
) -> None:
    found = Findings()
    check_mails(mailed(), letters, processed, found)
    assert "".join(found.wrong) == invariant


@pytest.mark.parametrize(("positions", "lost", "phantom"), [([1, 2, 3], 0, 0), ([1, 3], 1, 0), ([1, 2, 3, 4], 0, 1)])
def test_messages_are_held_to_the_log(positions: list[int], lost: int, phantom: int) -> None:
    found = Findings()
    check_messages(log_of(failed(), failed(), failed()), positions, found)
    assert (found.lost, found.phantom, bool(found.wrong)) == (lost, phantom, bool(lost or phantom))


@pytest.mark.parametrize("seen", [[1, 3], [1, 2, 2, 3], [2, 1, 3]])
def test_a_follower_that_skips_repeats_or_goes_back_is_found(seen: list[int]) -> None:
    found = Findings()
    check_follower([1, 2, 3], seen, found)
    assert set(found.wrong) == {"I7"}


def test_two_loads_share_no_operation_id() -> None:
    """The log of a deployment holds all its loads; with an address in memory as their name, a later one took over ids."""
    names = {History().begin("sign_in", "tapir-user1").id for _ in range(100)}
    assert len(names) == 100
