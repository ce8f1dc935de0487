"""``watchword audit diff | certificate``: what changed between two moments, and who was covered."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO

import typer
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from api.bootstrap import Watchword
from api.certificate import Issued, canonical
from api.cli.audit import audit
from api.cli.console import Json, operator, plugged
from api.doors import Asked
from api.pages.coverage import form, standing_alone
from api.rest.coverage import ChangedAnswer, chunks, issued, positions_of, span_of
from domain.permissions import Action
from handlers.callers import Caller, record_read
from projections import status_history
from projections.coverage import PAGE, Changed, difference

Partner = Annotated[str, typer.Option(help="The partner's id.")]
_MOMENT = "A position, an instant such as 2026-11-01T12:00:00Z, or a day."
_KEPT = ("organization_id", "role", "account_state", "factor")
"""What is printed of a state in words."""


def add_to(_: typer.Typer) -> None:
    """Add these commands: importing this file has put them into the group ``audit``."""


@contextmanager
def _looking_at(partner: str) -> Iterator[Watchword]:
    """Lend the plugs for a look at a partner's records, which is recorded; a wrong moment is used wrongly."""
    with plugged() as watchword:
        if watchword.sockets.people.partner_type(partner) is None:
            raise typer.BadParameter(f"there is no partner {partner}")
        record_read(operator(watchword), watchword.sockets, what=Action.SEE_AUDIT.value, partner_id=partner)
        try:
            yield watchword
        except RequestValidationError as error:
            wrong = error.errors()[0]
            raise typer.BadParameter(f"{wrong['loc'][-1]}: {wrong['msg']}") from None


@audit.command()
def diff(
    since: Annotated[str, typer.Argument(metavar="FROM", help=_MOMENT)],
    to: Annotated[str, typer.Argument(metavar="TO", help=_MOMENT)],
    *,
    partner: Partner,
    as_json: Json = False,
) -> None:
    """Print which accounts changed between two moments, and the facts that did it."""
    with _looking_at(partner) as watchword:
        a, b = positions_of(since, to, watchword, watchword.sockets.clock.now())
        kinds: Counter[str] = Counter()
        with watchword.database.connection() as connection:
            before, after = (status_history.sums(connection, partner, position) for position in (a, b))
        found = _counted(_changed(watchword, partner, a, b), kinds)
        for line in _as_json(found) if as_json else map(_words, found):
            print(line)
    rest = {"from_position": a, "to_position": b, "sums_before": before, "sums_after": after, "kinds": dict(kinds)}
    print(f"],{canonical(rest).decode()[1:]}" if as_json else _summary(rest))


def _changed(watchword: Watchword, partner: str, a: int, b: int) -> Iterator[Changed]:
    """Return the accounts that changed, page by page. No connection is held while somebody reads: a pager may pause."""
    after = ""
    while True:
        with watchword.database.connection() as connection:
            at = watchword.store.at
            page = list(difference(connection, at, partner, a, b, after=after, limit=PAGE))
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].account_id


def _counted(found: Iterator[Changed], kinds: Counter[str]) -> Iterator[Changed]:
    for each in found:
        kinds.update(each.kinds)
        yield each


def _as_json(found: Iterator[Changed]) -> Iterator[str]:
    """Return the accounts line by line, so that there may be any number of them."""
    yield '{"items":['
    for number, each in enumerate(found):
        yield ("," if number else "") + ChangedAnswer.model_validate(each, from_attributes=True).model_dump_json()


def _words(changed: Changed) -> str:
    then = " ".join(str(changed.before[name] or "-") for name in _KEPT) if changed.before else "not there"
    now = " ".join(str(changed.after[name] or "-") for name in _KEPT)
    what, where = ", ".join(changed.kinds) or "nothing to name", ", ".join(map(str, changed.positions))
    return f"{changed.account_id:24} {what.replace('_', ' '):40} {then} → {now} (positions {where})"


def _summary(rest: dict[str, Any]) -> str:
    lines = [f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(rest["kinds"].items())]
    lines += [
        f"{then['population'].replace('_', ' ')}: {then['active']} of {then['accounts']} active before,"
        f" {now['active']} of {now['accounts']} after"
        for then, now in zip(rest["sums_before"], rest["sums_after"], strict=True)
    ]
    return "\n".join([*lines, f"positions {rest['from_position']} to {rest['to_position']}"])


@audit.command()
def certificate(
    *,
    partner: Partner,
    since: Annotated[str, typer.Option("--from", help=_MOMENT)] = "",
    to: Annotated[str, typer.Option(help=_MOMENT)] = "",
    html: Annotated[Path | None, typer.Option(help="Write it as a page into this file, too.", dir_okay=False)] = None,
    as_json: Json = False,
) -> None:
    """Certify who was covered while MFA was required of them, and each gap; with --json, signed by the ledger's key."""
    with _looking_at(partner) as watchword, TemporaryFile() as file:
        now = watchword.sockets.clock.now()
        span = span_of(partner, since, to, watchword, now)
        made = issued(watchword, span, (since, to), now, file)
        if html is not None:
            page = form(_reader(watchword), partner, made, {"from": since, "to": to})
            html.write_text(standing_alone(page), encoding="utf-8")
        if as_json:
            _copy(file)
        else:
            print(_totals(made))


def _reader(watchword: Watchword) -> Asked:
    """Return somebody without a browser, for whom a page is made."""
    origin = operator(watchword)
    caller = Caller(at=origin.at, command_id=origin.command_id, network="")
    return Asked(caller, watchword, Request({"type": "http", "headers": []}), Response())


def _copy(file: BinaryIO) -> None:
    for chunk in chunks(file):
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.write(b"\n")
    sys.stdout.flush()


def _totals(made: Issued) -> str:
    content, totals = made.content, made.content["totals"]
    span, partner = content["span"], content["partner"]["partner_id"]
    lines = [
        f"{partner}: {span['from']} to {span['to']}, positions {span['from_position']} to {span['to_position']}",
        f"{totals['percent_covered'] or '-'} % covered: {totals['covered_seconds']} of {totals['required_seconds']} s",
        f"{totals['accounts_without_gap']} of {totals['accounts']} accounts without a gap",
    ]
    for cause, gaps in totals["gaps"].items():
        lines.append(f"{gaps['count']} gaps, {gaps['seconds']} s: {cause.replace('_', ' ')}")
    return "\n".join(lines)
