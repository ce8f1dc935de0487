"""What a fault run says: one row per scenario, as a table for a person and as JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROWS = "FAULTS_ROWS"
"""Names the file to which each scenario adds its row."""
LONG = bool(os.environ.get("FAULTS_LONG"))
"""The long form: more rounds, longer loads."""


@dataclass
class Row:
    """One scenario."""

    scenario: str
    kills: int = 0
    operations: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    lost: int = 0
    phantom: int = 0
    duplicate_mails: int = 0
    duplicate_messages: int = 0
    probes: int = 0
    recovery: float = 0.0
    """Seconds, the longest of its rounds: from the end of the fault until writes are acknowledged and followers are level."""

    def keep(self) -> None:
        if path := os.environ.get(ROWS):
            with Path(path).open("a") as out:
                out.write(json.dumps(asdict(self)) + "\n")


def kept(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: Sequence[Row]) -> str:
    heads = (
        "kills",
        "ops",
        "acked",
        "refused",
        "unknown",
        "lost",
        "phantom",
        "mails x2",
        "msgs x2",
        "probes",
        "back in",
    )
    lines = [f"{'scenario':44} " + " ".join(f"{head:>8}" for head in heads)]
    for row in rows:
        figures = list(asdict(row).values())[1:-1]
        lines.append(f"{row.scenario:44} " + " ".join(f"{figure:8,}" for figure in figures) + f" {row.recovery:6.1f} s")
    return "\n".join(lines)
