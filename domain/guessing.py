"""How many codes may be guessed: the counts behind locks, exact because every try is a fact (NIST SP 800-63B-4, 3.2.2)."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from domain.facts import Locked, Verified
from domain.kernel import Fact, Refused

CODES_PER_CHALLENGE = 5
"""Wrong codes in one sign-in before the password is asked again. Source: the product's security design, section 4."""
CODES_BEFORE_LOCK = 10
"""Wrong codes in a row, over all sign-ins, before the authenticator locks. Source: as above."""
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
        if self.in_a_row.count(challenge) >= CODES_PER_CHALLENGE:
            raise ChallengeEnded

    def left(self, challenge: str) -> int:
        """Return how many more wrong codes this challenge takes."""
        return max(0, min(CODES_PER_CHALLENGE - self.in_a_row.count(challenge), CODES_BEFORE_LOCK - len(self.in_a_row)))

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

    def failed(self, challenge: str) -> "Guesses":
        """Count a failure."""
        return replace(self, in_a_row=(*self.in_a_row, challenge), net=self.net + 1)

    def locked(self, until: datetime | None) -> "Guesses":
        """Begin a lock; the next row of failures is counted afresh."""
        return replace(self, in_a_row=(), locks=self.locks + 1, locked_until=until, dead=until is None)

    def unlocked(self) -> "Guesses":
        """End a lock before its time."""
        return replace(self, in_a_row=(), locked_until=None, dead=False)

    def succeeded(self, fact: Verified, on: date) -> "Guesses":
        """Clear the row, and give back what the fact says."""
        used = self.forgiven if self.forgiven_on == on else 0
        return Guesses(net=self.net - fact.gives_back, forgiven_on=on, forgiven=used + fact.gives_back)
