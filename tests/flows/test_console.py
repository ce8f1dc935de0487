"""The console command, as an operator uses it: a process of its own beside a running portal."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from projections.views import VIEWS
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, give_code, reason, signed_in
from tests.services import Portal


def watchword(portal: Portal, *words: str, given: str = "", status: int = 0) -> Any:
    settings = portal.watchword.settings
    environ = {
        **os.environ,
        "DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url or "",
        "PORT": str(settings.port),
    }
    command = [sys.executable, "-m", "api.cli", *words]
    result = subprocess.run(command, env=environ, input=given, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == status, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return json.loads(result.stdout[result.stdout.index("{") :]) if "--json" in words else result.stdout + result.stderr


def test_an_operator_looks_after_accounts(portal: Portal) -> None:
    person, key = enrolled(portal, "dist-support")
    listed = watchword(portal, "accounts", "list", "--partner", "dist", "--json")["accounts"]
    assert {row["partner_id"] for row in listed} == {"dist"}
    watchword(portal, "accounts", "set-password", "dist-support", given="a new and longer password\n")
    assert reason(person.get("/me/mfa")) == (401, "session_ended"), "a new password ends the sessions"
    person.session()
    answer = person.post("/sign-in", {"email": address("dist-support"), "password": PASSWORD})
    assert reason(answer) == (401, "wrong_credentials")
    person.sign_in(address("dist-support"), "a new and longer password")
    assert give_code(portal, person, key).status_code == 200, "the authenticator is kept"
    watchword(portal, "accounts", "disable", "dist-support")
    assert reason(person.get("/me/mfa")) == (401, "session_ended")
    watchword(portal, "accounts", "restore", "dist-support")
    assert watchword(portal, "accounts", "unlock", "nobody", status=1) == "watchword: refused: unknown account\n"


def test_an_erased_person_is_forgotten_and_the_history_stays(portal: Portal) -> None:
    enrolled(portal, "dist-support")
    history = len(portal.watchword.store.history("user_mfa:dist-support"))
    kept = portal.watchword.settings.data_dir / "kept-elsewhere.txt"
    kept.write_text(watchword(portal, "audit", "checkpoint"))
    watchword(portal, "accounts", "erase", "dist-support")
    for table in ("person", "data_key", "secret", "session"):
        query = f"SELECT FROM {table} WHERE account_id = %s"
        assert portal.watchword.database.one(query, ("dist-support",)) is None, table
    assert len(portal.watchword.store.history("user_mfa:dist-support")) == history
    owner = signed_in(portal, "dist-owner")
    position = portal.watchword.store.last_position()
    listed = owner.get("/partners/dist/users", min_position=position, limit=200).json()["items"]
    assert "dist-support" not in {row["account_id"] for row in listed}
    assert "views" in watchword(portal, "verify", "--json")
    assert watchword(portal, "audit", "verify", "--full", "--json")["right"], "nothing of the log was touched"
    watchword(portal, "audit", "verify", "--against", str(kept))


@pytest.mark.parametrize("view", list(VIEWS))
def test_views_are_proved_and_rebuilt(portal: Portal, view: str) -> None:
    enrolled(portal, "dist-support")
    watchword(portal, "rebuild", view)
    proved = watchword(portal, "verify", "--json")["views"]
    assert all(each["equal"] for each in proved)
    assert watchword(portal, "verify", "--json")["views"] == proved, "the checksums are those of the same rows"
    if view == "user_status":
        portal.watchword.database.run("UPDATE user_status SET factor = 'none' WHERE account_id = 'dist-support'")
        assert "1 rows missing, 1 rows too many" in watchword(portal, "verify", status=1)
        watchword(portal, "rebuild", view)
        watchword(portal, "verify")
    assert "there is no view nothing" in watchword(portal, "rebuild", "nothing", status=2)


def test_keys_are_rotated_while_people_sign_in(portal: Portal) -> None:
    person, key = enrolled(portal, "dist-support")
    assert watchword(portal, "keys", "rotate", "--json")["rewrapped"] == 1
    person.sign_in(address("dist-support"), PASSWORD)
    assert give_code(portal, person, key).status_code == 200


def test_tokens_are_made_and_revoked(portal: Portal) -> None:
    made = watchword(portal, "tokens", "create", "crm", "--scope", "read", "--partner", "dist", "--json")
    browser = portal.browser(headers={"Authorization": f"Bearer {made['token']}"})
    assert browser.get("/partners/dist/users").status_code == 200
    watchword(portal, "tokens", "revoke", "crm")
    assert reason(browser.get("/partners/dist/users")) == (401, "session_ended")
    assert "a scope is read, write or audit" in watchword(
        portal, "tokens", "create", "x", "--scope", "god", "--partner", "dist", status=2
    )


def test_reviewers_ask_what_happened_and_how_it_stood(portal: Portal) -> None:
    owner = signed_in(portal, "dist-owner")
    before = portal.watchword.store.last_position()
    enrolled(portal, "dist-support")
    end = owner.post("/accounts/dist-support/mfa/reset", {"reason": "lost phone"}).json()["position"]
    owner.get("/partners/dist/audit", min_position=end)
    items = watchword(portal, "audit", "log", "--partner", "dist", "--account", "dist-support", "--json")["items"]
    assert items[0]["what"] == "MFA reset by an administrator (lost phone)"
    assert "lost phone" in watchword(portal, "audit", "log", "--partner", "dist", "--from", str(before))
    now = watchword(portal, "audit", "account", "dist-support", "--json")
    past = watchword(portal, "audit", "account", "dist-support", "--as-of", str(end - 1), "--json")
    assert (past["factor"], now["factor"]) == ("active", "pending")
    users = watchword(portal, "audit", "as-of", str(end - 1), "--partner", "dist", "--json")
    assert next(each for each in users["users"] if each["account_id"] == "dist-support")["mfa_status"] == "Active"
    looked = [each for each in portal.watchword.store.history("audit:dist") if each.actor == "operator"]
    assert len(looked) == 1, "that an operator looked is known, too"
    assert "there is no partner nobody" in watchword(portal, "audit", "log", "--partner", "nobody", status=2)
    assert "--as-of" in watchword(portal, "audit", "as-of", "2199-01-01", "--partner", "dist", status=2)
    assert "not there yet" in watchword(portal, "audit", "account", "dist-support", "--as-of", "1", status=2)
