"""What is said of other products is said of neighbouring turns, and what a machine lacks leaves one out, not all."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from api.embedded.postgres import EmbeddedPostgres
from tests.bench.peers import privacyidea
from tests.bench.peers.__main__ import _entered
from tests.bench.peers.ours import FLOOR, WATCHWORD
from tests.bench.peers.place import Room
from tests.bench.peers.report import Standing, Turn, standings, table


def turn(name: str, rotation: int, rate: float, clients: int = 8, busy: float = 0.1) -> Turn:
    return Turn(name, clients, rotation, 100, rate, 1.0, 2.0, app=3.0, postgres=1.0, busy=busy, load=0.5)


def of(turns: list[Turn], name: str) -> Standing:
    return next(each for each in standings(turns) if each.name == name)


def test_ratios_are_of_one_rotation_and_their_median_counts() -> None:
    rates = ((100, 2), (900, 10), (50, 1))
    turns = [
        turn(*each)
        for n, (a, b) in enumerate(rates)
        for each in ((WATCHWORD, n, float(a)), (privacyidea.NAME, n, float(b)))
    ]
    found = of(turns, privacyidea.NAME)
    assert (found.ratios, found.ratio, found.goal, found.reached) == ([50, 90, 50], 50, 45, True)
    assert found.cheaper == 1


def test_a_goal_is_of_eight_clients() -> None:
    turns = [turn(WATCHWORD, 1, 100, clients=1), turn(FLOOR, 1, 50, clients=1)]
    assert of(turns, FLOOR).goal is None
    assert of(turns, FLOOR).ratio == 2


def test_a_busy_client_is_told() -> None:
    turns = [turn(WATCHWORD, 1, 100), turn(FLOOR, 1, 50, busy=0.95)]
    assert f"With {FLOOR} the client itself was busy" in table(standings(turns))
    assert "busy" not in table(standings(turns[:1]))


def test_what_is_not_installed_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    rooms = [Room(each, tmp_path / each, EmbeddedPostgres(tmp_path), 1) for each in ("better-auth", "glewlwyd")]
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        assert list(_entered(stack, rooms, left_out)) == []
    assert left_out == {
        "better-auth 1.7.25": "`node` is not installed",
        "glewlwyd 2.7": "glewlwyd comes as a Debian package, and this machine has no `apt-get`",
    }
