"""``watchword audit checkpoint | verify | key``: proof that the log is what it was."""

from pathlib import Path
from typing import Annotated

import typer

from api.bootstrap import ledger
from api.cli.console import Json, answer, plugged, progress
from handlers.ledger_check import LedgerCheck, Verified

audit = typer.Typer(help="Prove what happened.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(audit, name="audit")


@audit.command()
def checkpoint(*, as_json: Json = False) -> None:
    """Sign the log as it is now, up to its newest fact, and print the signed note: keep it where nobody can change it."""
    with plugged() as watchword:
        note = ledger(watchword).checkpoint()
    head = note.checkpoint
    content = {"origin": head.origin, "size": head.size, "root": head.root.hex(), "note": note.text}
    answer(content, note.text.removesuffix("\n"), as_json=as_json)


@audit.command()
def key(*, as_json: Json = False) -> None:
    """Print the public line with which anybody can check our signatures."""
    with plugged() as watchword:
        line = ledger(watchword).notes.verifier
    answer({"verifier": line}, line, as_json=as_json)


@audit.command()
def verify(
    *,
    full: Annotated[bool, typer.Option("--full", help="From the first fact on, not only since the last time.")] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            help="A checkpoint that was printed and kept elsewhere.", exists=True, dir_okay=False, readable=True
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute the ledger from the facts, and hold it against every signed checkpoint; exit status 1 when one differs.

    Without --full and --against it reads only what came since the last time, and says so: that is a quick look, no proof.
    """
    with plugged() as watchword:
        book = ledger(watchword)
        given = book.notes.read(against.read_text(errors="replace")) if against else None
        if against and given is None:
            raise typer.BadParameter(f"{against} is not a checkpoint that this deployment signed")
        with progress("verifying the ledger", book.tree.tip()[0]) as done:
            found = LedgerCheck(book.tree, book.notes).run(full=full, given=given, progress=done)
    answer(_content(found), _words(found), as_json=as_json)
    if found.findings:
        raise typer.Exit(1)


def _content(found: Verified) -> dict[str, object]:
    return {
        "right": not found.findings,
        "facts": found.facts,
        "from": found.start,
        "unread_to_position": found.unread,
        "position": found.position,
        "checkpoints": found.checkpoints,
        "unused_positions": found.unused,
        "waiting": found.waiting,
        "times_out_of_order": {"count": found.out_of_order, "first_position": found.first_out_of_order},
        "note": found.note.text if found.note else None,
        "findings": [
            {"kind": kind, "what": each.what, "position": each.position, "line": each.line}
            for kind, each in found.findings.items()
        ],
    }


def _words(found: Verified) -> str:
    since = f" ({found.start} of them by an earlier verification)" if found.start else ""
    lines = [
        f"{found.facts} facts up to position {found.position} are in the ledger as they were{since}",
        f"{found.checkpoints} checkpoints are signed by this deployment",
    ]
    if found.findings:
        lines[0] = f"the first {found.facts} facts, up to position {found.position}, agree with the ledger{since}"
        return "\n".join([*lines, *(f"WRONG: {each.what}" for each in found.findings.values())])
    if found.unread:
        lines.append(
            f"NOT READ this time: positions 1 to {found.unread}. They were counted, and found right earlier; only --full,"
            " or --against a checkpoint that you kept, reads them again and proves it"
        )
    if found.unused:
        lines.append(f"{found.unused} positions were never used: what was to stand there was not stored")
    if found.out_of_order:
        lines.append(
            f"REMARK: {found.out_of_order} facts are older than facts before them, the first at position"
            f" {found.first_out_of_order}: a clock was wrong, or they were added late"
        )
    if found.waiting:
        lines.append(f"{found.waiting} facts are not in the ledger yet")
    return "\n".join(lines)
