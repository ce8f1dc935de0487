"""What the repository holds names nobody's package registry and no folder of one machine."""

import re
import subprocess

import pytest

from tests.platform.machine import ROOT

REGISTRIES = (("py", "pi", "org"), ("python", "hosted", "org"), ("npm", "js", "org"), ("npm", "js", "com"))
"""Their names in pieces, so that this file does not name them either."""
FOLDERS = ("work", "root")


def tracked() -> list[str]:
    words = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git clone")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def named(pattern: re.Pattern[bytes]) -> list[str]:
    """Return the files that the pattern fits, by content or by name."""
    found = []
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if pattern.search(name.encode()) or pattern.search(content):
            found.append(name)
    return found


def test_no_file_names_a_package_registry() -> None:
    hosts = [re.escape(f"{head}{tail}.{top}") for head, tail, top in REGISTRIES]
    pattern = re.compile("|".join(hosts).encode())
    assert pattern.search("https://{}{}.{}/simple".format(*REGISTRIES[0]).encode())
    assert named(pattern) == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    pattern = re.compile(rf"(?<![\w.}}\])-])/({'|'.join(FOLDERS)})/\w".encode())
    assert pattern.search(f"cd /{FOLDERS[0]}/main".encode())
    assert not pattern.search(f"./net{FOLDERS[0]}/{FOLDERS[1]}/x".encode())
    assert named(pattern) == []
