"""What is signed is folded from the log: whatever the owner of the database changes elsewhere changes no certificate."""

import json
import secrets
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from api import bootstrap
from api.settings import Settings
from domain.facts import Enabled
from handlers.ports import Change, Origin
from tests.flows.steps import enforce, enrolled, signed_in
from tests.services import Portal

CHECKER = Path(__file__).parents[2] / "docs" / "verify_certificate.py"
NOT_OF_THE_CONTENT = {"made_at", "signature", "ledger", "query", "check"}
OTHERWISE = {
    "bool": "NOT {0}",
    "int8": "coalesce({0}, 5) + 1",
    "int4": "coalesce({0}, 5) + 1",
    "text": "CASE {0} WHEN 'active' THEN 'none' WHEN 'none' THEN 'active' ELSE 'x' END",
    "timestamptz": "coalesce({0}, now()) - interval '3 minutes'",
    "date": "{0} - 1",
}
"""For each type of a column another value than it has."""


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Checkpoints in a folder of the test's own: each database is another log."""
    monkeypatch.setenv("LEDGER_DIR", str(tmp_path / "ledger"))
    return replace(settings, ledger_dir=tmp_path / "ledger")


@pytest.fixture
def begun(portal: Portal) -> dict[str, str]:
    """Enforced, and one of them covered; the span that is certified."""
    owner = signed_in(portal, "dist-owner")
    begin = portal.clock.now()
    portal.clock.advance(minutes=4)
    enforce(owner, "dist", users=True)
    portal.clock.advance(minutes=4)
    enrolled(portal, "dist-support")
    portal.clock.advance(minutes=4)
    return {"from": begin.isoformat(), "to": portal.clock.now().isoformat()}


def certificate(portal: Portal, span: dict[str, str]) -> Any:
    token = portal.watchword.tokens.create(f"reviewer-{secrets.token_hex(4)}", ["audit"], "dist")
    headers = {"Authorization": f"Bearer {token}"}
    return portal.browser().http.get("/partners/dist/certificate", params=span, headers=headers)


def content(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name not in NOT_OF_THE_CONTENT}


def columns(portal: Portal) -> list[tuple[str, str, str]]:
    """Return table, name and type of each column of what pages read the past from."""
    query = """
        SELECT table_name, column_name, udt_name FROM information_schema.columns WHERE table_schema = 'public'
            AND table_name IN ('status_interval', 'policy_interval', 'adoption', 'user_status', 'partner_policy')"""
    with psycopg.connect(portal.watchword.settings.need("admin_database_url")) as owner:
        return [(str(row[0]), str(row[1]), str(row[2])) for row in owner.execute(query)]


def test_x112_no_column_of_any_view_changes_what_is_certified(portal: Portal, begun: dict[str, str]) -> None:
    right = content(certificate(portal, begun))
    assert right["totals"]["accounts"] > 3
    changed = 0
    with psycopg.connect(portal.watchword.settings.need("admin_database_url"), autocommit=True) as owner:
        for table, column, kind in columns(portal):
            name = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
            owner.execute(sql.SQL("CREATE TABLE kept AS TABLE {table}").format(**name))
            value = sql.SQL(OTHERWISE[kind]).format(name["column"])
            try:
                owner.execute(sql.SQL("UPDATE {table} SET {column} = {value}").format(**name, value=value))
                changed += 1
            except psycopg.errors.IntegrityError:
                pass  # the database itself refuses it
            assert content(certificate(portal, begun)) == right, (table, column)
            owner.execute(sql.SQL("DELETE FROM {table}").format(**name))
            assert content(certificate(portal, begun)) == right if table != "policy_interval" else True
            owner.execute(sql.SQL("INSERT INTO {table} SELECT * FROM kept").format(**name))
            owner.execute("DROP TABLE kept")
    assert changed > 20


def test_x112_positions_that_do_not_belong_to_the_instants_are_not_signed(
    portal: Portal, begun: dict[str, str]
) -> None:
    """The view that finds the positions of a span says that the log ended before the authenticator was set up."""
    portal.clock.advance(minutes=4)
    certificate(portal, begun)
    with psycopg.connect(portal.watchword.settings.need("admin_database_url")) as owner:
        owner.execute("DELETE FROM log_minute")
        owner.execute("INSERT INTO log_minute SELECT '2100-01-01', max(notification_id) - 2 FROM stored_events")
    answer = certificate(portal, begun)
    assert answer.status_code == 503, answer.text
    assert "watchword rebuild log_minute" in answer.json()["detail"]


def test_x112_a_certificate_is_checked_offline(portal: Portal, begun: dict[str, str], tmp_path: Path) -> None:
    whole, key = certificate(portal, begun).text, bootstrap.ledger(portal.watchword).notes.verifier
    file = tmp_path / "certificate.json"

    def checked(text: str) -> tuple[int, str]:
        file.write_text(text)
        done = subprocess.run(
            [sys.executable, CHECKER, file, "--key", key], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    status, said = checked(whole)
    assert (status, said.startswith("right: dist")) == (0, True), said
    document = json.loads(whole)
    document["totals"]["percent_covered"] = "100.0000"
    for wrong in (json.dumps(document), whole.replace("not_enrolled", "reset", 1), "{}", whole[:-1]):
        assert checked(wrong)[0] == 1


def test_x117_a_fact_that_is_older_than_one_before_it_is_remarked_on(portal: Portal, begun: dict[str, str]) -> None:
    nothing = {"count": 0, "first": []}
    remarks = content(certificate(portal, begun))["remarks"]
    assert remarks == {"times_out_of_order": nothing, "unreadable_facts": nothing}
    at = portal.clock.now() - timedelta(minutes=9)
    origin = Origin(actor="system", command_id="late", at=at)
    position = portal.watchword.store.append(Change("user_mfa:dist-admin", 0, [Enabled()], "dist"), origin=origin)
    found = content(certificate(portal, begun))["remarks"]["times_out_of_order"]
    assert (found["count"], found["first"][0]["position"]) == (1, position)
