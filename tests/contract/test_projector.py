"""A view that cannot fold a fact: it stands still before it, says so, and skips nothing; the others go on."""

import logging
import time
from collections.abc import Callable

import psycopg
import pytest

from api import bootstrap
from projections import runner
from projections.rebuilding import verify
from projections.runner import Projector
from projections.views import VIEWS, shard_of
from tests.flows.steps import column, enrolled, signed_in
from tests.services import Portal


def positions(projector: Projector) -> dict[str, int]:
    return {name: projector.position(name) for name in VIEWS}


def test_a_poison_fact_stops_its_view_alone_and_nothing_is_skipped(
    portal: Portal, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.05)
    admin = portal.watchword.settings.admin_database_url or ""
    with psycopg.connect(admin, autocommit=True) as owner:
        owner.execute("ALTER TABLE user_status ADD CONSTRAINT poison CHECK (factor <> 'active')")
        before = portal.watchword.store.last_position()
        with caplog.at_level(logging.CRITICAL, logger="watchword.projector"):
            enrolled(portal, "dist-support")
            enrolled(portal, "dist-owner")
            end = portal.watchword.store.last_position()
            reader = signed_in(portal, "dist-auditor")
            assert reader.get("/partners/dist/summary", min_position=0).status_code == 200
            projector = bootstrap.projector(portal.watchword)
            wait_until(lambda: positions(projector)["status_history"] >= end)
            wait_until(lambda: "stands still" in caplog.text)
        stuck = positions(projector)["user_status"]
        assert before < stuck < end, "it has folded all that stands before the poison"
        assert f"user_status/{shard_of('dist')} stands still after position {stuck}" in caplog.text
        assert reader.get("/partners/dist/users", min_position=end).status_code == 503
        portal.clock.advance(seconds=61)
        readiness = portal.browser().http.get(f"{portal.address}/readyz")
        assert readiness.json()["unfit"]["user_status"] == f"has not folded position {stuck + 1} yet"
        assert "status_history" not in readiness.json()["unfit"]
        owner.execute("ALTER TABLE user_status DROP CONSTRAINT poison")
    wait_until(lambda: positions(projector)["user_status"] >= end)
    assert column(reader, "dist", "dist-owner", end)["mfa_status"] == "Active"
    url, read = portal.watchword.settings.need("database_url"), portal.watchword.store.read
    assert all(verify(url, read, name).equal for name in VIEWS)
    projector.close()


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come")
