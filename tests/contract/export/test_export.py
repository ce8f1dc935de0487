"""What is exported, in which shape, and how it is found in the log afterwards."""

import base64
import csv
import json
import os
import random
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import jsonschema_rs
import psycopg
import pytest

from api import exporting
from api.bootstrap import ledger
from api.export_formats import COLUMNS, FORMATS, NoParquet
from domain.facts import AuditExported
from handlers.ports import LedgerBroken
from tests.contract.export.desk import ROOT, Desk, proofs_of, records_of, verify
from tests.directory import PASSWORD
from tests.flows.steps import Mailbox, enforce, enrolled, give_code, signed_in, wrong_code
from tests.services import Portal


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_proved_by_somebody_who_has_only_the_files_and_the_public_line(desk: Desk, kind: str) -> None:
    until = desk.watchword.store.last_position()
    out = desk.export(kind)
    status, said = verify(out, desk.line)
    assert status == 0, said
    count = sum(each.tenant == "dist" for each in desk.watchword.store.read(0, 1000)) - 1
    assert f"\n{count} facts of " in said
    names = {f"facts.{kind}", "proofs.jsonl", "checkpoint.txt", "manifest.json", "manifest.sig"}
    assert {path.name for path in out.iterdir()} == names
    (recorded,) = desk.watchword.store.history("audit:dist")
    digest = exporting._listed(out / "manifest.json")["sha256"]
    assert recorded.fact == AuditExported(format=kind, after=0, until=until, facts=count, manifest_sha256=digest)
    assert recorded.actor == "operator"
    assert out.stat().st_mode & 0o077 == 0


def test_the_formats_say_the_same(desk: Desk) -> None:
    lines = records_of(desk.export("jsonl"))
    last = lines[-1]["position"]
    assert [tuple(each) for each in lines] == [COLUMNS] * len(lines)
    with (desk.export("csv", until=last) / "facts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    flat = [{**each, "data": json.loads(each["data"])} for each in rows]
    empty = [{name: "" if value is None else str(value) for name, value in each.items()} for each in lines]
    assert flat == [{**each, "data": line["data"]} for each, line in zip(empty, lines, strict=True)]
    events = [json.loads(each) for each in (desk.export("ocsf", until=last) / "facts.ocsf").read_text().splitlines()]
    assert [event["unmapped"] for event in events] == lines
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # noqa: PLC0415

    table = pq.read_table(desk.export("parquet", until=last) / "facts.parquet").to_pylist()
    at = [{**row, "at": row["at"].isoformat(), "data": json.loads(row["data"])} for row in table]
    assert at == [{**line, "at": datetime.fromisoformat(line["at"]).isoformat()} for line in lines]


def test_proofs_are_those_of_the_ledger_wherever_its_pages_end(desk: Desk) -> None:
    for _ in range(9):
        out = desk.export()
        book, (_, size, _, *_) = ledger(desk.watchword), (out / "checkpoint.txt").read_text().split("\n")
        note = book.notes.read((out / "checkpoint.txt").read_text())
        assert note
        assert note.checkpoint.size == int(size)
        for each in proofs_of(out):
            found = book.inclusion(each["position"], note.checkpoint)
            assert found
            assert each["leaf_number"] == found.number
            assert base64.b64decode(each["leaf"]) == found.leaf
            assert [base64.b64decode(one) for one in each["proof"]] == list(found.proof)


def test_a_span_is_cut_by_positions(desk: Desk) -> None:
    whole = [each["position"] for each in records_of(desk.export())]
    chance = random.Random(7)
    for _ in range(8):
        after, until = sorted(chance.sample(range(whole[-1] + 1), 2))
        out = desk.export(after=after, until=until)
        assert [each["position"] for each in records_of(out)] == [each for each in whole if after < each <= until]
        assert verify(out, desk.line)[0] == 0
    last = desk.watchword.store.last_position()
    assert json.loads((desk.export(until=10**9) / "manifest.json").read_text())["until"] == last, (
        "no further than is signed"
    )
    nothing = desk.export(after=whole[-1] + 10_000)
    assert records_of(nothing) == []
    assert verify(nothing, desk.line)[0] == 0


@pytest.mark.parametrize(("statement", "said"), [
    ("UPDATE stored_events SET state = state || ' '::bytea WHERE notification_id = %s", "position {} is not"),
    ("DELETE FROM stored_events WHERE notification_id = %s", "position {} is not"),
    ("UPDATE ledger_leaf SET hashes = set_byte(hashes, 0, 255 - get_byte(hashes, 0)) WHERE position = %s + 1", "position "),
    ("DELETE FROM ledger_leaf WHERE position = %s", "lacks a leaf"),
])  # fmt: skip
def test_a_database_that_was_changed_gives_no_export(desk: Desk, statement: str, said: str) -> None:
    desk.checkpoint()
    position = desk.watchword.store.history("user_mfa:dist-owner")[3].position
    with psycopg.connect(desk.watchword.settings.need("admin_database_url")) as owner:
        for table in ("stored_events", "ledger_leaf"):
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        owner.execute(statement, (position,))
    before = desk.watchword.store.last_position()
    with pytest.raises(LedgerBroken, match=said.format(position)):
        desk.export()
    assert not list(desk.folder.glob("*export*"))
    assert desk.watchword.store.last_position() == before


def test_without_the_package_for_parquet_there_is_a_sentence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NoParquet, match="pip install pyarrow"):
        desk.export("parquet")
    assert not list(desk.folder.glob("*export*"))


