"""One deployment for all fault scenarios of a process; a new one after a scenario that found something."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.deployment import deployed
from tests.faults.load import everybody
from tests.faults.prober import Prober
from tests.faults.scenario import Stage


class Theatre:
    """Keeps the stage, and builds another when the last one was left broken."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._stage: Stage | None = None

    def stage(self) -> Stage:
        if self._stage is None or self._stage.deployment.broken:
            self.close()
            deployment = self._open.enter_context(deployed(self._folder()))
            self._stage = Stage(deployment, everybody(deployment), Prober(deployment))
        return self._stage

    def close(self) -> None:
        if self._stage is not None:
            self._stage.prober.close()
            for user in self._stage.users:
                user.browser.http.close()
        self._stage = None
        self._open.close()


@pytest.fixture(scope="session")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    theatre = Theatre(lambda: tmp_path_factory.mktemp("faults"))
    yield theatre
    theatre.close()


@pytest.fixture
def stage(theatre: Theatre) -> Stage:
    return theatre.stage()
