"""The catalogue of attacks, and which tests attack by each of its cases: an id stands in the test's name."""

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
_NAME = re.compile(r"test_([a-z]{3})_(\d\d)_\w+")


@dataclass(frozen=True)
class Case:
    """One case. A remark begins with `n/a:` when there is nothing yet that could be attacked that way."""

    id: str
    area: str
    title: str
    remark: str = ""

    @property
    def applies(self) -> bool:
        return not self.remark.startswith("n/a:")


@functools.cache
def cases() -> list[Case]:
    lines = (HERE / "catalogue.tsv").read_text().splitlines()[1:]
    return [Case(*line.split("\t")) for line in lines]


def id_in(name: str) -> str | None:
    """Return the id in a test's name: `test_tot_02_…` is about TOT-02."""
    found = _NAME.match(name)
    return f"{found[1].upper()}-{found[2]}" if found else None


@functools.cache
def attacks() -> dict[str, list[tuple[Path, str]]]:
    """Return the file and name of every test of every id."""
    found: dict[str, list[tuple[Path, str]]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and (case := id_in(node.name)):
                found.setdefault(case, []).append((path, node.name))
    return found
