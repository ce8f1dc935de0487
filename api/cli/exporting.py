"""``watchword audit export``: a partner's facts in files that a reviewer checks offline, without us."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from fastapi.exceptions import RequestValidationError

from api.bootstrap import Watchword, ledger
from api.cli.audit import audit
from api.cli.console import Json, answer, operator, plugged, progress
from api.export_formats import FORMATS, NoParquet
from api.exporting import Export, Wanted
from api.past import position_of
from handlers.ledger import Ledger
from handlers.ports import Note

Format = StrEnum("Format", list(FORMATS))  # type: ignore[misc]
LINES = Format("jsonl")


def add_to(_: typer.Typer) -> None:
    """Add this command: importing this file has put it into the group ``audit``."""


@audit.command()
def export(
    *,
    partner: Annotated[str, typer.Option(help="The partner's id.")],
    out: Annotated[Path, typer.Option(help="A folder that is not there yet, or is empty.")],
    kind: Annotated[Format, typer.Option("--format", help="Of the file with the facts.")] = LINES,
    since: Annotated[str, typer.Option("--from", help="A position, an instant or a day.")] = "",
    to: Annotated[str, typer.Option(help="A position, an instant or a day.")] = "",
    against: Annotated[
        Path | None,
        typer.Option(help="An older checkpoint that the reviewer keeps.", exists=True, dir_okay=False, readable=True),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what happened at a partner into files, with proofs and a signed list; the export itself is recorded."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise typer.BadParameter(f"{out} is there already: give a folder that is not, or is empty")
    with plugged() as watchword:
        if watchword.sockets.people.partner_type(partner) is None:
            raise typer.BadParameter(f"there is no partner {partner}")
        book = ledger(watchword)
        after = _position(since, watchword, "from", begins=True) or 0
        until = _position(to, watchword, "to")
        if until is not None and until < after:
            raise typer.BadParameter("--to: the span ends before it begins")
        wanted = Wanted(partner, kind.value, after=after, until=until, asked=(since, to), older=_kept(against, book))
        manifest = _written(Export(watchword, book, wanted), out, watchword, book)
    words = [
        f"{manifest['what']}: {manifest['facts']} facts in {out}",
        f"signed by {manifest['verifier']}",
        f"to check it, without Watchword: python docs/verify_export.py {out} --key '{manifest['verifier']}'",
    ]
    answer(manifest, "\n".join(words), as_json=as_json)


def _written(export: Export, out: Path, watchword: Watchword, book: Ledger) -> dict[str, Any]:
    with progress("exporting", book.tree.tip()[0]) as done:
        try:
            return export.write(out, operator(watchword), done)
        except (NoParquet, OSError) as error:
            raise typer.BadParameter(str(error)) from None


def _position(text: str, watchword: Watchword, name: str, *, begins: bool = False) -> int | None:
    try:
        return position_of(text, watchword, watchword.sockets.clock.now(), name, begins=begins)
    except RequestValidationError as error:
        raise typer.BadParameter(f"--{name}: {error.errors()[0]['msg']}") from None


def _kept(path: Path | None, book: Ledger) -> Note | None:
    note = book.notes.read(path.read_text(errors="replace")) if path else None
    if path and note is None:
        raise typer.BadParameter(f"{path} is not a checkpoint that this deployment signed")
    return note
