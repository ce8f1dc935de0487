"""A soak: the load goes on while faults of all kinds come at random, by a fixed seed; for minutes in the long form."""

import os
import time
from random import Random

import pytest

from tests.faults.load import SEED
from tests.faults.report import LONG
from tests.faults.scenario import Scenario, Stage

SECONDS = float(os.environ.get("FAULTS_SOAK", "120" if LONG else "8"))
pytestmark = pytest.mark.timeout(SECONDS + 400)
WAYS = ("postgres", "nats", "smtp")


def test_a_random_mix_of_faults_loses_nothing(stage: Stage) -> None:
    chance = Random(SEED)
    with stage.under_load(f"soak of {SECONDS:.0f} s, random mix") as running:
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            chance.choice([_kill, _cut, _half_open, _slow, _kill_postgres])(running, chance)
            running.go_on(chance.uniform(0.5, 3))
            for way in stage.deployment.ways.values():
                way.pass_all()
            if chance.random() < 0.5:
                running.recovered()
        running.recovered()


def _kill(running: Scenario, chance: Random) -> None:
    running.kill(chance.choice(list(running.deployment.programs)))


def _cut(running: Scenario, chance: Random) -> None:
    running.deployment.ways[chance.choice(WAYS)].cut()


def _half_open(running: Scenario, chance: Random) -> None:
    running.deployment.ways[chance.choice(WAYS)].mode = "half-open"


def _slow(running: Scenario, chance: Random) -> None:
    running.deployment.ways[chance.choice(WAYS)].delay = chance.uniform(0.01, 0.3)


def _kill_postgres(running: Scenario, chance: Random) -> None:
    server = running.deployment.postgres
    assert server.process is not None
    server.process.kill()
    server.process.wait(30)
    running.row.kills += 1
    running.go_on(chance.uniform(0, 1))
    server.start()
