"""The directory: partners, organizations and accounts, taken over from the portal, and what operators do to accounts."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import model_validator

from domain.directory import (
    Account,
    Organization,
    Partner,
    evolve_account,
    evolve_organization,
    evolve_partner,
)
from domain.facts import AccountRenamed, MailAddressChanged, PartnerType, PasswordChanged, Role, SignInUnlocked
from domain.kernel import Fact, Refused
from handlers.callers import decided_again, mfa_of
from handlers.limits import PASSWORD_ELSEWHERE, PASSWORD_IN_A_ROW
from handlers.ports import (
    AccountEntry,
    Change,
    Credential,
    Origin,
    PasswordKept,
    PersonErased,
    PersonKept,
    Row,
    Sockets,
)
from handlers.shapes import Command, Id, MailAddress, Name, Password, mail_key

BATCH = 1000
"""Lines in one transaction: few enough that followers of the log hardly wait, enough that a large file is quick."""


class UnknownAccount(Refused):
    """There is no account with this id."""


class PartnerLine(Command):
    """One partner of an import file."""

    id: Id
    name: Name
    type: Literal["distributor", "reseller", "sub_reseller"]
    parent: Id | None = None

    @property
    def stream(self) -> str:
        """Return the name of its stream."""
        return f"partner:{self.id}"


class OrganizationLine(Command):
    """One organization of an import file."""

    id: Id
    name: Name
    partner: Id

    @property
    def stream(self) -> str:
        """Return the name of its stream."""
        return f"organization:{self.id}"


class AccountLine(Command):
    """One account of an import file: of a partner, or of an organization."""

    id: Id
    email: MailAddress
    name: Name
    partner: Id | None = None
    organization: Id | None = None
    role: Literal["owner", "super_admin", "admin", "support", "auditor", "end_user"]
    password: Password | None = None
    sso: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.partner is None) == (self.organization is None):
            raise ValueError("an account has a partner or an organization: give one of them")
        if (self.role == "end_user") != (self.organization is not None):
            raise ValueError("end users belong to an organization, all other roles to a partner")
        return self

    @property
    def place(self) -> str:
        """Return the partner or organization, within which the address is unique."""
        return f"partner:{self.partner}" if self.partner else f"organization:{self.organization}"


@dataclass(frozen=True, slots=True)
class Taken:
    """What one batch of an import came to."""

    lines: int
    changed: int


def take_places(
    lines: Sequence[PartnerLine | OrganizationLine], known: Container[str], origin: Origin, s: Sockets
) -> Taken:
    """Register or rename one batch of places in one transaction. ``known``: the streams that have facts; only they are read."""
    changes = [change for line in lines if (change := _place_change(line, known, s)).facts]
    if changes:
        s.store.append(*changes, origin=origin)
    return Taken(len(lines), len(changes))


def _place_change(line: PartnerLine | OrganizationLine, known: Container[str], s: Sockets) -> Change:
    stream, there = line.stream, line.stream in known
    if isinstance(line, PartnerLine):
        partner, version = s.store.load(stream, evolve_partner, Partner()) if there else (Partner(), 0)
        facts = partner.register(name=line.name, type=PartnerType(line.type), parent=line.parent)
        return Change(stream, version, facts, line.id)
    place, version = s.store.load(stream, evolve_organization, Organization()) if there else (Organization(), 0)
    return Change(stream, version, place.register(name=line.name, partner_id=line.partner), line.partner)


def take_accounts(
    lines: Sequence[AccountLine],
    partner_of: dict[str, str],
    passwords: dict[str, Credential],
    origin: Origin,
    s: Sockets,
) -> Taken:
    """Take one batch of accounts in one transaction. ``partner_of``: each organization's partner; ``passwords``: by account id."""
    existing = {entry.account_id: entry for entry in s.people.accounts([line.id for line in lines])}
    changes: list[Change] = []
    people: list[PersonKept] = []
    kept: list[PasswordKept] = []
    for line in lines:
        password = passwords.get(line.id)
        partner_id = line.partner or partner_of[line.organization or ""]
        wished = _account_facts(line, partner_id, existing.get(line.id), password is not None, s)
        if wished is not None:
            version, facts = wished
            changes.append(Change(f"account:{line.id}", version, facts, partner_id))
            people.append(_person(line, existing.get(line.id), password))
            if password is not None:
                kept.append(PasswordKept(line.id, password.credential_id, people[-1].mail_key, password.password_hash))
    if changes:
        s.store.append(*changes, origin=origin, rows=[*people, *kept])
    return Taken(len(lines), len(changes))


