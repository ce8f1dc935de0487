"""Random histories of a partner, and what a plain fold of the log says of them."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import DictRow

from domain import directory, partner_policy, user_mfa
from domain import facts as f
from domain.kernel import Envelope, Fact, replay
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.ports import Change, Origin
from tests.contract.plugs import NOON

PARTNERS = ("p-1", "p-2")
ORGANIZATIONS = {"o-1": "p-1", "o-2": "p-1", "o-3": "p-2"}
ACCOUNTS = 12
FACTS = 400
FAR = datetime(9999, 1, 1, tzinfo=UTC)
VISIBLE = ("organization_id", "role", "account_state", "factor", "owed", "since", "locked_until")


@dataclass
class Writer:
    """Writes anything that can happen to a few accounts, in any order, over some days, on clocks that disagree."""

    store: PostgresEventStore
    chance: random.Random
    partners: Sequence[str] = PARTNERS
    organizations: dict[str, str] = field(default_factory=lambda: ORGANIZATIONS)
    """The partner of each."""
    accounts: int = ACCOUNTS
    versions: Counter[str] = field(default_factory=Counter)
    places: dict[str, str] = field(default_factory=dict)
    """The partner of each account."""
    now: datetime = NOON
    written: int = 0

    def add(self, stream: str, fact: Fact, tenant: str) -> None:
        self.now += timedelta(seconds=self.chance.choice([0, 0, 1, 20, 90, 4000, 40_000]))
        at = self.now - timedelta(seconds=self.chance.choice([0, 0, 0, 2, 70, 100_000]))
        self.written += 1
        change = Change(stream, self.versions[stream], [fact], tenant)
        self.store.append(change, origin=Origin(f"account:{self.chance.randrange(3)}", f"c-{self.written}", at))
        self.versions[stream] += 1

    def begin(self) -> None:
        for partner in self.partners:
            kind = f.PartnerType.DISTRIBUTOR
            self.add(f"partner:{partner}", f.PartnerRegistered(name=partner, type=kind), partner)
        for organization, partner in self.organizations.items():
            fact = f.OrganizationRegistered(name=organization.title(), partner_id=partner)
            self.add(f"organization:{organization}", fact, partner)
        self.register()

    def register(self) -> None:
        partner = self.chance.choice(self.partners)
        organization, role = self.place(partner)
        account = f"a-{len(self.places):02}"
        self.places[account] = partner
        fact = f.AccountRegistered(partner_id=partner, organization_id=organization, role=role)
        self.add(f"account:{account}", fact, partner)

    def place(self, partner: str) -> tuple[str | None, f.Role]:
        organization = self.chance.choice([None, *(o for o, p in self.organizations.items() if p == partner)])
        return organization, f.Role.END_USER if organization else self.chance.choice([f.Role.OWNER, f.Role.SUPPORT])

    def step(self) -> None:
        """Do one thing that the rules let happen; not all of it changes what is seen."""
        account = self.chance.choice(sorted(self.places))
        partner = self.places[account]
        if len(self.places) < self.accounts and self.chance.random() < 0.2:
            self.register()
        elif self.chance.random() < 0.1:
            population = self.chance.choice(list(f.Population))
            kind = self.chance.choice([f.Enforced, f.EnforcementLifted, f.EveryoneSignedOut])
            self.add(f"partner_policy:{partner}", kind(population=population), partner)
        elif self.chance.random() < 0.3:
            self.add(f"account:{account}", self.chance.choice(self.of_account(account)), partner)
        else:
            for fact in self.chance.choice(self.of_mfa(account)):
                self.add(f"user_mfa:{account}", fact, partner)

    def of_account(self, account: str) -> list[Fact]:
        organization, role = self.place(self.places[account])
        found = [f.AccountMoved(organization_id=organization, role=role), f.RoleChanged(role=role), f.PasswordChanged()]
        if f.AccountErased() not in self.store_facts(f"account:{account}"):
            found += [f.AccountDisabled(), f.AccountRestored(), f.AccountRestored()]
            found += [f.AccountErased()] if self.chance.random() < 0.1 else []
        return found

    def of_mfa(self, account: str) -> list[list[Fact]]:
        mfa = replay(user_mfa.evolve, user_mfa.UserMFA(), self.store_facts(f"user_mfa:{account}"))
        until = self.now + timedelta(minutes=30)
        shown = f.SetupStarted(setup_id="s", secret_ref="x", session="s", expires_at=until)
        wrong = f.VerificationFailed(purpose=f.Purpose.SIGN_IN, reason=f.FailureReason.WRONG, challenge="s")
        found: list[list[Fact]] = [
            [shown, f.Verified(purpose=f.Purpose.SETUP, time_step=1, gives_back=0)],
            [f.ResetConfirmed(by=f.Initiator.PERSON, reset_id="r")],
            [f.ResetConfirmed(by=f.Initiator.ADMINISTRATOR, reset_id="r", expires_at=until)],
        ]
        if not mfa.guesses.dead:
            found += [[f.Locked(until=until)], [f.Unlocked()], [f.Disabled(was=mfa.factor)]]
        if mfa.factor is f.Factor.NONE:
            found += [[f.Enabled()]] * 3
        if mfa.factor is f.Factor.ACTIVE and not mfa.guesses.dead:
            right = f.Verified(purpose=f.Purpose.SIGN_IN, time_step=1, gives_back=0)
            found += [[right], [right], [wrong], [f.Locked(until=None)]]
        return found

    def store_facts(self, stream: str) -> list[Fact]:
        return [each.fact for each in self.store.history(stream)]


@dataclass
class Past:
    """A history, the view of it, and a fold of our own."""

    url: str
    store: PostgresEventStore
    log: list[Envelope]
    connection: psycopg.Connection[DictRow]
    chance: random.Random

    @property
    def accounts(self) -> dict[str, str]:
        """The partner of each account."""
        facts = ((each.subject_id, each.fact) for each in self.log)
        return {subject: fact.partner_id for subject, fact in facts if isinstance(fact, f.AccountRegistered)}

    def policy(self, partner: str, position: int) -> partner_policy.PartnerPolicy:
        found = partner_policy.PartnerPolicy()
        for each in self.log:
            if each.stream == f"partner_policy:{partner}" and each.position <= position:
                found = partner_policy.evolve(found, each.fact)
        return found

    def status(self, account: str, position: int) -> dict[str, Any] | None:
        """Fold the log up to a position with the rules of the domain, as one person would by hand."""
        place, mfa, since, there = directory.Account(), user_mfa.UserMFA(), None, False
        for each in self.log:
            if each.subject_id != account or each.position > position:
                continue
            there = there or isinstance(each.fact, f.AccountRegistered)
            place, mfa = directory.evolve_account(place, each.fact), user_mfa.evolve(mfa, each.fact)
            if isinstance(each.fact, f.AccountRegistered | f.Enabled | f.Disabled | f.ResetConfirmed) or (
                isinstance(each.fact, f.Verified) and each.fact.purpose is f.Purpose.SETUP
            ):
                since = each.at
        if not there:
            return None
        return {
            "organization_id": place.organization_id,
            "role": place.role.value,
            "account_state": "erased" if place.erased else "disabled" if place.disabled else "open",
            "factor": mfa.factor.value,
            "owed": mfa.owed_to_administrator(),
            "since": since,
            "locked_until": FAR if mfa.guesses.dead else mfa.guesses.locked_until,
        }

    def counted(self, partner: str, position: int) -> list[dict[str, Any]]:
        """Count the accounts of a partner one by one."""
        every = [self.status(account, position) for account, of in self.accounts.items() if of == partner]
        rows = []
        for population in ("organizations", "partner_users"):
            there = [
                each["factor"]
                for each in every
                if each
                and each["account_state"] == "open"
                and (each["organization_id"] is None) == (population == "partner_users")
            ]
            counts = {"accounts": len(there), "active": there.count("active"), "pending": there.count("pending")}
            rows.append({"population": population, **counts})
        return rows

    def positions(self) -> list[int]:
        last = self.log[-1].position
        return [0, *(each.position for each in self.log), last + 1, last + 1000]


def envelopes(store: PostgresEventStore) -> list[Envelope]:
    found: list[Envelope] = []
    while page := store.read(found[-1].position if found else 0, 500):
        found += page
    return found
