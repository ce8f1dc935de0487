"""The house rules that a machine can look after: walls, sizes, and a test for every row of the product."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api.refusals import TABLE
from domain.kernel import Refused

ROOT = Path(__file__).parent.parent
FOLDERS = ("domain", "handlers", "projections", "api")
LINES = 260
ONE_STORY = {"domain/facts.py"}
"""Long on purpose: everything that can happen, in one place, in the order of the story."""
"""A file longer than this wants a wall."""


def sources() -> list[Path]:
    return [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]


def test_the_walls_stand() -> None:
    command = [
        str(Path(sys.executable).parent / "lint-imports"),
        "--config",
        str(ROOT / "pyproject.toml"),
        "--no-cache",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_no_file_is_long() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {path: lines for path, lines in long.items() if lines > LINES and path not in ONE_STORY} == {}


def test_every_module_and_every_public_thing_says_what_it_is_for() -> None:
    silent = []
    for path in sources():
        tree = ast.parse(path.read_text())
        nodes: list[ast.AST] = [tree]
        nodes += [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        silent += [f"{path.relative_to(ROOT)}:{getattr(n, 'lineno', 1)}" for n in nodes if not ast.get_docstring(n)]  # type: ignore[arg-type]
    assert silent == []


def test_every_refusal_has_a_status_and_a_sentence() -> None:
    import api.web  # noqa: F401, PLC0415 all doors are loaded

    def below(kind: type[Refused]) -> set[type[Refused]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__())) if kind.__module__ else set()

    ours = {kind for kind in below(Refused) if kind.__module__.split(".")[0] in FOLDERS} - {Refused}
    assert ours - set(TABLE) == set()


def test_every_row_of_the_product_has_a_test_that_names_it() -> None:
    rows = {f"S{number:02}" for number in range(1, 42)} | {f"F{number:02}" for number in range(1, 25)}
    named: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text())
        tests = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
        named |= {row for test in tests for row in re.findall(r"\b[SF]\d\d\b", ast.get_docstring(test) or "")}
    assert rows - named == set()
    assert named <= rows, "a test names a row that there is not"


@pytest.mark.parametrize("word", ["utils", "common", "helpers", "manager"])
def test_no_file_is_named_after_nothing(word: str) -> None:
    assert [path.name for path in sources() if path.stem.lower() == word] == []
