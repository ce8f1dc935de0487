"""All console commands together, and how each of them ends."""

import sys

import typer

from api.cli import audit, coverage, directory, exporting, operate, past, serve, sso
from api.settings import BadSetting
from domain.kernel import Refused
from handlers.ports import LedgerBroken, Unavailable

app = typer.Typer(
    name="watchword",
    help="Event-sourced multi-factor authentication for partner portals.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for group in (serve, directory, operate, audit, past, exporting, coverage, sso):
    group.add_to(app)


def main() -> None:
    """Run a command. Exit status: 0 done, 1 refused or a difference found, 2 used wrongly."""
    try:
        app()
    except BadSetting as error:
        print(f"watchword: {error}", file=sys.stderr)
        sys.exit(2)
    except Refused as refused:
        print(f"watchword: refused: {refused.reason().replace('_', ' ')}", file=sys.stderr)
        sys.exit(1)
    except LedgerBroken as error:
        print(f"watchword: {error}", file=sys.stderr)
        sys.exit(1)
    except Unavailable as error:
        print(f"watchword: {error}; nothing was changed", file=sys.stderr)
        sys.exit(1)
