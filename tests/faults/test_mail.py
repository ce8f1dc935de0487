"""The mail server is slow, puts off, refuses, breaks off after the text, or is not there."""

import pytest

from tests.faults.report import LONG
from tests.faults.scenario import Scenario, Stage

pytestmark = pytest.mark.timeout(400)
MAILS = 20 if LONG else 2
"""The first so many meet the fault."""


def test_a_slow_mail_server_holds_nobody_up(stage: Stage) -> None:
    with stage.under_load("SMTP: slow") as running:
        stage.deployment.inbox.delay = 0.5
        try:
            running.go_on(10 if LONG else 3)
        finally:
            stage.deployment.inbox.delay = 0
        running.recovered()


@pytest.mark.parametrize(
    ("how", "answer"),
    [("4xx", "451 later"), ("dropped after DATA", "lost"), ("5xx", "550 no")],
)
def test_a_mail_server_that_puts_off_or_breaks_off_gets_each_mail_in_the_end(
    stage: Stage, how: str, answer: str
) -> None:
    inbox = stage.deployment.inbox
    with stage.under_load(f"SMTP: {how}") as running:
        inbox.answers += [answer] * MAILS
        _owe_mails(stage, running)
        running.go_on(10 if LONG else 2)
        inbox.answers.clear()
        running.recovered()
        if answer.startswith("5"):
            given_up = stage.deployment.sql("SELECT count(*) FROM mail_queue WHERE state = 'dead'")
            assert int(str(given_up[0][0])) > 0, "refused mails are kept, and told of, not tried for ever"


def _owe_mails(stage: Stage, running: Scenario) -> None:
    """Wait until the script was used, so that the fault did happen."""
    for _ in range(100):
        if len(stage.deployment.inbox.answers) <= MAILS // 2:
            return
        running.go_on(0.2)
    raise AssertionError("no mail met the fault")


@pytest.mark.parametrize("how", ["refuse", "half-open", "drop"])
def test_a_way_to_the_mail_server_that_breaks_loses_no_mail(stage: Stage, how: str) -> None:
    way = stage.deployment.ways["smtp"]
    with stage.under_load(f"SMTP: {how}") as running:
        if how == "drop":
            way.drop_after = 400
        elif how == "refuse":
            way.mode = "refuse"
        else:
            way.mode = "half-open"
        running.go_on(10 if LONG else 2)
        way.pass_all()
        running.recovered()
