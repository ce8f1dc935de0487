"""A program that serves loads what it needs: all else costs time at each start, and memory for as long as it runs."""

import subprocess
import sys

import pytest
import typer

from api.cli.main import console
from api.cli.serve import NAMES
from tests.platform.machine import ROOT

NOT_FOR_WEB = {
    "aiosmtpd": "the mail catcher of `run`",
    "aiosmtplib": "the worker's way to the mail server",
    "api.exporting": "a command",
    "api.supervisor": "`run`",
    "faststream": "the worker's",
    "httpx": "the way to identity providers, which is loaded when one is asked",
    "joserfc": "the same",
    "nats": "the relay's and the worker's",
    "projections.rebuilding": "a command",
    "projections.runner": "the projector's",
    "pyarrow": "one format of the export",
    "rich": "progress of commands",
}


def loaded(code: str) -> set[str]:
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_web_process_loads_nothing_of_the_other_programs_and_commands() -> None:
    found = loaded("from api.cli.main import console; console('web'); import api.web")
    assert "api.pages.home" in found
    assert found & set(NOT_FOR_WEB) == set()


def names(app: typer.Typer) -> set[str]:
    group = typer.main.get_command(app)
    return set(group.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("first", ["", "--help", "accounts", "nonsense", *NAMES])
def test_every_command_is_there_and_a_program_that_serves_is_where_it_comes_first(first: str) -> None:
    serving, found = set(NAMES), names(console(first))
    assert serving <= found
    if first not in serving:
        assert {"accounts", "audit", "import", "keys", "mail", "migrate", "rebuild"} <= found
