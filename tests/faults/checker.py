"""Knows the invariants I1 to I10, and believes only answers, the log, mails and messages. Pure: no server is asked here."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from domain.facts import (
    Enforced,
    EnforcementLifted,
    Locked,
    MailOwed,
    MailSent,
    Purpose,
    ResetConfirmed,
    ResetRequested,
    SetupStarted,
    Unlocked,
    VerificationFailed,
    Verified,
)
from domain.kernel import Envelope, Fact
from domain.notices import notice_for
from tests.faults.history import Operation, foreign
from tests.faults.inbox import Letter
from tests.faults.people import tenant_of

EFFECTS: dict[str, tuple[type[Fact], ...]] = {
    "sign_in": (Verified,),
    "step_up": (Verified,),
    "confirm_setup": (Verified,),
    "start_setup": (SetupStarted,),
    "ask_reset": (ResetRequested,),
    "confirm_reset": (ResetConfirmed,),
    "reset_other": (ResetConfirmed,),
    "policy": (Enforced, EnforcementLifted),
}
"""What an acknowledged wish of a kind leaves in the log: at least one of these facts."""
NO_DUTY = {"step_up", "policy"}
"""Without an authenticator, or when it stood so already, these succeed without a fact, at the position they name."""
CODES_PER_CHALLENGE, CODES_BEFORE_LOCK = 5, 10


@dataclass
class Findings:
    """What is wrong, by invariant, and what a report counts."""

    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lost: int = 0
    phantom: int = 0
    duplicate_mails: int = 0
    duplicate_messages: int = 0

    def add(self, invariant: str, sentence: str) -> None:
        self.wrong[invariant].append(sentence)

    def words(self) -> str:
        lines = [f"{name}: {sentence}" for name, found in sorted(self.wrong.items()) for sentence in found[:5]]
        return "\n".join(lines)


def check_operations(operations: Iterable[Operation], log: Sequence[Envelope], found: Findings) -> None:
    """I1: no acknowledged write lost. I2: an unknown one has its full effect or none. Nothing refused has one."""
    by_id: dict[str, list[Envelope]] = defaultdict(list)
    for envelope in log:
        if envelope.actor != "system":
            by_id[envelope.correlation_id].append(envelope)
    last = log[-1].position if log else 0
    for operation in operations:
        facts = by_id[operation.id]
        effect = EFFECTS.get(operation.kind, ())
        done = [envelope for envelope in facts if isinstance(envelope.fact, effect)]
        if operation.outcome == "acknowledged" and effect:
            _acknowledged(operation, done, last, found)
        if operation.outcome == "refused":
            _refused(operation, facts, done, found)
        if len({envelope.command_id for envelope in facts}) > 1:
            found.phantom += 1
            found.add("I2", f"{operation.kind} {operation.id} was carried out twice")
        if operation.outcome == "unknown" and facts and not _whole(operation, facts):
            found.add("I2", f"{operation.kind} {operation.id} has a part of its effect: {_topics(facts)}")


def _acknowledged(operation: Operation, done: list[Envelope], last: int, found: Findings) -> None:
    position = operation.position
    if not done and operation.kind in NO_DUTY and (position or 0) <= last:
        return
    if not done or (position is not None and position not in {envelope.position for envelope in done}):
        found.lost += 1
        found.add("I1", f"{operation.kind} of {operation.account}, acknowledged at {position}, is not in the log")


def _refused(operation: Operation, facts: list[Envelope], done: list[Envelope], found: Findings) -> None:
    if done:
        found.phantom += 1
        found.add("I1", f"{operation.kind} {operation.id} was refused ({operation.status}), and has an effect")
    failures = sum(isinstance(envelope.fact, VerificationFailed) for envelope in facts)
    if failures != (operation.reason == "code_not_accepted"):
        found.add("I5", f"{operation.kind} {operation.id}: {operation.reason}, with {failures} counted failures")


def _whole(operation: Operation, facts: list[Envelope]) -> bool:
    effect = EFFECTS.get(operation.kind, ())
    return all(
        isinstance(envelope.fact, (*effect, VerificationFailed, Locked)) or envelope.stream.startswith("attempts:")
        for envelope in facts
    )


def _topics(facts: Iterable[Envelope]) -> list[str]:
    return [envelope.fact.TOPIC for envelope in facts]


def check_log(log: Sequence[Envelope], found: Findings) -> None:
    """The log itself: positions rise, versions have no gap, no command twice; then I3 and I5 over each account."""
    streams: dict[str, list[Envelope]] = defaultdict(list)
    before = 0
    for envelope in log:
        if envelope.position <= before:
            found.add("I1", f"position {envelope.position} follows {before}")
        before = envelope.position
        streams[envelope.stream].append(envelope)
    for stream, envelopes in streams.items():
        if [envelope.version for envelope in envelopes] != list(range(1, len(envelopes) + 1)):
            found.add("I1", f"the versions of {stream} have a gap, or stand in another order than the positions")
        if stream.startswith("user_mfa:"):
            _single_use(stream, envelopes, found)
            _guesses(stream, envelopes, found)


def _single_use(stream: str, envelopes: list[Envelope], found: Findings) -> None:
    """I3: each time step of a secret, each link and each set-up counts once."""
    uses: Counter[object] = Counter()
    setup = secret = ""
    for envelope in envelopes:
        match envelope.fact:
            case SetupStarted() as fact:
                setup = fact.setup_id
            case Verified() as fact:
                if fact.purpose is Purpose.SETUP:
                    secret = setup
                    uses["set-up", setup] += 1
                uses["time step", secret, fact.time_step] += 1
            case ResetConfirmed() as fact:
                uses["link", fact.reset_id] += 1
    for what, times in uses.items():
        if times > 1:
            found.add("I3", f"{stream}: {what} counted {times} times")


def _guesses(stream: str, envelopes: list[Envelope], found: Findings) -> None:
    """I5: five failures in a challenge, ten in a row, nothing while locked."""
    challenges: Counter[str] = Counter()
    row, until = 0, None
    for envelope in envelopes:
        fact, locked = envelope.fact, until is not None and envelope.at < until
        if isinstance(fact, VerificationFailed | Verified) and locked:
            found.add("I5", f"{stream}: a code was looked at while locked, position {envelope.position}")
        match fact:
            case VerificationFailed():
                challenges[fact.challenge] += 1
                row += 1
                if challenges[fact.challenge] > CODES_PER_CHALLENGE or row > CODES_BEFORE_LOCK:
                    found.add("I5", f"{stream}: failure {row} in a row, {challenges[fact.challenge]} in its challenge")
            case Locked():
                row, until = 0, fact.until or datetime.max.replace(tzinfo=envelope.at.tzinfo)
            case Verified() | Unlocked() | ResetConfirmed():
                row, until = (row, until) if isinstance(fact, ResetConfirmed) and until else (0, None)


def check_mails(log: Sequence[Envelope], letters: Sequence[Letter], processed: set[int], found: Findings) -> None:
    """I7: what calls for a mail is processed, and nothing else. I8: mailed at least once, copies are one mail. I10."""
    due = {envelope.position for envelope in log if notice_for(envelope.fact)}
    if due != processed:
        found.add(
            "I7", f"not processed: {sorted(due - processed)[:5]}; processed and no fact: {sorted(processed - due)[:5]}"
        )
    copies: dict[str, list[Letter]] = defaultdict(list)
    for letter in letters:
        copies[letter.message_id].append(letter)
        if leak := foreign(tenant_of(letter.to), letter.text + letter.to):
            found.add("I10", f"a mail to {letter.to} holds {leak}")
    sent = {envelope.subject_id for envelope in log if isinstance(envelope.fact, MailSent)}
    owed = {envelope.subject_id: envelope for envelope in log if isinstance(envelope.fact, MailOwed)}
    for mail_id, envelope in owed.items():
        same = copies.pop(f"<{mail_id}@watchword>", [])
        found.duplicate_mails += max(0, len(same) - 1)
        if not same and mail_id in sent:
            found.lost += 1
            found.add("I8", f"the mail about position {envelope.fact.because} never came")  # type: ignore[attr-defined]
        if len({letter.raw for letter in same}) > 1:
            found.add("I8", f"the copies of {mail_id} differ")
    if copies:
        found.phantom += len(copies)
        found.add("I8", f"{len(copies)} mails that nobody owed")
    twice = Counter((e.fact.because, e.fact.account_id) for e in owed.values() if isinstance(e.fact, MailOwed))
    if any(times > 1 for times in twice.values()):
        found.add("I8", "one fact owed one person two mails")


def check_messages(log: Sequence[Envelope], positions: Sequence[int], found: Findings) -> None:
    """I7: what followers of the stream see is what was committed, once and in order."""
    committed = [envelope.position for envelope in log]
    found.duplicate_messages += len(positions) - len(set(positions))
    if missing := sorted(set(committed) - set(positions)):
        found.lost += len(missing)
        found.add("I7", f"{len(missing)} facts were never published, the first at position {missing[0]}")
    if extra := sorted(set(positions) - set(committed)):
        found.phantom += len(extra)
        found.add("I7", f"{len(extra)} messages without a fact, the first of position {extra[0]}")
    if list(positions) != sorted(positions):
        found.add("I7", "messages are not in the order of the log")


def check_follower(committed: Sequence[int], seen: Sequence[int], found: Findings) -> None:
    """I7: a follower that goes from position to position has seen each committed fact once, in order."""
    if missing := set(committed) - set(seen):
        found.lost += len(missing)
        found.add("I7", f"a follower skipped {len(missing)} of {len(committed)} facts")
    if len(set(seen)) != len(seen) or list(seen) != sorted(seen):
        found.add("I7", "a follower saw a fact twice, or out of order")
