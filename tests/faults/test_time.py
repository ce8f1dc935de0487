"""The clock jumps ahead and back under the load, and two web processes disagree about the time."""

import pytest

from tests.faults.report import LONG
from tests.faults.scenario import Stage

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("seconds", [90, -90, 6 * 3600])
def test_a_clock_that_jumps_lets_no_code_count_twice(stage: Stage, seconds: int) -> None:
    with stage.under_load(f"the clock jumps by {seconds} s") as running:
        for _ in range(3 if LONG else 1):
            stage.deployment.clock.advance(seconds=seconds)
            for user in stage.users if seconds < 0 else ():
                user.used = 0  # the phone shows codes again that were given before: none may count
            running.go_on(2)
        running.recovered()


def test_two_web_processes_that_disagree_about_the_time_count_each_code_once(stage: Stage) -> None:
    """One is 45 s ahead of the other: codes reach both, and a step that one has taken the other has not."""
    slow, programs = stage.deployment.folder / "clock.skewed", stage.deployment.programs
    with stage.under_load("web processes 45 s apart") as running:
        before = list(programs["web-2"].words)
        programs["web-2"].words[2] = str(slow)
        slow.write_text(str(stage.deployment.clock.ahead.total_seconds() + 45))
        running.kill("web-2")
        running.go_on(4)
        programs["web-2"].words[:] = before
        running.kill("web-2")
        running.recovered()
