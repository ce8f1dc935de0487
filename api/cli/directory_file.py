"""Reading a directory file: each line by itself, with a sentence for each mistake."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import ValidationError, model_validator

from handlers.directory import AccountLine, OrganizationLine, PartnerLine
from handlers.identity_providers import DomainLine, ProviderLine
from handlers.shapes import Command

KINDS = ("partner", "organization", "account", "domain", "identity_provider")


class ImportLine(Command):
    """One line: a partner, an organization, an account, or what single sign-on needs."""

    partner: PartnerLine | None = None
    organization: OrganizationLine | None = None
    account: AccountLine | None = None
    domain: DomainLine | None = None
    identity_provider: ProviderLine | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if len(self.model_fields_set) != 1 or self.item()[1] is None:
            raise ValueError(
                'a line is one of {"partner": …}, {"organization": …}, {"account": …}, {"domain": …},'
                ' {"identity_provider": …}'
            )
        return self

    def item(self) -> tuple[str, Any]:
        """Return the one thing that it is about, after the name of its kind."""
        kind = next(iter(self.model_fields_set))
        return kind, getattr(self, kind)


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
    domains: dict[str, tuple[int, DomainLine]] = field(default_factory=dict)
    identity_providers: dict[str, tuple[int, ProviderLine]] = field(default_factory=dict)
    errors: list[LineError] = field(default_factory=list)


def read_file(path: Path) -> Directory:
    """Read JSON lines, or CSV when the name ends so, and check each line by itself."""
    found = Directory()
    numbered = _csv_lines(path, found) if path.suffix.lower() == ".csv" else _json_lines(path, found)
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


def _csv_lines(path: Path, found: Directory) -> Iterator[tuple[int, Any]]:
    """Read CSV with a column ``kind`` (partner, organization, account) and the fields of the JSON lines as columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError):
                message = "this is not CSV in UTF-8: mend or remove the line"
                found.errors.append(LineError(reader.line_num + 1, "line", message))
                return
            kind = (row.pop("kind", None) or "").strip()
            fields: dict[str, Any] = {name or "columns": value for name, value in row.items() if value}
            for flag in ("sso", "credits_mfa"):
                if flag in fields:
                    fields[flag] = fields[flag].lower() in {"true", "1", "yes"}
            yield reader.line_num, {kind or "kind": fields}


def _sort_in(number: int, line: ImportLine, found: Directory) -> None:
    kind, item = line.item()
    known = getattr(found, f"{kind}s")
    if item.id in known:
        message = f"line {known[item.id][0]} has the same id: remove one of them"
        found.errors.append(LineError(number, f"{kind}.id", message))
    known.setdefault(item.id, (number, item))
