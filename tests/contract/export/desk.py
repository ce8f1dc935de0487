"""A deployment that exports, and a reviewer who checks."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api import exporting
from api.bootstrap import LEDGER_KEY, Watchword, ledger
from api.exporting import Export, Wanted
from handlers.adapters.notes import NoteKey
from handlers.ports import Note, Origin
from tests.contract.plugs import change, origin

ROOT = Path(__file__).parents[3]
VERIFIER = ROOT / "docs" / "verify_export.py"


@dataclass
class Desk:
    """A deployment that exports, and a reviewer with its public line."""

    watchword: Watchword
    folder: Path
    exports: int = 0

    @property
    def line(self) -> str:
        return ledger(self.watchword).notes.verifier

    def append(self, *streams: str, tenant: str = "dist") -> None:
        for stream in streams:
            after = len(self.watchword.store.history(stream))
            self.watchword.store.append(replace(change(stream, after, 1), tenant=tenant), origin=origin())

    def export(self, kind: str = "jsonl", **more: Any) -> Path:
        self.exports += 1
        out = self.folder / f"export-{self.exports}"
        who = Origin("operator", "c", datetime(2026, 3, 2, tzinfo=UTC))
        Export(self.watchword, ledger(self.watchword), Wanted("dist", kind, **more)).write(out, who)
        return out

    def checkpoint(self) -> Note:
        return ledger(self.watchword).checkpoint()

    def sign_again(self, out: Path) -> None:
        """Sign what stands in the files now, as somebody could who has the deployment's key."""
        manifest = json.loads((out / "manifest.json").read_text())
        for each in manifest["files"]:
            each.update(exporting._listed(out / each["name"]))
        (out / "manifest.json").write_text(json.dumps(manifest))
        digest = exporting._listed(out / "manifest.json")["sha256"]
        key = NoteKey(self.watchword.settings.kek_file.with_name(LEDGER_KEY))
        (out / "manifest.sig").write_text(key.sign(f"{exporting.SEAL}\nmanifest.json {digest}\n"))


def verify(out: Path, key: str, *more: str) -> tuple[int, str]:
    command = [sys.executable, "-I", str(VERIFIER), str(out), "--key", key, *more]
    result = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in result.stderr
    assert (result.returncode == 0) == (result.stderr == "")
    return result.returncode, result.stdout + result.stderr


def proofs_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "proofs.jsonl").read_text().splitlines()]


def records_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "facts.jsonl").read_text().splitlines()]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
