"""A small disk for PostgreSQL's write-ahead log: a tmpfs of a fixed size, where root may mount one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.deployment import Deployment

ROOM_MIB = 64
"""Beyond what the log takes already."""


@contextmanager
def small_disk(deployment: Deployment) -> Iterator[Path]:
    """Stop the server, move its write-ahead log to a small disk, start it; and all of that back again at the end."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    server = deployment.postgres
    wal, aside = server.folder / "cluster" / "pg_wal", server.folder / "cluster" / "pg_wal.aside"
    server.stop()
    wal.rename(aside)
    wal.mkdir(mode=0o700)
    owner = aside.stat()
    used = sum(path.stat().st_size for path in aside.rglob("*")) // 2**20
    options = f"size={used + ROOM_MIB}m,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(wal)], check=False).returncode == 0
    if not mounted:
        wal.rmdir()
        aside.rename(wal)
        server.start()
        pytest.skip("no file system can be mounted here")
    shutil.copytree(aside, wal, dirs_exist_ok=True)
    for path in wal.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid)
    try:
        server.start()
        yield wal
    finally:
        server.stop()
        shutil.rmtree(aside)
        shutil.copytree(wal, aside)
        for path in (aside, *aside.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
        subprocess.run(["umount", str(wal)], check=True)
        wal.rmdir()
        aside.rename(wal)
        server.start()


def fill_up(path: Path) -> None:
    """Write until nothing is left."""
    with path.open("wb", buffering=0) as out, suppress(OSError):
        while out.write(b"\0" * 2**16):
            pass
