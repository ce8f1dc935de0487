"""``watchword import | demo | accounts | tokens``: who exists, and what operators do for them."""

from pathlib import Path
from typing import Annotated

import typer

from api.cli.console import Json, answer, operator, plugged
from api.cli.demo import demo_provider, load_demo
from api.cli.importing import take_file
from handlers import directory
from handlers.ports import Conflict

accounts = typer.Typer(help="Look after accounts.", no_args_is_help=True)
tokens = typer.Typer(help="Tokens for programs of the portal.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("import")(import_file)
    app.command("demo")(demo)
    app.command("demo-provider", hidden=True)(demo_provider)
    app.add_typer(accounts, name="accounts")
    app.add_typer(tokens, name="tokens")


def import_file(
    file: Annotated[Path, typer.Argument(help="JSON lines or CSV.", exists=True, dir_okay=False, readable=True)],
    *,
    as_json: Json = False,
) -> None:
    """Take partners, organizations and accounts over. A bad file takes nothing; a repeated one changes nothing."""
    with plugged() as watchword:
        result = take_file(file, watchword)
    if result.errors:
        for error in result.errors[:20]:
            typer.echo(f"{file.name}:{error.line}: {error.field}: {error.message}", err=True)
        more = len(result.errors) - 20
        typer.echo(f"{more} more.\n" if more > 0 else "", err=True, nl=False)
        typer.echo("nothing of the file was taken", err=True)
        answer({"taken": 0, "errors": [error._asdict() for error in result.errors]}, "", as_json=as_json)
        raise typer.Exit(1)
    words = f"{result.lines} lines, {result.changed} changed something"
    answer({"lines": result.lines, "changed": result.changed}, words, as_json=as_json)


def demo() -> None:
    """Load the demo directory, unless the database has one already, and say who can sign in."""
    with plugged() as watchword:
        typer.echo(load_demo(watchword))


@accounts.command("list")
def list_accounts(
    partner: Annotated[str | None, typer.Option(help="Of this partner alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    *,
    as_json: Json = False,
) -> None:
    """List accounts."""
    query = """
        SELECT u.account_id, u.partner_id, u.organization_id, u.role, u.account_state, u.factor, n.name, n.mail_address
        FROM user_status u LEFT JOIN person n USING (account_id)
        WHERE %s::text IS NULL OR u.partner_id = %s ORDER BY u.partner_id, u.account_id LIMIT %s"""
    with plugged() as watchword:
        rows = watchword.database.all(query, (partner, partner, limit))
    lines = [
        f"{row['account_id']:24} {row['partner_id']:16} {row['role']:12} {row['factor']:8} "
        f"{row['mail_address'] or 'erased account'}"
        for row in rows
    ]
    answer({"accounts": rows}, "\n".join(lines), as_json=as_json)


@accounts.command("set-password")
def set_password(account_id: str, *, as_json: Json = False) -> None:
    """Give an account a new password, read from the terminal or from standard input; its sessions end."""
    password = typer.prompt("New password", hide_input=True, confirmation_prompt=False)
    with plugged() as watchword:
        position = directory.set_password(account_id, password, operator(watchword), watchword.sockets)
    answer({"position": position}, f"{account_id} has a new password", as_json=as_json)


@accounts.command()
def unlock(account_id: str, *, as_json: Json = False) -> None:
    """End the locks of an account, those of passwords and those of codes."""
    with plugged() as watchword:
        position = directory.unlock(account_id, operator(watchword), watchword.sockets)
    answer({"position": position}, f"{account_id} is unlocked", as_json=as_json)


@accounts.command()
def disable(account_id: str, *, as_json: Json = False) -> None:
    """Keep an account from signing in."""
    _set_disabled(account_id, disabled=True, as_json=as_json)


@accounts.command()
def restore(account_id: str, *, as_json: Json = False) -> None:
    """Let a disabled account sign in again."""
    _set_disabled(account_id, disabled=False, as_json=as_json)


def _set_disabled(account_id: str, *, disabled: bool, as_json: bool) -> None:
    with plugged() as watchword:
        origin = operator(watchword)
        position = directory.set_disabled(account_id, disabled=disabled, origin=origin, s=watchword.sockets)
    answer({"position": position}, f"{account_id} is {'disabled' if disabled else 'restored'}", as_json=as_json)


@accounts.command()
def erase(account_id: str, *, as_json: Json = False) -> None:
    """Destroy name, address, password and keys of an account; its history stays."""
    with plugged() as watchword:
        position = directory.erase(account_id, operator(watchword), watchword.sockets)
    answer({"position": position}, f"{account_id} is erased", as_json=as_json)


@tokens.command("create")
def create_token(
    token_id: Annotated[str, typer.Argument(help="A name for the token, for the log.")],
    scope: Annotated[list[str], typer.Option(help="read, write or audit; may be given more than once.")],
    partner: Annotated[str, typer.Option(help="The partner to which it is bound, * for all.")],
    *,
    as_json: Json = False,
) -> None:
    """Make a token for a program of the portal; it is shown this once."""
    unknown = set(scope) - {"read", "write", "audit"}
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: a scope is read, write or audit")
    with plugged() as watchword:
        try:
            token = watchword.tokens.create(token_id, scope, partner)
        except Conflict:
            raise typer.BadParameter(f"there is a token {token_id}, open or revoked: choose another name") from None
    answer({"token_id": token_id, "token": token}, token, as_json=as_json)


@tokens.command("revoke")
def revoke_token(token_id: str, *, as_json: Json = False) -> None:
    """End a token."""
    with plugged() as watchword:
        ended = watchword.tokens.revoke(token_id)
    answer(
        {"revoked": ended}, f"{token_id} is revoked" if ended else f"there is no open token {token_id}", as_json=as_json
    )
    if not ended:
        raise typer.Exit(1)
