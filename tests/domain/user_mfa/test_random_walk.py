"""Anything in any order: what must hold after every step of a life with UserMFA, whoever guesses and whenever."""

from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.facts import Factor, Initiator, Locked, Purpose, ResetConfirmed, SetupStarted, VerificationFailed, Verified
from domain.guessing import REMEMBERED_FAILURES, CodesLocked
from domain.kernel import Fact, Refused, replay
from domain.user_mfa import UserMFA, evolve
from tests.domain.user_mfa.story import NOON

SIGN_INS = st.sampled_from(["ses-1", "ses-2", "ses-3"])
PASSES = st.sampled_from([1, 29, 30, 31, 600, 601, 1800, 3601, 86_400])
CODES = st.sampled_from([-2, -1, 0, 1, None, None, None])
"""Which code is entered: that of so many steps from now, or a wrong one."""


class LifeOfAnAuthenticator(RuleBasedStateMachine):
    """A person, a guesser, an administrator and an operator at one account."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = NOON
        self.mfa = UserMFA()
        self.log: list[Fact] = []
        self.accepted: set[tuple[str, int]] = set()
        self.ended: set[str] = set()
        self.numbered = 0
        self.in_a_row = 0
        self.net = 0
        self.tries: deque[str] = deque(maxlen=REMEMBERED_FAILURES)
        self.begun: Counter[str] = Counter()

    # ── How a step is taken ──

    def new_id(self) -> str:
        self.numbered += 1
        return f"id-{self.numbered}"

    def decide(self, decision: Callable[[UserMFA], list[Fact]]) -> list[Fact]:
        """Decide; a refusal returns no facts and changes nothing."""
        before = self.mfa
        try:
            facts = decision(self.mfa)
        except Refused:
            assert self.mfa is before
            return []
        secret, self.mfa = self.mfa.secret_ref, replay(evolve, self.mfa, facts)
        self.log += facts
        if secret is not None and self.mfa.secret_ref != secret:
            self.ended.add(secret)
        if any(isinstance(fact, ResetConfirmed) for fact in facts):
            self.in_a_row = 0
        return facts

    def enter(self, decision: Callable[[UserMFA], list[Fact]], secret_ref: str | None, challenge: str) -> None:
        """Enter a code, and count in a book of our own what came of it."""
        facts = self.decide(decision)
        assert not facts or self.tries.count(challenge) < 5, "a code was looked at in a spent sign-in"
        for fact in facts:
            match fact:
                case Verified():
                    assert secret_ref is not None
                    assert (secret_ref, fact.time_step) not in self.accepted, "one time step was accepted twice"
                    self.accepted.add((secret_ref, fact.time_step))
                    self.in_a_row = 0
                    self.net = 0 if fact.purpose is Purpose.SETUP else self.net - fact.gives_back
                case VerificationFailed():
                    self.in_a_row += 1
                    self.net += fact.purpose is not Purpose.SETUP
                    self.tries.append(fact.challenge)
                    assert self.in_a_row <= 10, "an eleventh wrong code in a row was looked at"
                case Locked():
                    assert self.net == 100 if fact.until is None else self.in_a_row == 10
                    self.in_a_row = 0

    def sign_in(self, who: str) -> str:
        """Return the sign-in that somebody is in; one that is spent is begun anew."""
        if self.tries.count(f"{who}.{self.begun[who]}") >= 5 and self.numbered % 2:
            self.begun[who] += 1
        return f"{who}.{self.begun[who]}"

    def step(self, off: int | None) -> int | None:
        """Return the time step that the code matcher would find; two steps back it finds none."""
        return None if off is None or off < -1 else int(self.now.timestamp()) // 30 + off

    # ── What may happen ──

    @rule(seconds=PASSES)
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def switch_on(self) -> None:
        self.decide(UserMFA.enable)

    @rule(required=st.booleans())
    def switch_off(self, required: bool) -> None:
        facts = self.decide(lambda m: m.disable(required=required))
        assert not (facts and required)

    @rule(session=SIGN_INS, with_mail=st.booleans(), needs_mail=st.booleans())
    def start_setup(self, session: str, with_mail: bool, needs_mail: bool) -> None:
        mailed = self.mfa.reset.reset_id if with_mail and self.mfa.reset else None
        setup, secret = self.new_id(), self.new_id()
        owed = self.mfa.owed_to_administrator()
        facts = self.decide(
            lambda m: m.start_setup(
                setup_id=setup,
                secret_ref=secret,
                session=self.sign_in(session),
                mailed=mailed,
                needs_mail=needs_mail,
                at=self.now,
            )
        )
        assert not (facts and owed and needs_mail and not with_mail), "the set-up began without the mailed link"

    @rule(session=SIGN_INS, off=CODES)
    def confirm_setup(self, session: str, off: int | None) -> None:
        shown = self.mfa.setup.secret_ref if self.mfa.setup else None
        session = self.sign_in(session)
        self.enter(lambda m: m.confirm_setup(session=session, step=self.step(off), at=self.now), shown, session)

    @precondition(lambda self: self.mfa.setup is not None)
    @rule()
    def finish_the_setup(self) -> None:
        """The straight way, so that walks reach an active authenticator often."""
        setup = self.mfa.setup
        assert setup is not None
        session, secret = setup.session, setup.secret_ref
        self.enter(lambda m: m.confirm_setup(session=session, step=self.step(0), at=self.now), secret, session)

    @rule(challenge=SIGN_INS, off=CODES, purpose=st.sampled_from([Purpose.SIGN_IN, Purpose.STEP_UP]))
    def enter_code(self, challenge: str, off: int | None, purpose: Purpose) -> None:
        step, secret, challenge = self.step(off), self.mfa.secret_ref, self.sign_in(challenge)
        self.enter(lambda m: m.verify(purpose=purpose, challenge=challenge, step=step, at=self.now), secret, challenge)

    @precondition(lambda self: self.mfa.last_time_step > 0)
    @rule(challenge=SIGN_INS)
    def replay_the_last_code(self, challenge: str) -> None:
        step, secret, challenge = self.mfa.last_time_step, self.mfa.secret_ref, self.sign_in(challenge)
        if (secret, step) in self.accepted:
            again = partial(UserMFA.verify, purpose=Purpose.SIGN_IN, challenge=challenge, step=step, at=self.now)
            self.enter(again, secret, challenge)

    @rule(challenges=st.lists(SIGN_INS, min_size=1, max_size=3, unique=True))
    def guess_until_it_stops(self, challenges: list[str]) -> None:
        for who in challenges * 6:
            self.guess_once(self.sign_in(who))

    @rule(days=st.integers(1, 12))
    def guess_day_after_day(self, days: int) -> None:
        """As many as are looked at, so that walks reach the death of an authenticator."""
        for _ in range(days):
            self.now += timedelta(days=1)
            for challenge in [self.new_id()] * 6 + [self.new_id()] * 6:
                self.guess_once(challenge)

    def guess_once(self, challenge: str) -> None:
        self.enter(partial(self.guess, challenge), None, challenge)

    def guess(self, challenge: str, mfa: UserMFA) -> list[Fact]:
        if mfa.factor is Factor.ACTIVE:
            return mfa.verify(purpose=Purpose.SIGN_IN, challenge=challenge, step=None, at=self.now)
        return mfa.confirm_setup(session=challenge, step=None, at=self.now)

    @rule(confirmed=st.booleans(), right_link=st.booleans())
    def reset_the_own(self, confirmed: bool, right_link: bool) -> None:
        link = self.new_id()
        self.decide(lambda m: m.request_reset(reset_id=link, at=self.now))
        if confirmed:
            facts = self.decide(lambda m: m.confirm_reset(reset_id=link if right_link else "other", at=self.now))
            assert right_link or not facts

    @rule()
    def reset_by_administrator(self) -> None:
        link = self.new_id()
        self.decide(lambda m: m.reset_by_administrator(reset_id=link, reason=None, at=self.now))
        assert self.mfa.owed_to_administrator()

    @rule()
    def repeat_the_mail(self) -> None:
        link, older = self.new_id(), self.mfa.reset
        if self.decide(lambda m: m.repeat_reset_mail(reset_id=link, at=self.now)):
            assert older is not None
            assert not self.decide(lambda m: m.confirm_reset(reset_id=older.reset_id, at=self.now))

    @rule()
    def unlock(self) -> None:
        if self.decide(lambda m: m.unlock(self.now)):
            self.in_a_row = 0
            self.mfa.guesses.admit("fresh", self.now)

    # ── What always holds ──

    @invariant()
    def the_replay_of_all_facts_is_the_state_reached_step_by_step(self) -> None:
        assert replay(evolve, UserMFA(), self.log) == self.mfa

    @invariant()
    def an_active_authenticator_has_a_secret_and_no_other_has(self) -> None:
        assert (self.mfa.factor is Factor.ACTIVE) is (self.mfa.secret_ref is not None)

    @invariant()
    def a_secret_that_ended_never_comes_back(self) -> None:
        assert self.mfa.secret_ref not in self.ended

    @invariant()
    def after_a_reset_the_old_secret_is_gone(self) -> None:
        if self.log and isinstance(self.log[-1], ResetConfirmed):
            assert self.mfa.secret_ref is None
            shown = {fact.secret_ref for fact in self.log if isinstance(fact, SetupStarted)}
            assert not shown & {self.mfa.secret_ref, self.mfa.setup and self.mfa.setup.secret_ref}

    @invariant()
    def a_lock_ends_by_time_within_a_day(self) -> None:
        try:
            self.mfa.guesses.admit("fresh", self.now)
        except CodesLocked:
            until = self.mfa.guesses.locked_until
            assert until is not None
            assert until - self.now <= timedelta(hours=24)
            self.mfa.guesses.admit("fresh", until)
        except Refused:
            assert self.mfa.guesses.dead

    @invariant()
    def the_count_of_wrong_codes_against_the_secret_is_exact(self) -> None:
        assert self.mfa.guesses.net == self.net >= 0

    @invariant()
    def an_active_authenticator_is_dead_from_the_hundredth_wrong_code_on(self) -> None:
        assert self.mfa.guesses.dead is (self.mfa.factor is Factor.ACTIVE and self.net == 100)

    @invariant()
    def what_an_administrator_reset_is_pending(self) -> None:
        if self.mfa.reset is not None and self.mfa.reset.by is Initiator.ADMINISTRATOR:
            assert self.mfa.factor is Factor.PENDING


TestLifeOfAnAuthenticator = LifeOfAnAuthenticator.TestCase
TestLifeOfAnAuthenticator.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
