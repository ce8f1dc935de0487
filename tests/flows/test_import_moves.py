"""X26: whatever way addresses move in a file, and over whichever batches, the file is taken, and a second time changes nothing."""

import os
import random
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from api.bootstrap import Watchword
from api.cli import importing
from api.cli.importing import take_file
from handlers import directory
from tests.contract.plugs import at_once
from tests.flows.test_import import Line, end_user, jsonl, organization
from tests.services import by_operator

PLACES = ("one", "two")
ROOT = Path(__file__).parents[2]


def file(folder: Path, people: dict[str, tuple[str, str]], order: tuple[str, ...]) -> Path:
    """Write people with address and place, in an order."""
    lines: list[Line | str | bytes] = [organization(place, "dist") for place in PLACES]
    lines += [end_user(who, people[who][1], email=f"{people[who][0]}@moves.example") for who in order]
    return jsonl(folder, *lines)


def held(watchword: Watchword) -> dict[str, tuple[str, str]]:
    query = "SELECT account_id, mail_address, place FROM person WHERE mail_address LIKE '%%@moves.example'"
    return {
        row["account_id"]: (row["mail_address"].partition("@")[0], row["place"].partition(":")[2])
        for row in watchword.database.all(query)
    }


def takes(watchword: Watchword, path: Path) -> None:
    assert take_file(path, watchword).errors == []
    again = take_file(path, watchword)
    assert (again.errors, again.changed) == ([], 0)


@pytest.mark.parametrize("size", [1, 2, 500])
def test_x26_addresses_change_hands_in_every_order_over_batches_of_any_size(
    watchword: Watchword, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(importing, "BATCH", size)
    who = ("ann", "bob", "cid")
    for number, (addresses, order) in enumerate(zip(permutations(("x", "y", "z")), permutations(who), strict=True)):
        wanted = dict(zip(who, ((each, PLACES[number % 2]) for each in addresses), strict=True))
        takes(watchword, file(tmp_path, wanted, order))
        assert held(watchword) == wanted


@pytest.mark.parametrize("seed", range(6))
def test_x26_a_walk_of_moves_over_places_and_addresses(
    watchword: Watchword, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(importing, "BATCH", 2)
    slots, people = [(address, place) for address in "vwxyz" for place in PLACES], [f"p{n}" for n in range(7)]
    for _ in range(4):
        wanted = dict(zip(people, chance.sample(slots, len(people)), strict=True))
        takes(watchword, file(tmp_path, wanted, tuple(chance.sample(people, len(people)))))
        assert held(watchword) == wanted


def test_x26_who_moves_to_another_place_leaves_the_address_to_a_new_person(
    watchword: Watchword, tmp_path: Path
) -> None:
    takes(watchword, file(tmp_path, {"ann": ("desk", "one")}, ("ann",)))
    for order in (("ann", "bob"), ("bob", "ann")):
        wanted = {"ann": ("desk", "two"), "bob": ("desk", "one")}
        takes(watchword, file(tmp_path, wanted, order))
        assert held(watchword) == wanted


def test_x26_an_address_that_nobody_leaves_is_a_named_line_and_nothing_is_taken(
    watchword: Watchword, tmp_path: Path
) -> None:
    takes(watchword, file(tmp_path, {"ann": ("desk", "one")}, ("ann",)))
    before = watchword.store.last_position()
    found = take_file(file(tmp_path, {"bob": ("desk", "one"), "cid": ("x", "one")}, ("cid", "bob")), watchword)
    assert [(each.line, each.field) for each in found.errors] == [(4, "account.email")]
    assert watchword.store.last_position() == before


def test_x26_two_imports_at_once_both_end_in_words(watchword: Watchword, tmp_path: Path) -> None:
    """Each waits for the other; whichever is last has its way."""
    files = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        people = {f"p{n}": (f"a{(n + number * 7) % 40}", "one") for n in range(40)}
        files.append(file(tmp_path / str(number), people, tuple(people)))
    environ = {**os.environ, "DATABASE_URL": watchword.settings.need("database_url")}
    environ |= {"DATA_DIR": str(watchword.settings.data_dir), "WATCHWORD_KEK_FILE": str(watchword.settings.kek_file)}

    def run(number: int) -> Any:
        command = [sys.executable, "-m", "api.cli", "import", str(files[number])]
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)

    for done in at_once(2, run):
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == 0, done.stderr
    assert len(held(watchword)) == 40


def test_x27_operators_who_lose_a_race_decide_again(watchword: Watchword) -> None:
    def act(number: int) -> int:
        w = watchword
        if number < 12:
            return directory.set_disabled("dist-support", disabled=number % 2 == 0, origin=by_operator(w), s=w.sockets)
        if number < 24:
            return directory.unlock("dist-support", by_operator(w), w.sockets)
        return directory.erase(f"dist-{('admin', 'admin2')[number % 2]}", by_operator(w), w.sockets)

    assert all(position > 0 for position in at_once(32, act))
    assert watchword.sockets.people.account("dist-admin") is not None
