"""Lock files name packages, versions and sums: no address, and everything pinned."""

import re
import subprocess
import tomllib

import pytest

from tests.platform.machine import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
ADDRESS = re.compile(r"[a-z]+://|^--(index|extra|find|trusted)|\[[^\]]*://", re.MULTILINE)
PINNED = re.compile(r"^([a-z0-9-]+)(\[[a-z,]+\])?==", re.MULTILINE)


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git clone")
    return done.stdout.splitlines()


def test_there_are_three_of_them() -> None:
    assert [path.name for path in LOCKS] == ["compose.lock", "dev.lock", "prod.lock"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_names_an_address(lock: object) -> None:
    text = (ROOT / "requirements" / str(lock)).read_text()
    assert not ADDRESS.search(text)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_is_pinned_with_its_sums(lock: object) -> None:
    text = (ROOT / "requirements" / str(lock)).read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if entry and not entry.startswith("#")]
    assert entries
    for entry in entries:
        assert PINNED.match(entry), entry
        assert "--hash=sha256:" in entry, entry


def test_no_lock_of_a_kind_that_names_addresses_is_tracked() -> None:
    names = [path.rpartition("/")[2] for path in tracked()]
    assert not [
        name for name in names if name in {"uv.lock", "poetry.lock", "Pipfile.lock"} or name.startswith("pylock")
    ]


def test_what_production_needs_is_in_its_lock_and_the_same_in_the_tests_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[\[<>=; ]", line)[0] for line in project["dependencies"]}
    production, development = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("prod.lock", "dev.lock")
    )
    assert named <= production.keys()
    assert production.items() <= development.items()
