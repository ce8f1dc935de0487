"""How many codes may be guessed: the counts behind locks, exact because every try is a fact (NIST SP 800-63B-4, 3.2.2)."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from domain.facts import Locked, Verified
from domain.kernel import Fact, Refused

CODES_PER_CHALLENGE = 5
"""Wrong codes in one sign-in before the password is asked again. Source: the product's security design, section 4."""
CODES_BEFORE_LOCK = 10
"""Wrong codes in a row, over all sign-ins, before the authenticator locks. Source: as above."""
REMEMBERED_FAILURES = 50
"""How far back failures of one challenge are counted. Ours: far more than fit between two locks."""
FIRST_LOCK = timedelta(minutes=30)
"""How long the first lock lasts; each further one lasts twice as long. Source: as above."""
LONGEST_LOCK = timedelta(hours=24)
CODES_BEFORE_DEAD = 100
"""Net wrong codes after which only a reset helps. Source: NIST SP 800-63B-4 section 3.2.2, "no more than 100"."""
FORGIVEN_PER_DAY = 2
"""How many net failures successes may give back in a day, so that a daily sign-in does not hide a patient guesser."""


class ChallengeEnded(Refused):
    """Five wrong codes in this sign-in: begin again with the password."""


class CodesLocked(Refused):
    """Codes are not looked at until the lock ends, right or wrong."""


class AuthenticatorDead(Refused):
    """So many codes were wrong that only a reset helps."""


@dataclass(frozen=True, slots=True)
class Guesses:
    """What an account's wrong codes have added up to."""

    in_a_row: tuple[str, ...] = ()
    """The challenges of the failures since the last success or lock."""
    lately: tuple[str, ...] = ()
    """The challenges of the last failures, whatever came between: a spent challenge stays spent."""
    net: int = 0
    locks: int = 0
    locked_until: datetime | None = None
    dead: bool = False
    forgiven_on: date | None = None
    forgiven: int = 0

    def admit(self, challenge: str, at: datetime) -> None:
        """Refuse to look at a code in a dead, locked or exhausted state."""
        if self.dead:
            raise AuthenticatorDead
        if self.locked_until and at < self.locked_until:
            raise CodesLocked(until=self.locked_until.isoformat())
        if self.lately.count(challenge) >= CODES_PER_CHALLENGE:
            raise ChallengeEnded

    def is_last(self, challenge: str) -> bool:
        """Say whether one more wrong code spends this challenge."""
        return self.lately.count(challenge) + 1 >= CODES_PER_CHALLENGE

    def locks_after_failure(self, at: datetime, *, may_die: bool) -> list[Fact]:
        """Return the lock that one more failure brings, if any. A set-up code cannot kill: no secret is guessed there."""
        if may_die and self.net + 1 >= CODES_BEFORE_DEAD:
            return [Locked(until=None)]
        if len(self.in_a_row) + 1 >= CODES_BEFORE_LOCK:
            return [Locked(until=at + FIRST_LOCK * min(2**self.locks, LONGEST_LOCK // FIRST_LOCK))]
        return []

    def forgives(self, at: datetime) -> int:
        """Return how many failures a success at this moment gives back: 1, or 0 when the day's share is used up."""
        used = self.forgiven if self.forgiven_on == at.date() else 0
        return int(self.net > 0 and used < FORGIVEN_PER_DAY)

    def failed(self, challenge: str, *, against_secret: bool) -> "Guesses":
        """Count a failure; only one against the active secret brings its death nearer."""
        lately = (*self.lately, challenge)[-REMEMBERED_FAILURES:]
        net = self.net + int(against_secret)
        return replace(self, in_a_row=(*self.in_a_row, challenge), lately=lately, net=net)

    def locked(self, until: datetime | None) -> "Guesses":
        """Begin a lock; the next row of failures is counted afresh."""
        return replace(self, in_a_row=(), locks=self.locks + 1, locked_until=until, dead=until is None)

    def unlocked(self) -> "Guesses":
        """End a lock before its time."""
        return replace(self, in_a_row=(), locked_until=None)

    def without_secret(self) -> "Guesses":
        """Let the death of a secret end with the secret; no wrong code is forgiven."""
        return replace(self, dead=False)

    def with_new_secret(self) -> "Guesses":
        """Count afresh for a new secret; spent challenges stay spent."""
        return Guesses(lately=self.lately)

    def succeeded(self, fact: Verified, on: date) -> "Guesses":
        """Clear the row, and give back what the fact says."""
        used = self.forgiven if self.forgiven_on == on else 0
        return replace(
            self,
            in_a_row=(),
            locks=0,
            locked_until=None,
            net=self.net - fact.gives_back,
            forgiven_on=on,
            forgiven=used + fact.gives_back,
        )
