"""``watchword migrate | rebuild | verify | keys | mail``: what operators look after."""

import threading
import time
import webbrowser
from contextlib import closing
from typing import Annotated

import typer

from api import bootstrap
from api.cli.console import Json, answer, plugged, progress
from api.embedded.mail import CaughtMail, list_mails, read_mail
from api.settings import read
from handlers import mailing
from projections import rebuilding
from projections.views import VIEWS

keys = typer.Typer(help="The keys that seal shared secrets.", no_args_is_help=True)
mail = typer.Typer(
    help="Mails: those that the embedded catcher took, and those that were given up.", no_args_is_help=True
)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(migrate)
    app.command()(rebuild)
    app.command()(verify)
    app.add_typer(keys, name="keys")
    app.add_typer(mail, name="mail")


def migrate(*, as_json: Json = False) -> None:
    """Bring the database up to date. For a database without secrets it makes the key files too, if there are none."""
    settings = read()
    bootstrap.check_keys(settings, make=True)
    bootstrap.refuse_unsafe(settings)
    applied = bootstrap.migrate(settings)
    answer({"applied": applied}, "\n".join(applied) or "the database is up to date", as_json=as_json)


def rebuild(view: str, *, as_json: Json = False) -> None:
    """Fold a view anew from the log and put it in the live one's place, while readers go on."""
    if view not in VIEWS:
        raise typer.BadParameter(f"there is no view {view}: take one of {', '.join(VIEWS)}")
    with plugged() as watchword:
        url, store = watchword.settings.need("database_url"), watchword.store
        with progress(f"rebuilding {view}", store.last_position()) as done:
            position = rebuilding.rebuild(url, store.read, view, done)
    answer({"view": view, "position": position}, f"{view} is rebuilt up to position {position}", as_json=as_json)


def verify(*, as_json: Json = False) -> None:
    """Compare every live view with a shadow folded anew from the log; exit status 1 when one differs."""
    results = []
    with plugged() as watchword:
        url, store = watchword.settings.need("database_url"), watchword.store
        for view in VIEWS:
            with progress(f"verifying {view}", store.last_position()) as done:
                results.append(rebuilding.verify(url, store.read, view, done))
    lines = [
        f"{each.view}: position {each.position}, {each.rows} rows, checksum {each.checksum}, "
        + ("equal to the log" if each.equal else f"{each.missing} rows missing, {each.extra} rows too many")
        for each in results
    ]
    content = [
        {"view": e.view, "position": e.position, "rows": e.rows, "checksum": e.checksum, "equal": e.equal}
        for e in results
    ]
    answer({"views": content}, "\n".join(lines), as_json=as_json)
    if not all(each.equal for each in results):
        raise typer.Exit(1)


@keys.command()
def rotate(*, as_json: Json = False) -> None:
    """Make a new key-encryption key and bring every data key under it, while sign-ins go on; one rotation at a time.

    Exit status 1 with the number of data keys that are left under an older one: do not remove that one, rotate again.
    """
    with plugged() as watchword, closing(bootstrap.lease(watchword.settings, "keys")) as alone:
        alone.wait(threading.Event())
        version = watchword.keyring.rotate()
        count, left = 0, watchword.vault.left(version)
        with progress("rewrapping data keys", left) as done:
            for _ in range(_ROUNDS):
                for batch in watchword.vault.rewrap(version):
                    count += batch
                    done(count)
                left = watchword.vault.left(version)
                if not left:
                    break
                time.sleep(_ROUND_SECONDS)
    words = f"{count} data keys are under version {version} of the key-encryption key"
    if left:
        words += f"; {left} are left under an older one: keep it in the key file, and rotate again"
    answer({"version": version, "rewrapped": count, "left": left}, words, as_json=as_json)
    if left:
        raise typer.Exit(1)


_ROUNDS = 5
"""So often a rotation looks for data keys that are left: one that a transaction held, or that was written just then."""
_ROUND_SECONDS = 0.2


@mail.command("list")
def list_(
    *, dead: Annotated[bool, typer.Option("--dead", help="Mails that were given up.")] = False, as_json: Json = False
) -> None:
    """List the mails that the catcher took, newest last; with --dead those that Watchword gave up."""
    if dead:
        with plugged() as watchword:
            given_up = watchword.queue.dead()
        lines = [
            f"{each.mail_id} {each.kind.value} {each.account_id} {each.owed_at:%Y-%m-%d %H:%M}" for each in given_up
        ]
        content = [{"mail_id": e.mail_id, "kind": e.kind.value, "account_id": e.account_id} for e in given_up]
        answer({"mails": content}, "\n".join(lines) or "no mail was given up", as_json=as_json)
        return
    mails = list_mails(read().mail_dir)[::-1]
    lines = [f"{each.id} {each.kind or '-':24} {', '.join(each.to)} {each.subject}" for each in mails]
    answer(
        {"mails": [each.model_dump(mode="json") for each in mails]}, "\n".join(lines) or "no mail yet", as_json=as_json
    )


@mail.command()
def show(mail_id: str, *, as_json: Json = False) -> None:
    """Show a mail that the catcher took, with its links."""
    found = _mail(mail_id)
    words = f"To: {', '.join(found.to)}\nSubject: {found.subject}\nDate: {found.date}\n\n{found.text}"
    answer(found.model_dump(mode="json"), words, as_json=as_json)


def _mail(mail_id: str) -> CaughtMail:
    try:
        return read_mail(read().mail_dir, mail_id)
    except KeyError:
        raise typer.BadParameter(f"there is no mail {mail_id}: `watchword mail list` shows all") from None


@mail.command("open")
def open_(mail_id: Annotated[str | None, typer.Argument(help="The newest when left out.")] = None) -> None:
    """Open the first link of a mail in the browser."""
    newest = list_mails(read().mail_dir, limit=1)
    if mail_id is None and not newest:
        typer.echo("no mail yet", err=True)
        raise typer.Exit(1)
    found = _mail(mail_id) if mail_id else newest[0]
    if not found.links:
        typer.echo("this mail has no link", err=True)
        raise typer.Exit(1)
    typer.echo(found.links[0])
    webbrowser.open(found.links[0])


@mail.command()
def requeue(mail_id: str, *, as_json: Json = False) -> None:
    """Put a given-up mail back into the queue; ``all`` takes every one."""
    with plugged() as watchword:
        wanted = [each for each in watchword.queue.dead() if mail_id in {each.mail_id, "all"}]
        for each in wanted:
            mailing.requeue(each, watchword.sockets)
    answer({"requeued": len(wanted)}, f"{len(wanted)} mails are due again", as_json=as_json)
    if not wanted:
        raise typer.Exit(1)
