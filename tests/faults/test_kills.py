"""Programs and PostgreSQL die by kill -9 in the middle of the load, again and again."""

import pytest

from tests.faults.scenario import Stage

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("name", ["web-1", "worker", "relay", "projector"])
def test_a_killed_program_loses_nothing(stage: Stage, name: str) -> None:
    with stage.under_load(f"kill -9 {name}") as running:
        for _ in range(running.rounds):
            running.kill(name)
            running.recovered()
            running.go_on()


def test_a_killed_postgresql_loses_nothing(stage: Stage) -> None:
    with stage.under_load("kill -9 PostgreSQL") as running:
        for _ in range(running.rounds):
            server = stage.deployment.postgres
            assert server.process is not None
            server.process.kill()
            server.process.wait(30)
            running.row.kills += 1
            server.start()
            running.recovered()
            running.go_on()


def test_a_web_process_that_is_told_to_end_finishes_what_it_has_begun(stage: Stage) -> None:
    with stage.under_load("SIGTERM web") as running:
        for _ in range(running.rounds):
            program = stage.deployment.programs["web-2"]
            _, seconds = program.terminate()
            running.row.kills += 1
            assert seconds < 20
            program.wanted = True
            running.recovered()
            running.go_on()


def test_all_programs_are_told_to_end_under_load(stage: Stage) -> None:
    with stage.under_load("SIGTERM everything") as running:
        for _ in range(running.rounds):
            for program in stage.deployment.programs.values():
                assert program.terminate()[1] < 20
                running.row.kills += 1
            for program in stage.deployment.programs.values():
                program.wanted = True
            running.recovered()
            running.go_on()
