"""What people build on and leave lying about: weak spots in the code, secrets in the tree, known holes in the packages.

`make check` runs it: `python -m tests.supply`. Nothing here needs the network but the question for known
vulnerabilities. Where no service answers it, one line says so; with `STRICT=1` that is a failure too.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TOOLS = Path(sys.executable).parent
LOCKS = ("requirements/dev.lock", "requirements/compose.lock")
"""Together they hold every package: what is in prod.lock is in dev.lock at the same version."""
SERVICES = (("-s", "pypi"), ("-s", "osv"))
"""Whom pip-audit asks, in turn, until one knows every package."""
_UNREACHED = re.compile(r"ConnectionError|ServiceError|Timeout|Could not connect|blocking this service")


def _run(tool: str, *words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(TOOLS / tool), *words], cwd=folder, capture_output=True, text=True, check=False)


def weak_spots(*places: str) -> str:
    """Return what bandit finds in the code, or nothing."""
    found = _run(
        "bandit", "-q", "-c", "pyproject.toml", "-r", *(places or ("domain", "handlers", "projections", "api"))
    )
    return "" if found.returncode == 0 else found.stdout + found.stderr


def secrets(folder: Path = ROOT) -> str:
    """Return where credentials lie in a folder's files and in its whole history, never what they are; or nothing.

    Kingfisher would try out on the network what it finds, and look for newer versions of itself: both are off.
    """
    here = ("--no-validate", "--no-update-check", "--redact", "--rule-cache-dir", str(TOOLS.parent / "kingfisher"))
    words = ("--quiet", "--confidence", "low", "--exclude", ".venv", "--exclude", ".data")
    found = _run("kingfisher", "scan", *here, *words, str(folder))
    return "" if found.returncode == 0 else found.stdout + found.stderr


@dataclass
class Audit:
    """What is known about the packages of one lock file: how many were judged, which not, and what is wrong with them."""

    judged: int = 0
    unknown: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)

    def said(self, lock: str, *, strict: bool) -> tuple[bool, str]:
        """Say whether the check may pass, and why, in a line for each hole and one for the rest."""
        rest = f"{lock}: {self.judged} packages audited, {len(self.holes)} known vulnerabilities"
        if self.unknown and not self.judged:
            rest = f"{lock}: NOT AUDITED, no vulnerability service can be asked from this machine"
        elif self.unknown:
            rest += f"; no service knows {', '.join(self.unknown)}"
        return not self.holes and not (strict and self.unknown), "\n".join([*self.holes, rest])


def audit(lock: str, services: Sequence[Sequence[str]] = SERVICES) -> Audit:
    """Ask the services for known vulnerabilities of what a lock file holds, and return the answer that knows most."""
    found = [_asked(lock, service) for service in services[:1]]
    for service in services[1:]:
        if found[-1].unknown:
            found.append(_asked(lock, service))
    best = max(found, key=lambda each: each.judged)
    return Audit(best.judged, best.unknown, list(dict.fromkeys(hole for each in found for hole in each.holes)))


def _asked(lock: str, service: Sequence[str]) -> Audit:
    words = ("--disable-pip", "--require-hashes", "--timeout", "10", "--progress-spinner", "off", "-f", "json")
    answer = _run("pip-audit", "-r", lock, *words, *service)
    try:
        packages: list[dict[str, Any]] = json.loads(answer.stdout)["dependencies"]
    except ValueError:
        if not _UNREACHED.search(answer.stderr):
            raise RuntimeError(answer.stderr) from None
        return Audit(unknown=["all of it"])
    judged = [each for each in packages if "vulns" in each]
    return Audit(
        judged=len(judged),
        unknown=[each["name"] for each in packages if "vulns" not in each],
        holes=[
            f"{each['name']} {each['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version'}"
            for each in judged
            for hole in each["vulns"]
        ],
    )


def main() -> int:
    """Print what was found, and return the exit status."""
    found = [weak_spots(), secrets()]
    answers = [audit(lock).said(lock, strict=os.environ.get("STRICT") == "1") for lock in LOCKS]
    print("\n".join(filter(None, [*found, *(line for _, line in answers)])))
    return int(any(found) or not all(passes for passes, _ in answers))


if __name__ == "__main__":
    sys.exit(main())
