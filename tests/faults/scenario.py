"""One scenario: the load and the prober run, something breaks and mends, all comes to rest, and everything is checked."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.faults.checker import Findings
from tests.faults.checks import check
from tests.faults.deployment import Deployment, quiet
from tests.faults.load import Load, User
from tests.faults.prober import Prober
from tests.faults.report import LONG, Row

WARM_SECONDS = 1.5
RECOVERY_SECONDS = 60
MEMORY_MIB = 150
"""So much more than at its first rest may a program keep."""


@dataclass
class Scenario:
    """What a test does while the load goes on."""

    deployment: Deployment
    load: Load
    row: Row
    rounds: int = 3 if LONG else 1
    begun: float = field(default_factory=time.monotonic)

    def go_on(self, seconds: float = WARM_SECONDS) -> None:
        """Let the load go on."""
        time.sleep(seconds)

    def kill(self, name: str) -> None:
        self.deployment.programs[name].kill()
        self.row.kills += 1

    def recovered(self) -> None:
        """The fault is over: wait until writes are acknowledged again, and every follower is level with the log."""
        ended = time.monotonic()
        head = 0

        def writes() -> bool:
            return self.load.history.acknowledged_since(ended) is not None

        def level() -> bool:
            nonlocal head
            head = head or self.deployment.watchword.store.last_position()
            return self.deployment.web_answers() and self.deployment.caught_up(head)

        quiet(writes, RECOVERY_SECONDS, lambda: "no write is acknowledged after the fault")
        quiet(level, RECOVERY_SECONDS, lambda: f"followers stay behind: {self.deployment.backlog()}")
        self.row.recovery = max(self.row.recovery, time.monotonic() - ended)


@dataclass
class Stage:
    """A deployment with its users, who keep their phones and sign-ins from one scenario to the next."""

    deployment: Deployment
    users: list[User]
    prober: Prober
    memory: dict[str, int] = field(default_factory=dict)
    duplicates: tuple[int, int] = (0, 0)
    """Mails and messages that came twice before this scenario: the checker counts from the first fact on."""

    @contextmanager
    def under_load(self, name: str, users: int = 50) -> Iterator[Scenario]:
        load = Load(self.users[:users])
        running = Scenario(self.deployment, load, Row(name))
        self.prober.prepare()
        probes = self.prober.count
        load.start()
        try:
            with self.prober.probing():
                running.go_on()
                yield running
                running.go_on()
                load.stop()
                self.deployment.settle()
        except BaseException:
            self.deployment.broken = True
            load.stop()
            raise
        running.row.probes = self.prober.count - probes
        self._judge(running)

    def _judge(self, running: Scenario) -> None:
        found, row, history = check(self.deployment, running.load.history), running.row, running.load.history
        for sentence in self.prober.let_in:
            found.add("I4", sentence)
        self._base(found)
        row.operations = len(history.operations)
        row.acknowledged, row.refused = history.count("acknowledged"), history.count("refused")
        row.unknown = history.count("unknown") + history.count("started")
        row.lost, row.phantom = found.lost, found.phantom
        row.duplicate_mails = found.duplicate_mails - self.duplicates[0]
        row.duplicate_messages = found.duplicate_messages - self.duplicates[1]
        self.duplicates = (found.duplicate_mails, found.duplicate_messages)
        row.keep()
        print(row)
        self.deployment.broken = bool(found.wrong)
        assert row.acknowledged > 0
        assert not found.wrong, found.words()

    def _base(self, found: Findings) -> None:
        """I12: connections and memory come back to where they were at the first rest."""
        connections = self.deployment.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        now = {name: program.memory() for name, program in self.deployment.programs.items()}
        now["connections"] = int(str(connections[0][0]))
        for name, most in self.memory.items():
            limit = most + (MEMORY_MIB if name != "connections" else 60)
            if now[name] > limit:
                found.add("I12", f"{name} went from {most} to {now[name]}")
        self.memory = self.memory or now
