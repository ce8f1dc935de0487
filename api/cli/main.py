"""All console commands together, and how each of them ends."""

import sys

import typer

from api.cli import serve
from api.settings import BadSetting
from domain.kernel import Refused
from handlers.ports import AddressTaken, Conflict, LedgerBroken, Unavailable, Unreadable


def console(first: str) -> typer.Typer:
    """Return the commands. A program that serves is started often and stays: where its name comes first, it loads no other."""
    app = typer.Typer(
        name="watchword",
        help="Event-sourced multi-factor authentication for partner portals.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    serve.add_to(app)
    if first not in serve.NAMES:
        _add_others(app)
    return app


def _add_others(app: typer.Typer) -> None:
    from api.cli import audit, coverage, directory, exporting, operate, past, sso  # noqa: PLC0415 see above

    for group in (directory, operate, audit, past, exporting, coverage, sso):
        group.add_to(app)


def main() -> None:
    """Run a command. Exit status: 0 done, 1 refused or a difference found, 2 used wrongly."""
    try:
        console("".join(sys.argv[1:2]))()
    except BadSetting as error:
        print(f"watchword: {error}", file=sys.stderr)
        sys.exit(2)
    except Refused as refused:
        print(f"watchword: refused: {refused.reason().replace('_', ' ')}", file=sys.stderr)
        sys.exit(1)
    except (LedgerBroken, Unreadable) as error:
        print(f"watchword: {error}", file=sys.stderr)
        sys.exit(1)
    except (AddressTaken, Conflict):
        print("watchword: somebody else changed the same at the same time: do it again", file=sys.stderr)
        sys.exit(1)
    except Unavailable as error:
        print(f"watchword: {error}; nothing was changed", file=sys.stderr)
        sys.exit(1)
