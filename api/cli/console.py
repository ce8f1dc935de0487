"""What console commands share: plugs, answers in words or in JSON, progress."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.bootstrap import Watchword, build
from api.settings import read
from handlers.ports import Origin

Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


@contextmanager
def plugged() -> Iterator[Watchword]:
    """Lend the plugs for one command."""
    watchword = build(read(), pool_size=4)
    try:
        yield watchword
    finally:
        watchword.close()


def operator(watchword: Watchword) -> Origin:
    """Return the origin of what an operator does at the console."""
    s = watchword.sockets
    return Origin(actor="operator", command_id=s.chance.new_id(), at=s.clock.now())


def answer(content: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    """Print an answer."""
    print(json.dumps(content, default=str, ensure_ascii=False) if as_json else words)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and nothing elsewhere; what is lent takes how much is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)

        def done(count: int) -> None:
            bar.update(task, completed=count)

        yield done
