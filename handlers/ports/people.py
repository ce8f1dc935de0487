"""People and places, as they are in the transaction of the newest fact."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.facts import PartnerType, Role
from handlers.ports.log import Row


class AddressTaken(Exception):
    """The place already has an account with this mail address."""


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """One account, its place, and what ends its sessions."""

    account_id: str
    partner_id: str
    partner_name: str
    partner_type: PartnerType
    organization_id: str | None
    organization_name: str | None
    role: Role
    disabled: bool
    generation: int
    population_generation: int
    name: str
    mail_address: str
    credential_id: str | None

    @property
    def generations(self) -> tuple[int, int]:
        """What a session remembers; when either number has risen, the session is over."""
        return self.generation, self.population_generation


@dataclass(frozen=True, slots=True)
class Credential:
    """One password behind a mail address."""

    credential_id: str
    password_hash: str


class People(Protocol):
    """Accounts, partners and passwords, never older than the newest fact."""

    def account(self, account_id: str) -> AccountEntry | None:
        """Return one account."""

    def accounts(self, account_ids: Sequence[str]) -> Sequence[AccountEntry]:
        """Return those of the accounts that exist, in the order of their ids."""

    def partner_type(self, partner_id: str) -> PartnerType | None:
        """Return the partner's type, None for an unknown partner."""

    def partner_name(self, partner_id: str) -> str:
        """Return the partner's name, nothing for an unknown partner."""

    def credentials(self, mail_key: str) -> Sequence[Credential]:
        """Return the distinct passwords behind a mail address."""

    def accounts_behind(self, mail_key: str, credential_ids: Sequence[str]) -> Sequence[AccountEntry]:
        """Return the open accounts with this mail address and one of these passwords, in the order of their names."""

    def account_with(self, mail_key: str) -> AccountEntry | None:
        """Return the first account with this mail address, whatever its password."""

    def administrators(self, partner_id: str) -> Sequence[str]:
        """Return the ids of the partner's open owner, super admin and admin accounts."""


@dataclass(frozen=True, slots=True)
class PersonKept(Row):
    """Name and mail address of an account; they are never in the log."""

    account_id: str
    name: str
    mail_address: str
    mail_key: str
    place: str
    """The partner or organization within which the address is unique."""
    address_changed: bool = False
    """The password goes along to a new address."""


@dataclass(frozen=True, slots=True)
class PersonErased(Row):
    """Name, address, password, keys and secrets of an account are destroyed."""

    account_id: str


@dataclass(frozen=True, slots=True)
class PasswordKept(Row):
    """The account's password, as a hash; accounts with one address and one password share it."""

    account_id: str
    credential_id: str
    mail_key: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class StillAllowed(Row):
    """The account's role, place and sessions are as they were when the wish was allowed, seen before anything is stored;
    else SessionEnded.
    """

    account_id: str
    generations: tuple[int, int]
    read_again: bool = False
    """The account is another's, which the wish reads anew each time: Conflict instead of SessionEnded."""


@dataclass(frozen=True, slots=True)
class Service:
    """A program of the portal, known by its token."""

    token_id: str
    scopes: frozenset[str]
    partner_id: str
    """The partner to which it is bound, ``*`` for all."""
