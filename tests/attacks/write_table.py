"""Runs the attacks and writes what came of them into docs/security.md: `python -m tests.attacks.write_table [JUNIT.xml]`."""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.attacks.catalogue import HERE, ROOT, Case, attacks, cases, id_in

PAGE = ROOT / "docs" / "security.md"
MANY = {
    "holds": "hold",
    "**does not hold**": "do not hold",
    "not run": "were not run",
    "does not apply": "do not apply",
}
BEGIN = "<!-- The rest is written by `python -m tests.attacks.write_table`. -->"


def run(report: Path) -> None:
    words = ["-m", "pytest", "-q", "-n", "2", str(HERE), f"--junitxml={report}"]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=False)


def results(report: Path) -> tuple[dict[str, str], dict[str, str], float]:
    """Return how each case came out, what was measured on the way, and how long the run took."""
    found: dict[str, set[str]] = {}
    measured: dict[str, str] = {}
    root = ET.parse(report).getroot()  # noqa: S314 our own report
    for test in root.iter("testcase"):
        case = id_in(test.attrib["name"])
        if case:
            kinds = {child.tag for child in test} & {"failure", "error", "skipped"}
            found.setdefault(case, set()).update(kinds or {"passed"})
            for each in test.iter("property"):
                measured[case] = f"{each.attrib['name']}: {each.attrib['value']}"
    said = {case: _said(kinds) for case, kinds in found.items()}
    return said, measured, sum(float(suite.attrib["time"]) for suite in root.iter("testsuite"))


def _said(kinds: set[str]) -> str:
    if kinds & {"failure", "error"}:
        return "**does not hold**"
    return "not run" if kinds == {"skipped"} else "holds"


def places(case: Case) -> str:
    """Return where a case is tested, in the form of the table."""
    names = [f"`{path.name}`: {', '.join(n for p, n in attacks()[case.id] if p == path)}" for path in _files(case)]
    return "; ".join(names) if case.applies else "–"


def _files(case: Case) -> list[Path]:
    return list(dict.fromkeys(path for path, _ in attacks().get(case.id, [])))


def table(said: dict[str, str], measured: dict[str, str]) -> str:
    lines = ["| id | case | result | where, in `tests/attacks` | remark |", "|---|---|---|---|---|"]
    for case in cases():
        result = said.get(case.id, "not run") if case.applies else "does not apply"
        remark = "; ".join(filter(None, (case.remark.removeprefix("n/a: "), measured.get(case.id))))
        lines.append(f"| {case.id} | {case.title} | {result} | {places(case)} | {remark} |")
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "report.xml"
        if len(sys.argv) == 1:
            run(report)
        said, measured, seconds = results(report)
    counted = Counter(said.get(case.id, "not run") if case.applies else "does not apply" for case in cases())
    summary = ", ".join(f"{counted[word]} {many}" for word, many in MANY.items() if counted[word])
    above = PAGE.read_text().partition(BEGIN)[0]
    PAGE.write_text(
        f"{above}{BEGIN}\n\nOf {len(cases())} cases: {summary}. Run in {seconds:.0f} s.\n\n{table(said, measured)}\n"
    )
    print(summary)


if __name__ == "__main__":
    main()
