"""Programs of Debian packages, unpacked into a folder of their own: nothing is installed into the system, no service started."""

import shutil
import subprocess
from pathlib import Path

from tests.bench.peers.place import Lacking, Room

_LIBRARIES = ("usr/lib", "lib")


def unpack(room: Room, package: str) -> None:
    """Fetch a package and the libraries that it needs and this machine lacks, and unpack them into ``root``."""
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise Lacking(f"{package} comes as a Debian package, and this machine has no `{tool}`")
    words = ("apt-get", "install", "--simulate", "--no-install-recommends", package)
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    if found.returncode:
        raise Lacking(f"apt does not know the package {package} (`apt-get update` may help)")
    missing = [line.split()[1] for line in found.stdout.splitlines() if line.startswith("Inst ")]
    wanted = [each for each in missing if _is_library(each) or each.startswith(package)]
    room.run("apt-get", "download", *(wanted or [package]))
    for each in room.folder.glob("*.deb"):
        room.run("dpkg-deb", "-x", each.name, "root")


def _is_library(package: str) -> bool:
    return package.startswith("lib") and not package.startswith("libjs-") and not package.endswith("-perl")


def environ(room: Room) -> dict[str, str]:
    """Return where a program finds the unpacked libraries."""
    folders = {str(each.parent) for place in _LIBRARIES for each in (room.folder / "root" / place).rglob("*.so*")}
    return {"LD_LIBRARY_PATH": ":".join(sorted(folders))} if folders else {}


def program(room: Room, path: str) -> str:
    """Return the path of an unpacked program."""
    found: Path = room.folder / "root" / path
    if not found.exists():
        raise Lacking(f"the package has no {path}")
    return str(found)
