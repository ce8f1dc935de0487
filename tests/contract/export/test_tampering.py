"""An export is checked by somebody who has nothing of ours but a public line: whatever was changed is found."""

# ruff: noqa: ARG001 every tampering takes records and proofs

import base64
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from api.bootstrap import LEDGER_KEY
from api.export_formats import FORMATS
from domain.merkle import leaf_hash
from handlers.adapters.notes import NoteKey
from handlers.ports import Note
from tests.contract.export.desk import Desk, proofs_of, records_of, verify, write_lines

FILES = ("facts", "proofs.jsonl", "checkpoint.txt", "consistency.json", "manifest.json", "manifest.sig")
SAMPLES = 12
"""Tamperings of each file of each format."""


@pytest.mark.parametrize("kind", FORMATS)
def test_any_byte_of_any_file_that_is_changed_is_found(desk: Desk, kind: str) -> None:
    older = desk.checkpoint()
    desk.append("user_mfa:dist-owner")
    out = desk.export(kind, older=older)
    kept = desk.folder / "kept.txt"
    kept.write_text(older.text)
    line = desk.line
    assert verify(out, line, "--checkpoint", str(kept))[0] == 0
    chance = random.Random(f"export {kind}")
    for file in FILES:
        path = out / (f"facts.{kind}" if file == "facts" else file)
        right = path.read_bytes()
        for _ in range(SAMPLES):
            at, bit, how = (
                chance.randrange(len(right)),
                1 << chance.randrange(8),
                chance.choice(["change", "delete", "add"]),
            )
            new = {
                "change": right[:at] + bytes([right[at] ^ bit]) + right[at + 1 :],
                "delete": right[:at] + right[at + 1 :],
                "add": right[: at + 1] + right[at : at + 1] + right[at + 1 :],
            }[how]
            path.write_bytes(new)
            status, said = verify(out, line)
            assert (status, said[:6]) == (1, "WRONG:"), (file, how, at)
        path.write_bytes(right)
    assert verify(out, line)[0] == 0


def dropped(number: int) -> Callable[[list[Any], list[Any]], None]:
    def drop(records: list[Any], proofs: list[Any]) -> None:
        del records[number], proofs[number]

    return drop


def swapped(records: list[Any], proofs: list[Any]) -> None:
    records[5], records[9] = records[9], records[5]


def numbered_beyond_the_log(records: list[Any], proofs: list[Any]) -> None:
    proofs[-1]["leaf_number"] += 1_000_000


def both_swapped(records: list[Any], proofs: list[Any]) -> None:
    swapped(records, proofs)
    proofs[5], proofs[9] = proofs[9], proofs[5]


def proof_exchanged(records: list[Any], proofs: list[Any]) -> None:
    proofs[5]["proof"], proofs[9]["proof"] = proofs[9]["proof"], proofs[5]["proof"]


def leaf_exchanged(records: list[Any], proofs: list[Any]) -> None:
    for name in ("leaf", "proof", "leaf_number"):
        proofs[5][name] = proofs[6][name]


def leaf_changed(records: list[Any], proofs: list[Any]) -> None:
    leaf = base64.b64decode(proofs[-1]["leaf"]).replace(b"account:acc-1", b"account:acc-2")
    proofs[-1]["leaf"] = base64.b64encode(leaf).decode()
    records[-1]["actor"] = "account:acc-2"


def doubled(records: list[Any], proofs: list[Any]) -> None:
    records.insert(5, records[5])
    proofs.insert(5, proofs[5])


def added(records: list[Any], proofs: list[Any]) -> None:
    records.append(records[-1])


def left_out(records: list[Any], proofs: list[Any]) -> None:
    del records[-1]


def told_otherwise(name: str, value: Any) -> Callable[[list[Any], list[Any]], None]:
    def tell(records: list[Any], proofs: list[Any]) -> None:
        assert records[-1][name] != value
        records[-1][name] = value

    return tell


WRONGS: dict[str, tuple[Callable[[list[Any], list[Any]], None], str]] = {
    "a record in another's place": (swapped, "does not say what its leaf says"),
    "two facts in each other's place": (both_swapped, "out of order"),
    "a number beyond the log": (numbered_beyond_the_log, "its leaf has a number out of order"),
    "another's proof": (proof_exchanged, "the proof does not lead to the checkpoint"),
    "another's leaf": (leaf_exchanged, "the leaf is another fact's"),
    "a leaf and its record changed": (leaf_changed, "the proof does not lead to the checkpoint"),
    "a fact twice": (doubled, "is doubled"),
    "a record too many": (added, "more records than there are proofs"),
    "a record too few": (left_out, "does not say what its leaf says"),
    "a fact within a stream left out": (dropped(-5), "before it was left out"),
    "the first fact of a stream left out": (dropped(0), "facts, but "),
    "the last fact left out": (dropped(-1), "facts, but "),
    "another actor": (told_otherwise("actor", "account:acc-9"), "does not say what its leaf says"),
    "another time": (told_otherwise("at", "2026-03-02T12:00:00+00:00"), "does not say what its leaf says"),
    "another person": (told_otherwise("account_id", "dist-support"), "does not say what its leaf says"),
    "another fact": (told_otherwise("data", {"purpose": "setup"}), "does not say what its leaf says"),
    "no words": (told_otherwise("what", None), "does not say what its leaf says"),
}
"""What somebody could do who has the deployment's key and signs the manifest again."""


