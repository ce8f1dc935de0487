"""Taking a directory over from a file: all of it is looked at before any of it is taken."""

import csv
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from api.bootstrap import Watchword
from api.cli.console import operator, progress
from handlers.directory import BATCH, AccountLine, ImportLine, OrganizationLine, PartnerLine, register, take_accounts
from handlers.shapes import mail_key

Item = TypeVar("Item")


class LineError(NamedTuple):
    """What is wrong with a file, and where."""

    line: int
    field: str
    message: str


@dataclass(slots=True)
class Directory:
    """A file as it was read, each item with its line."""

    partners: dict[str, tuple[int, PartnerLine]] = field(default_factory=dict)
    organizations: dict[str, tuple[int, OrganizationLine]] = field(default_factory=dict)
    accounts: dict[str, tuple[int, AccountLine]] = field(default_factory=dict)
    errors: list[LineError] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """What an import came to."""

    lines: int
    changed: int = 0
    errors: list[LineError] = field(default_factory=list)


def take_file(path: Path, watchword: Watchword) -> Result:
    """Take a file over in batches. With one bad line nothing is taken; taken twice it changes nothing."""
    found = read_file(path)
    Known(watchword).check(found)
    lines = len(found.partners) + len(found.organizations) + len(found.accounts)
    if found.errors:
        return Result(lines, errors=sorted(found.errors))
    result = Result(lines)
    places: list[tuple[int, PartnerLine | OrganizationLine]] = [*found.partners.values(), *found.organizations.values()]
    for _, item in places:
        result.changed += register(item, operator(watchword), watchword.sockets)
    result.changed += _take_accounts([line for _, line in found.accounts.values()], watchword)
    return result


def read_file(path: Path) -> Directory:
    """Read JSON lines, or CSV when the name ends so, and check each line by itself."""
    found = Directory()
    numbered = _csv_lines(path) if path.suffix.lower() == ".csv" else _json_lines(path, found)
    for number, content in numbered:
        try:
            _sort_in(number, ImportLine.model_validate(content), found)
        except ValidationError as error:
            for each in error.errors(include_input=False, include_url=False):
                name = ".".join(str(part) for part in each["loc"]) or "line"
                found.errors.append(LineError(number, name, each["msg"].removeprefix("Value error, ")))
    return found


def _json_lines(path: Path, found: Directory) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            try:
                content = json.loads(raw)
            except (ValueError, RecursionError):
                found.errors.append(LineError(number, "line", "this is not JSON in UTF-8: mend or remove the line"))
            else:
                yield number, content


def _csv_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Read CSV with a column ``kind`` (partner, organization, account) and the fields of the JSON lines as columns."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            kind = (row.pop("kind", None) or "").strip()
            fields: dict[str, Any] = {name: value for name, value in row.items() if value}
            if "sso" in fields:
                fields["sso"] = fields["sso"].lower() in {"true", "1", "yes"}
            yield number, {kind or "kind": fields}


def _sort_in(number: int, line: ImportLine, found: Directory) -> None:
    for kind in ("partner", "organization", "account"):
        item = getattr(line, kind)
        if item is not None:
            known = getattr(found, f"{kind}s")
            if item.id in known:
                message = f"line {known[item.id][0]} has the same id: remove one of them"
                found.errors.append(LineError(number, f"{kind}.id", message))
            known.setdefault(item.id, (number, item))


class Known:
    """What the database has already, as far as a file touches it."""

    def __init__(self, watchword: Watchword) -> None:
        self._database = watchword.database

    def check(self, found: Directory) -> None:
        """Add an error for each line that does not fit the other lines, or what is there."""
        rows = self._database.all("SELECT partner_id, type FROM partner_access")
        types = {row["partner_id"]: row["type"] for row in rows}
        rows = self._database.all("SELECT organization_id, partner_id FROM organization_access")
        owners = {row["organization_id"]: row["partner_id"] for row in rows}
        self._check_partners(found, types)
        self._check_organizations(found, types, owners)
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

    @staticmethod
    def _check_organizations(found: Directory, types: dict[str, str], owners: dict[str, str]) -> None:
        for number, line in found.organizations.values():
            if line.partner not in types and line.partner not in found.partners:
                message = f"there is no partner {line.partner}: add a line for it"
                found.errors.append(LineError(number, "organization.partner", message))
            if owners.get(line.id, line.partner) != line.partner:
                message = f"{line.id} belongs to {owners[line.id]}: it cannot move, register another organization"
                found.errors.append(LineError(number, "organization.partner", message))

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
            FROM account_access a LEFT JOIN person n USING (account_id)
            WHERE a.account_id = ANY(%s) OR n.mail_key = ANY(%s)"""
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
        moved = holder in found.accounts and found.accounts[holder][1].email != line.email if holder else False
        if holder is not None and holder != line.id and not moved:
            message = f"the account {holder} has this address in the same place already"
            found.errors.append(LineError(number, "account.email", message))


def _take_accounts(lines: list[AccountLine], watchword: Watchword) -> int:
    s = watchword.sockets
    rows = watchword.database.all("SELECT organization_id, partner_id FROM organization_access")
    owners = {row["organization_id"]: row["partner_id"] for row in rows}
    changed = done = 0
    with progress("importing accounts", len(lines)) as show, ThreadPoolExecutor() as pool:
        for batch in batches(lines, BATCH):
            hashes = _hashes(batch, pool, watchword)
            changed += take_accounts(batch, owners, hashes, operator(watchword), s).changed
            done += len(batch)
            show(done)
    return changed


def _hashes(batch: Sequence[AccountLine], pool: ThreadPoolExecutor, watchword: Watchword) -> dict[str, str]:
    """Return the hashes of the passwords that are new; a password that an account has already is left alone."""
    s = watchword.sockets
    given = [line for line in batch if line.password is not None]
    if not given:
        return {}
    query = """
        SELECT n.account_id, c.password_hash FROM person n JOIN credential c USING (credential_id)
        WHERE n.account_id = ANY(%s)"""
    rows = watchword.database.all(query, ([line.id for line in given],))
    old = {row["account_id"]: row["password_hash"] for row in rows}

    def new_hash(line: AccountLine) -> str | None:
        password = line.password or ""
        if line.id in old and s.passwords.matches(password, old[line.id]):
            return None
        return s.passwords.hash(password)

    made = pool.map(new_hash, given)
    return {line.id: value for line, value in zip(given, made, strict=True) if value is not None}


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of at most the given size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
