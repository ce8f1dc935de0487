"""PostgreSQL is there, and of no use: its way breaks, its disk is full, its locks are taken, its connections are used up."""

import threading
import time

import psycopg
import pytest

from tests.faults.disk import fill_up, small_disk
from tests.faults.report import LONG
from tests.faults.scenario import Stage

pytestmark = pytest.mark.timeout(400)
AWAY_SECONDS = 5 if LONG else 1.5


@pytest.mark.parametrize("how", ["refuse", "half-open", "slow", "cut"])
def test_a_database_behind_a_bad_way_loses_nothing(stage: Stage, how: str) -> None:
    way = stage.deployment.ways["postgres"]
    with stage.under_load(f"PostgreSQL: {how}") as running:
        for _ in range(running.rounds):
            if how in {"refuse", "half-open"}:
                way.mode = "refuse" if how == "refuse" else "half-open"
            if how == "slow":
                way.delay = 0.05
            for _ in range(1 if how == "refuse" else 5 if how == "cut" else 0):
                way.cut()
                running.go_on(0.2)
            running.go_on(AWAY_SECONDS)
            way.pass_all()
            if how == "half-open":
                way.cut()
            running.recovered()


def test_killed_backends_lose_nothing(stage: Stage) -> None:
    """The answer to a commit is lost most often so: the library's own retry would call the own facts a conflict."""
    with stage.under_load("backends killed") as running:
        for _ in range(running.rounds * 10):
            stage.deployment.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watchword_app'"
                " AND query NOT LIKE 'LISTEN%' AND random() < 0.5"
            )
            running.row.kills += 1
            running.go_on(0.2)
        running.recovered()


def test_a_long_lock_makes_everybody_wait_and_nobody_lose(stage: Stage) -> None:
    with stage.under_load("a long lock on the log") as running:
        with psycopg.connect(stage.deployment.owner_url) as connection:
            connection.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
            running.go_on(10 if LONG else 6)
            connection.rollback()
        running.recovered()


def test_a_used_up_pool_is_answered_and_recovers(stage: Stage) -> None:
    """Nobody but the owner gets a connection for a while: the role's limit is below what it holds already."""
    with stage.under_load("no connections left") as running:
        stage.deployment.sql("ALTER ROLE watchword_app CONNECTION LIMIT 1")
        try:
            stage.deployment.ways["postgres"].cut()
            running.go_on(AWAY_SECONDS)
        finally:
            stage.deployment.sql("ALTER ROLE watchword_app CONNECTION LIMIT -1")
        running.recovered()


def test_a_slow_transaction_holds_back_no_fact_for_ever(stage: Stage) -> None:
    """A transaction that writes elsewhere stays open while the load commits; followers are level when it has ended."""
    with stage.under_load("a slow transaction beside the load") as running:
        done = threading.Event()

        def hold() -> None:
            with psycopg.connect(stage.deployment.owner_url) as connection:
                connection.execute("SELECT pg_current_xact_id(), nextval('stored_events_notification_id_seq')")
                done.wait(10 if LONG else 3)
                connection.rollback()

        holder = threading.Thread(target=hold)
        holder.start()
        running.go_on(10 if LONG else 3)
        done.set()
        holder.join()
        running.recovered()


def test_a_full_disk_refuses_and_loses_nothing(stage: Stage) -> None:
    """The server's write-ahead log cannot grow: its folder stands on a small file system of its own."""
    with small_disk(stage.deployment) as disk, stage.under_load("disk full") as running:
        fill = disk / "fill"
        fill_up(fill)
        running.go_on(AWAY_SECONDS)
        deadline = time.monotonic() + 30
        while stage.deployment.postgres.is_running and time.monotonic() < deadline and LONG:
            running.go_on(1)
        fill.unlink()
        stage.deployment.postgres.start()
        running.recovered()
