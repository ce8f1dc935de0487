"""What operators do at the same moment, or while a file is taken: it is decided again, or it ends with a sentence."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from api.bootstrap import Watchword
from api.cli.importing import take_file
from domain.directory import AccountIsErased
from domain.facts import Locked
from domain.kernel import Fact
from handlers import directory
from handlers.callers import mfa_of, secrets_ended
from handlers.identity_providers import OPERATOR, DomainLine, ProviderLine, add, set_domain
from handlers.ports import Change, Conflict, SessionEnded
from handlers.sessions import opened
from tests.contract.plugs import at_once
from tests.directory import PASSWORD
from tests.flows.steps import enrolled
from tests.flows.test_console import watchword as console
from tests.flows.test_import import account, end_user, jsonl, organization
from tests.services import Portal, by_operator

ROOT = Path(__file__).parents[2]
PEOPLE = 2_400
"""Several batches."""


def test_x27_providers_and_domains_that_are_set_at_once_are_decided_again(watchword: Watchword) -> None:
    fields: dict[str, Any] = {"kind": "openid", "issuer": "https://idp.example", "name": "Own", "client_id": "portal"}
    line = ProviderLine(id="own", partner="dist", **fields)

    def act(number: int) -> bool:
        origin, s = by_operator(watchword), watchword.sockets
        if number % 2:
            return add(line, OPERATOR, origin, s)
        domain = DomainLine(name=f"d{number}.example", partner="dist")
        return set_domain(domain, proved=True, origin=origin, s=s)

    changed = at_once(24, act)
    assert sum(changed[1::2]) == 1, "one added the provider, and all others found it there"
    assert all(changed[::2])


def test_x27_a_password_that_is_set_while_the_address_changes_belongs_to_the_new_address(
    watchword: Watchword, tmp_path: Path
) -> None:
    query = "SELECT n.mail_key, c.mail_key AS of FROM person n JOIN credential c USING (credential_id) WHERE account_id = %s"
    take_file(jsonl(tmp_path, account("mover", password=PASSWORD)), watchword)
    for number in range(4):
        path = jsonl(tmp_path, account("mover", email=f"m{number}@mail.example"))

        def act(which: int, path: Path = path) -> object:
            if which:
                return directory.set_password("mover", "a longer password", by_operator(watchword), watchword.sockets)
            return take_file(path, watchword)

        at_once(8, act)
        row = watchword.database.one(query, ("mover",))
        assert row is not None
        assert row["mail_key"] == row["of"]


def test_x27_a_password_that_is_set_beside_an_erasure_leaves_nothing_of_the_person(watchword: Watchword) -> None:
    """Whichever is first: no password stays behind that belongs to nobody."""
    orphans = "SELECT FROM credential c WHERE NOT EXISTS (SELECT FROM person p WHERE p.credential_id = c.credential_id)"
    s = watchword.sockets

    def act(number: int) -> None:
        with suppress(AccountIsErased):
            if number:
                directory.erase("dist-support", by_operator(watchword), s)
            else:
                directory.set_password("dist-support", "a longer password", by_operator(watchword), s)

    at_once(2, act)
    assert watchword.database.all(orphans) == []
    with pytest.raises(AccountIsErased):
        directory.set_password("dist-support", "a longer password", by_operator(watchword), s)
    assert watchword.database.all(orphans) == []


def test_x27_a_token_whose_name_is_taken_is_refused_with_a_sentence(portal: Portal) -> None:
    words = ("tokens", "create", "portal", "--scope", "read", "--partner", "dist")
    console(portal, *words)
    assert "choose another name" in " ".join(console(portal, *words, status=2).replace("│", " ").split())


def test_x34_a_code_beside_the_end_of_its_account_finds_the_sign_in_ended(portal: Portal) -> None:
    enrolled(portal, "dist-support")
    s = portal.watchword.sockets
    person, ref = s.people.account("dist-support"), mfa_of("dist-support", s)[0].secret_ref
    assert person is not None
    assert ref is not None
    directory.erase("dist-support", by_operator(portal.watchword), s)
    with pytest.raises(SessionEnded):
        opened(ref, person, s)


def test_x34_a_code_beside_the_one_that_kills_the_authenticator_is_decided_again(portal: Portal) -> None:
    enrolled(portal, "dist-support")
    s = portal.watchword.sockets
    person = s.people.account("dist-support")
    mfa, version = mfa_of("dist-support", s)
    assert person is not None
    assert mfa.secret_ref is not None
    facts: list[Fact] = [Locked(until=None)]
    change = Change("user_mfa:dist-support", version, facts, "dist")
    rows = secrets_ended(mfa, facts, "dist-support")
    s.store.append(change, origin=by_operator(portal.watchword), rows=rows)
    with pytest.raises(Conflict):
        opened(mfa.secret_ref, person, s)


def test_x26_an_import_that_is_interrupted_is_completed_by_the_same_file(watchword: Watchword, tmp_path: Path) -> None:
    """Every address is handed on, in rings of three whose lines lie far apart."""

    def write(turn: int) -> Path:
        third = PEOPLE // 3
        holders = [(n + turn * third) % PEOPLE for n in range(PEOPLE)]
        people = [end_user(f"p{n}", "one", email=f"a{holders[n]}@moves.example") for n in range(PEOPLE)]
        return jsonl(tmp_path, organization("one", "dist"), *people)

    assert take_file(write(0), watchword).errors == []
    path, before = write(1), watchword.store.last_position()
    environ = {**os.environ, "DATABASE_URL": watchword.settings.need("database_url")}
    environ |= {"DATA_DIR": str(watchword.settings.data_dir), "WATCHWORD_KEK_FILE": str(watchword.settings.kek_file)}
    command = [sys.executable, "-m", "api.cli", "import", str(path)]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as importing:
        while watchword.store.last_position() == before and importing.poll() is None:
            pass
        importing.send_signal(signal.SIGINT)
        _, said = importing.communicate(timeout=60)
    assert importing.returncode, "the import ended before it was interrupted"
    assert "Traceback" not in said, said
    rest = take_file(path, watchword)
    assert rest.errors == []
    assert 0 < rest.changed < PEOPLE
    held = watchword.database.all("SELECT account_id, mail_key FROM person WHERE place = 'organization:one'")
    assert {row["account_id"]: row["mail_key"] for row in held} == {
        f"p{n}": f"a{(n + PEOPLE // 3) % PEOPLE}@moves.example" for n in range(PEOPLE)
    }