@pytest.mark.parametrize("wrong", WRONGS)
def test_who_has_the_key_as_well_still_cannot_change_what_the_log_says(desk: Desk, wrong: str) -> None:
    out = desk.export()
    records, proofs = records_of(out), proofs_of(out)
    tamper, sentence = WRONGS[wrong]
    tamper(records, proofs)
    write_lines(out / "facts.jsonl", records)
    write_lines(out / "proofs.jsonl", proofs)
    desk.sign_again(out)
    status, said = verify(out, desk.line)
    assert status == 1
    assert sentence in said


@pytest.mark.parametrize(("kind", "old", "new"), [
    ("csv", "account:acc-1", "account:acc-3"),
    ("csv", "user_mfa:dist-owner", "user_mfa:dist-other"),
    ("csv", "Signed in with a code,", ","),
    ("ocsf", '"uid":"account:acc-1"', '"uid":"account:acc-3"'),
    ("ocsf", '"actor":"account:acc-1"', '"actor":"account:acc-3"'),
    ("ocsf", '"time":17', '"time":18'),
    ("ocsf", '"user":{"uid":"dist-owner"}', '"user":{"uid":"dist-admin"}'),
    ("ocsf", '"message":"Signed in with a code"', '"message":"Wrong code"'),
])  # fmt: skip
def test_so_it_is_with_other_formats(desk: Desk, kind: str, old: str, new: str) -> None:
    out = desk.export(kind)
    path = out / f"facts.{kind}"
    desk.sign_again(out)
    assert verify(out, desk.line)[0] == 0
    content = path.read_text()
    assert old in content
    at = content.rindex(old)
    path.write_text(content[:at] + new + content[at + len(old) :])
    desk.sign_again(out)
    status, said = verify(out, desk.line)
    expected = 0 if new == "," else 1
    assert (status, "does not say what its leaf says" in said) == (expected, expected == 1), said


def test_another_key_a_shortened_a_missing_and_a_strange_file_are_found(desk: Desk) -> None:
    out = desk.export()
    other = desk.folder / "other" / "ledger.key"
    NoteKey.create(other)
    assert "is not signed with the name" in verify(out, NoteKey(other).verifier.line)[1]
    assert verify(out, desk.line[:-4] + "AAA=")[0] == 1
    as_file = desk.folder / "key.txt"
    as_file.write_text(desk.line + "\n")
    assert verify(out, str(as_file))[0] == 0
    for path in sorted(out.iterdir()):
        right = path.read_bytes()
        for wrong in (right[: len(right) // 2], right[:-1], b""):
            path.write_bytes(wrong)
            assert verify(out, desk.line)[0] == 1, path
        path.unlink()
        assert path.name in verify(out, desk.line)[1]
        path.write_bytes(right)
    (out / "facts.csv").write_text("position\n")
    assert verify(out, desk.line) == (1, "WRONG: facts.csv is not in the manifest\n")


def test_what_the_manifest_says_of_the_whole_is_held_against_it(desk: Desk) -> None:
    out = desk.export(after=3)
    right = json.loads((out / "manifest.json").read_text())
    for name, value in (
        ("partner", "dist2"), ("after", right["last"]), ("until", right["last"] - 1), ("facts", right["facts"] + 1),
        ("last", right["last"] + 1), ("format", "watchword-export-2"), ("files", right["files"][1:]),
        ("checkpoint", {**right["checkpoint"], "size": right["checkpoint"]["size"] + 1}), ("records", "csv"),
    ):  # fmt: skip
        (out / "manifest.json").write_text(json.dumps({**right, name: value}))
        desk.sign_again(out)
        assert verify(out, desk.line)[0] == 1, name


def test_a_kept_checkpoint_shows_that_the_log_went_on_from_it(desk: Desk) -> None:
    kept = desk.folder / "kept.txt"
    older = desk.checkpoint()
    for _ in range(5):
        older = desk.checkpoint()
        kept.write_text(older.text)
        desk.append("user_mfa:dist-owner", "user_mfa:dist-admin", "user_mfa:dist-owner")
        status, said = verify(desk.export(older=older), desk.line, "--checkpoint", str(kept))
        assert (status, "the log goes on from kept.txt" in said) == (0, True), said
    plain = desk.export()
    assert "--against" in verify(plain, desk.line, "--checkpoint", str(kept))[1]
    kept.write_text((plain / "checkpoint.txt").read_text())
    assert verify(plain, desk.line, "--checkpoint", str(kept))[0] == 0
    key = NoteKey(desk.watchword.settings.kek_file.with_name(LEDGER_KEY))
    forged = Note(replace(older.checkpoint, root=leaf_hash(b"x")), "")
    kept.write_text(key.sign(forged.checkpoint.text()))
    out = desk.export(older=older)
    assert "about another checkpoint" in verify(out, desk.line, "--checkpoint", str(kept))[1]
    consistency = json.loads((out / "consistency.json").read_text())
    (out / "consistency.json").write_text(json.dumps({**consistency, "older": kept.read_text()}))
    desk.sign_again(out)
    assert "does not go on from kept.txt" in verify(out, desk.line, "--checkpoint", str(kept))[1]