def _account_facts(
    line: AccountLine, partner_id: str, before: AccountEntry | None, new_password: bool, s: Sockets
) -> tuple[int, list[Fact]] | None:
    """Return the account's version and the facts that the line calls for; None when all is as it says."""
    place = {"partner_id": partner_id, "organization_id": line.organization, "role": Role(line.role)}
    if before is None:
        return 0, Account().register(**place)  # type: ignore[arg-type]
    same_place = (before.partner_id, before.organization_id, before.role) == tuple(place.values())
    same_person = (before.name, before.mail_address) == (line.name, line.email)
    if same_place and same_person and not new_password:
        return None
    account, version = s.store.load(f"account:{line.id}", evolve_account, Account())
    facts = account.register(**place)  # type: ignore[arg-type]
    if before.mail_address != line.email:
        facts.append(MailAddressChanged())
    elif not same_person:
        facts.append(AccountRenamed())
    if new_password:
        facts.append(PasswordChanged())
    return version, facts


def _person(line: AccountLine, before: AccountEntry | None, password: Credential | None) -> PersonKept:
    key = mail_key(line.email)
    moved = before is not None and mail_key(before.mail_address) != key
    return PersonKept(line.id, line.name, line.email, key, line.place, address_changed=moved and password is None)


def set_password(account_id: str, password: str, origin: Origin, s: Sockets) -> int:
    """Give an account a new password; every session of it ends, and its password locks open."""
    before = _known(account_id, s)
    credential_id, hashed = s.chance.new_id(), s.passwords.hash(password)

    def kept(account: AccountEntry) -> list[Row]:
        return [PasswordKept(account_id, credential_id, mail_key(account.mail_address), hashed)]

    position = _change(account_id, lambda state: state.set_password(), origin, s, kept)
    _clear_locks(mail_key((s.people.account(account_id) or before).mail_address), s)
    return position


def unlock(account_id: str, origin: Origin, s: Sockets) -> int:
    """End the locks of an account: those of wrong passwords and those of wrong codes."""
    account = _known(account_id, s)
    _clear_locks(mail_key(account.mail_address), s)
    position = _change(account_id, lambda _: [SignInUnlocked()], origin, s)

    def decide() -> int:
        mfa, version = mfa_of(account_id, s)
        facts = mfa.unlock(origin.at)
        if not facts:
            return position
        again = Origin(origin.actor, s.chance.new_id(), origin.at)
        return s.store.append(Change(f"user_mfa:{account_id}", version, facts, account.partner_id), origin=again)

    return decided_again(decide)


def erase(account_id: str, origin: Origin, s: Sockets) -> int:
    """Destroy name, address, password, keys and secrets of an account; its history stays."""
    return _change(account_id, lambda state: state.erase(), origin, s, lambda _: [PersonErased(account_id)])


def set_disabled(account_id: str, *, disabled: bool, origin: Origin, s: Sockets) -> int:
    """Keep an account from signing in, or let it again."""
    return _change(account_id, lambda state: state.disable() if disabled else state.restore(), origin, s)


def _known(account_id: str, s: Sockets) -> AccountEntry:
    account = s.people.account(account_id)
    if account is None:
        raise UnknownAccount
    return account


def _change(
    account_id: str,
    wish: Callable[[Account], list[Fact]],
    origin: Origin,
    s: Sockets,
    rows: Callable[[AccountEntry], list[Row]] = lambda _: [],
) -> int:
    """Decide on an account's history, and store what came of it with rows of the account as it is at that version."""
    stream = f"account:{account_id}"

    def decide() -> int:
        state, version = s.store.load(stream, evolve_account, Account())
        account, facts = _known(account_id, s), wish(state)
        if not facts:
            return s.store.last_position()
        return s.store.append(Change(stream, version, facts, account.partner_id), origin=origin, rows=rows(account))

    return decided_again(decide)


def _clear_locks(key: str, s: Sockets) -> None:
    address = s.keys.digest("mail", key)
    s.throttle.clear((PASSWORD_ELSEWHERE, address), (PASSWORD_IN_A_ROW, address))