def test_a_story_is_exported_at_the_console_without_names_addresses_and_secrets(
    portal: Portal, tmp_path: Path, validators: dict[int, jsonschema_rs.Validator]
) -> None:
    owner, (person, key) = signed_in(portal, "dist-owner"), enrolled(portal, "dist-support")
    enforce(owner, "dist", users=True)
    person.sign_in("dist-support@mail.example", PASSWORD)
    person.post("/sign-in/code", {"code": wrong_code(portal, key)})
    give_code(portal, person, key)
    person.post("/accounts/dist-owner/mfa/reset", {})
    owner.post("/accounts/dist-support/mfa/reset", {"reason": "lost phone"})
    Mailbox().deliver(portal)
    ours = {
        "DATABASE_URL": portal.watchword.settings.need("database_url"),
        "DATA_DIR": str(portal.watchword.settings.data_dir),
        "LEDGER_DIR": str(tmp_path / "ledger"),
    }

    def console(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "api.cli", "audit", *words]
        result = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **ours}, capture_output=True, text=True, check=False, timeout=60
        )
        assert "Traceback" not in result.stderr
        return result.returncode, result.stdout + result.stderr

    older = tmp_path / "older.txt"
    older.write_text(console("checkpoint")[1])
    line = console("key")[1].strip()
    for kind in FORMATS:
        out = tmp_path / kind
        status, said = console(
            "export", "--partner", "dist", "--format", kind, "--out", str(out), "--against", str(older)
        )
        assert (status, line in said) == (0, True), said
        status, said = verify(out, line, "--checkpoint", str(older))
        assert status == 0, said
    told = "".join(path.read_text() for kind in ("jsonl", "csv", "ocsf") for path in (tmp_path / kind).iterdir())
    told += "".join(base64.b64decode(each["leaf"]).decode("latin-1") for each in proofs_of(tmp_path / "jsonl"))
    assert "lost phone" in told
    assert not re.search(rf"@|mail\.example|{PASSWORD}|{key.replace(' ', '')}|Dist Support|Dist Owner", told)
    events = [json.loads(each) for each in (tmp_path / "ocsf" / "facts.ocsf").read_text().splitlines()]
    assert {event["class_uid"] for event in events} == set(validators)
    assert all(validators[event["class_uid"]].is_valid(event) for event in events)
    facts = [each.fact for each in portal.watchword.store.history("audit:dist")]
    assert [fact.format for fact in facts if isinstance(fact, AuditExported)] == list(FORMATS)
    new, foreign = str(tmp_path / "new"), str(tmp_path / "jsonl" / "manifest.sig")
    assert console("export", "--partner", "dist", "--out", str(tmp_path / "csv"))[0] == 2
    assert console("export", "--partner", "nobody", "--out", new)[0] == 2
    assert console("export", "--partner", "dist", "--out", new, "--against", foreign)[0] == 2
    assert console("export", "--partner", "dist", "--out", new, "--from", "9", "--to", "8")[0] == 2
    assert not (tmp_path / "new").exists()
