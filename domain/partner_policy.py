"""PartnerPolicy: what one partner demands of its two populations."""

from dataclasses import dataclass, replace

from domain.facts import Enforced, EnforcementLifted, EveryoneSignedOut, Population
from domain.kernel import Fact, Refused


class PolicyChangedMeanwhile(Refused):
    """Somebody changed the policy since it was read: read it again."""


@dataclass(frozen=True, slots=True)
class PartnerPolicy:
    """The demands in force; ``version`` counts the facts behind them."""

    enforced: frozenset[Population] = frozenset()
    version: int = 0

    def set_demands(
        self, wanted: frozenset[Population], *, seen_version: int | None, sign_out: bool = False
    ) -> list[Fact]:
        """Demand MFA of exactly the wanted populations, and sign out those whose demand changed or stands, if asked to.

        ``seen_version``: the version on which the wish was based, None: whatever it is now.
        """
        if seen_version is not None and seen_version != self.version:
            raise PolicyChangedMeanwhile(version=self.version)
        changes: list[Fact] = []
        for population in Population:
            if population in wanted and population not in self.enforced:
                changes.append(Enforced(population=population))
            if population in self.enforced and population not in wanted:
                changes.append(EnforcementLifted(population=population))
        touched = wanted | self.enforced
        ended = [population for population in Population if sign_out and population in touched]
        return [*changes, *(EveryoneSignedOut(population=population) for population in ended)]


def evolve(policy: PartnerPolicy, fact: Fact) -> PartnerPolicy:
    """Apply one fact. No rule, no refusal."""
    counted = replace(policy, version=policy.version + 1)
    match fact:
        case Enforced():
            return replace(counted, enforced=policy.enforced | {fact.population})
        case EnforcementLifted():
            return replace(counted, enforced=policy.enforced - {fact.population})
        case _:
            return counted
