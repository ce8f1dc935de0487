"""Taking a directory over from a file: all of it is looked at before any of it is taken."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from api.bootstrap import Watchword, lease
from api.cli.console import operator, progress
from api.cli.directory_file import KINDS, Directory, LineError, read_file
from api.cli.import_batches import batches, packed, together
from domain.directory import Partner, evolve_partner
from domain.identity import ProviderState, evolve_provider
from handlers.callers import decided_again
from handlers.directory import BATCH, AccountLine, OrganizationLine, PartnerLine, take_accounts, take_places
from handlers.identity_providers import OPERATOR, add, set_domain
from handlers.ports import Credential
from handlers.shapes import mail_key
from projections.tables import much_at_once


@dataclass(slots=True)
class Result:
    """What an import came to."""

    lines: int
    changed: int = 0
    errors: list[LineError] = field(default_factory=list)


def take_file(path: Path, watchword: Watchword) -> Result:
    """Take a file over in batches. With one bad line nothing is taken; taken twice it changes nothing.

    One import at a time: another one waits until this one has ended.
    """
    with much_at_once(), closing(lease(watchword.settings, "import")) as alone:
        alone.wait(threading.Event())
        found = read_file(path)
        Known(watchword).check(found)
        lines = sum(len(getattr(found, f"{kind}s")) for kind in KINDS)
        if found.errors:
            return Result(lines, errors=sorted(found.errors))
        return Result(lines, changed=_take(found, watchword))


def _take(found: Directory, watchword: Watchword) -> int:
    """Take everything, each kind after those that it stands on, and return how many lines changed anything."""
    changed = _take_places([*found.partners.values(), *found.organizations.values()], watchword)
    for _, domain in found.domains.values():
        changed += set_domain(domain, proved=True, origin=operator(watchword), s=watchword.sockets)
    for _, provider in found.identity_providers.values():
        changed += add(provider, OPERATOR, operator(watchword), watchword.sockets)
    return changed + _take_accounts([line for _, line in found.accounts.values()], watchword)


class Known:
    """What the database has already, as far as a file touches it."""

    def __init__(self, watchword: Watchword) -> None:
        self._database = watchword.database
        self._store = watchword.store

    def check(self, found: Directory) -> None:
        """Add an error for each line that does not fit the other lines, or what is there."""
        rows = self._database.all("SELECT partner_id, type FROM partner_access")
        types = {row["partner_id"]: row["type"] for row in rows}
        rows = self._database.all("SELECT organization_id, partner_id FROM organization_access")
        owners = {row["organization_id"]: row["partner_id"] for row in rows}
        self._check_partners(found, types)
        self._check_parents(found, types)
        self._check_organizations(found, types, owners)
        self._check_sign_on(found, types)
        self._check_accounts(found, types, owners)

    @staticmethod
    def _check_partners(found: Directory, types: dict[str, str]) -> None:
        here = types | {line.id: line.type for _, line in found.partners.values()}
        for number, line in found.partners.values():
            if types.get(line.id, line.type) != line.type:
                message = f"{line.id} is a {types[line.id]}: the type cannot change, register another partner"
                found.errors.append(LineError(number, "partner.type", message))
            if (line.type == "sub_reseller") != (line.parent is not None):
                message = "a sub_reseller has a parent, and no other type has one"
                found.errors.append(LineError(number, "partner.parent", message))
            if line.parent is not None and (line.parent == line.id or here.get(line.parent) in {None, "sub_reseller"}):
                message = f"there is no distributor or reseller {line.parent}: name one, here or registered before"
                found.errors.append(LineError(number, "partner.parent", message))

    def _check_parents(self, found: Directory, types: dict[str, str]) -> None:
        for number, line in found.partners.values():
            if line.id in types and types[line.id] == line.type:
                before, _ = self._store.load(f"partner:{line.id}", evolve_partner, Partner())
                if before.parent != line.parent:
                    message = f"{line.id} has the parent {before.parent}: it cannot change, register another partner"
                    found.errors.append(LineError(number, "partner.parent", message))

    @staticmethod
    def _check_organizations(found: Directory, types: dict[str, str], owners: dict[str, str]) -> None:
        for number, line in found.organizations.values():
            if line.partner not in types and line.partner not in found.partners:
                message = f"there is no partner {line.partner}: add a line for it"
                found.errors.append(LineError(number, "organization.partner", message))
            if owners.get(line.id, line.partner) != line.partner:
                message = f"{line.id} belongs to {owners[line.id]}: it cannot move, register another organization"
                found.errors.append(LineError(number, "organization.partner", message))

    def _check_sign_on(self, found: Directory, types: dict[str, str]) -> None:
        for kind, lines in (("domain", found.domains), ("identity_provider", found.identity_providers)):
            for number, line in lines.values():
                if line.partner not in types and line.partner not in found.partners:
                    message = f"there is no partner {line.partner}: add a line for it"
                    found.errors.append(LineError(number, f"{kind}.partner", message))
        for number, provider in found.identity_providers.values():
            before, _ = self._store.load(f"identity_provider:{provider.id}", evolve_provider, ProviderState())
            if before.removed or (
                before.added and before.added.model_copy(update={"rank": OPERATOR}) != provider.added(OPERATOR)
            ):
                message = f"{provider.id} was removed, or has another issuer, client or tenant: use another id"
                found.errors.append(LineError(number, "identity_provider.id", message))

    def _check_accounts(self, found: Directory, types: dict[str, str], owners: dict[str, str]) -> None:
        all_owners = owners | {line.id: line.partner for _, line in found.organizations.values()}
        places: dict[tuple[str, str], int] = {}
        for number, line in found.accounts.values():
            if line.partner is not None and line.partner not in types and line.partner not in found.partners:
                message = f"there is no partner {line.partner}: add a line for it"
                found.errors.append(LineError(number, "account.partner", message))
            if line.organization is not None and line.organization not in all_owners:
                message = f"there is no organization {line.organization}: add a line for it"
                found.errors.append(LineError(number, "account.organization", message))
            place = (line.place, mail_key(line.email))
            if place in places:
                message = f"line {places[place]} has the same address in the same place: remove one of them"
                found.errors.append(LineError(number, "account.email", message))
            places.setdefault(place, number)
        self._check_existing(found, all_owners)

    def _check_existing(self, found: Directory, owners: dict[str, str]) -> None:
        query = """
            SELECT a.account_id, a.partner_id, n.place, n.mail_key, n.account_id IS NULL AS erased
            FROM account_access a LEFT JOIN person n USING (account_id) WHERE a.account_id = ANY(%s)
            UNION
            SELECT n.account_id, n.partner_id, n.place, n.mail_key, false FROM person n WHERE n.mail_key = ANY(%s)"""
        for batch in batches(list(found.accounts.values()), 10 * BATCH):
            keys = [mail_key(line.email) for _, line in batch]
            rows = self._database.all(query, ([line.id for _, line in batch], keys))
            by_id = {row["account_id"]: row for row in rows}
            by_place = {(row["place"], row["mail_key"]): row["account_id"] for row in rows}
            for number, line in batch:
                self._check_one(number, line, by_id.get(line.id), by_place, owners, found)

    @staticmethod
    def _check_one(
        number: int,
        line: AccountLine,
        before: dict[str, Any] | None,
        by_place: dict[tuple[str, str], str],
        owners: dict[str, str],
        found: Directory,
    ) -> None:
        partner = line.partner or owners.get(line.organization or "")
        if before is not None and before["erased"]:
            message = f"{line.id} was erased: register the person under another id"
            found.errors.append(LineError(number, "account.id", message))
        elif before is not None and before["partner_id"] != partner:
            message = f"{line.id} belongs to partner {before['partner_id']}: it cannot move, use another id"
            found.errors.append(LineError(number, "account.partner", message))
        holder = by_place.get((line.place, mail_key(line.email)))
        leaves = found.accounts[holder][1] if holder in found.accounts else None
        moved = leaves is not None and (leaves.place, mail_key(leaves.email)) != (line.place, mail_key(line.email))
        if holder is not None and holder != line.id and not moved:
            message = f"the account {holder} has this address in the same place already"
            found.errors.append(LineError(number, "account.email", message))


def _take_places(items: Sequence[tuple[int, PartnerLine | OrganizationLine]], watchword: Watchword) -> int:
    there = """
        SELECT 'partner:' || partner_id AS stream FROM partner_access
        UNION ALL SELECT 'organization:' || organization_id FROM organization_access"""
    known = {row["stream"] for row in watchword.database.all(there)}
    lines = [line for _, line in items]
    takes = (
        partial(take_places, each, known, operator(watchword), watchword.sockets) for each in batches(lines, BATCH)
    )
    return sum(decided_again(take).changed for take in takes)


def _take_accounts(lines: list[AccountLine], watchword: Watchword) -> int:
    s = watchword.sockets
    rows = watchword.database.all("SELECT organization_id, partner_id FROM organization_access")
    owners = {row["organization_id"]: row["partner_id"] for row in rows}
    changed = done = 0
    made: dict[tuple[str, str], Credential] = {}
    with progress("importing accounts", len(lines)) as show, ThreadPoolExecutor() as pool:
        for batch in packed(together(lines, watchword), BATCH):
            passwords = _passwords(batch, pool, made, watchword)
            take = partial(take_accounts, batch, owners, passwords, operator(watchword), s)
            changed += decided_again(take).changed
            done += len(batch)
            show(done)
    return changed


def _passwords(
    batch: Sequence[AccountLine],
    pool: ThreadPoolExecutor,
    made: dict[tuple[str, str], Credential],
    watchword: Watchword,
) -> dict[str, Credential]:
    """Return the passwords that are new. Accounts with one address and one password share it, so that it is compared once."""
    s = watchword.sockets
    given = {line.id: (mail_key(line.email), line.password) for line in batch if line.password is not None}
    query = """
        SELECT n.account_id, c.password_hash FROM person n JOIN credential c USING (credential_id)
        WHERE n.account_id = ANY(%s)"""
    used = watchword.database.all(query, (list(given),)) if given else []
    kept = pool.map(lambda row: s.passwords.matches(given[row["account_id"]][1], row["password_hash"]), used)
    for row, same in zip(used, kept, strict=True):
        if same:
            del given[row["account_id"]]

    def credential(wanted: tuple[str, str]) -> Credential:
        key, password = wanted
        for known in s.people.credentials(key):
            if s.passwords.matches(password, known.password_hash):
                return known
        return Credential(s.chance.new_id(), s.passwords.hash(password))

    new = [wanted for wanted in dict.fromkeys(given.values()) if wanted not in made]
    made |= zip(new, pool.map(credential, new), strict=True)
    return {account_id: made[wanted] for account_id, wanted in given.items()}
