"""``make faults``: every scenario in its long form, a table, and the same as JSON in ``.data/faults.json``."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.faults.report import ROWS, kept, table


def main() -> int:
    """Run, print, keep. Exit status: pytest's own."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="as `make test` runs them: one round each")
    parser.add_argument("--soak", type=int, default=120, help="seconds of the random mix")
    parser.add_argument("--only", help="scenarios whose tests have this word in their names (pytest -k)")
    parser.add_argument("--json", type=Path, default=Path(".data") / "faults.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="watchword-faults-") as folder:
        rows = Path(folder) / "rows"
        environ = {**os.environ, ROWS: str(rows), "FAULTS_SOAK": str(asked.soak)}
        if not asked.short:
            environ["FAULTS_LONG"] = "1"
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).parent)]
        status = subprocess.run(
            [*words, *(["-k", asked.only] if asked.only else [])], env=environ, check=False
        ).returncode
        found = kept(rows)
    print(table(found))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps([asdict(row) for row in found], indent=2) + "\n")
    print(f"the same as JSON: {asked.json}")
    return status


if __name__ == "__main__":
    sys.exit(main())
