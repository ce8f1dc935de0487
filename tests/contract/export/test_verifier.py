"""The reviewer's program by itself: it stands alone, and what it reads has one reading."""

import ast
import base64
import hashlib
import importlib.util
import json
import string
import sys
from types import ModuleType

import pytest

from handlers.ports import StoredFact
from tests.contract.export.desk import VERIFIER, Desk, proofs_of, verify


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_export", VERIFIER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_verifier_shares_nothing_with_watchword_and_is_short() -> None:
    tree = ast.parse(VERIFIER.read_text())
    names = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    names |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "cryptography"}
    assert len(VERIFIER.read_text().splitlines()) < 300


def test_one_signature_has_one_text(desk: Desk) -> None:
    """The last letter before the padding has bits that belong to no byte."""
    path = desk.export() / "manifest.sig"
    right = path.read_text()
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    at = right.rindex("=") - 1
    loose = right[:at] + letters[letters.index(right[at]) ^ 1] + right[at + 1 :]
    signature, same = (text.rpartition(" ")[2] for text in (right, loose))
    assert base64.b64decode(signature) == base64.b64decode(same)
    path.write_text(loose)
    assert verify(path.parent, desk.line)[0] == 1


def test_a_leaf_is_read_to_its_last_byte(desk: Desk) -> None:
    program = loaded()
    leaf = base64.b64decode(proofs_of(desk.export())[0]["leaf"])
    assert program.said_by(leaf)["position"] == 1
    for wrong in (b"\x02" + leaf[1:], leaf[:-1], leaf + b"\x00" * 4, leaf + b"\x00", b"\x01", b""):
        with pytest.raises((program.Wrong, ValueError)):
            program.said_by(wrong)
    with pytest.raises(program.Wrong):
        program.said_by(StoredFact(1, "user_mfa:x", 1, None, leaf).leaf())


def test_a_key_whose_parts_do_not_belong_together_is_refused(desk: Desk) -> None:
    program = loaded()
    name, given, key = desk.line.split("+", 2)
    other = b"\x02" + base64.b64decode(key)[1:]
    hashed = hashlib.sha256(name.encode() + b"\n" + other).digest()[:4].hex()
    assert program.Key(desk.line).name == name
    for wrong in (
        f"{name}x+{given}+{key}",
        f"{name}+{given[::-1]}+{key}",
        f"{name}+{hashed}+{base64.b64encode(other).decode()}",
    ):
        with pytest.raises(program.Wrong, match="belong together"):
            program.Key(wrong)


def test_a_note_says_by_whom_it_is_signed_and_what_it_is(desk: Desk) -> None:
    out = desk.export()
    note = (out / "manifest.sig").read_text()
    assert "manifest.sig is not a checkpoint" in verify(out, desk.line, "--checkpoint", str(out / "manifest.sig"))[1]
    signature = base64.b64decode(note.rpartition(" ")[2])
    for wrong, said in (
        (note.replace("— ", "- "), "not signed with the name"),
        (note.rstrip("\n"), "not signed with the name"),
        (
            note.replace(base64.b64encode(signature).decode(), base64.b64encode(b"none" + signature[4:]).decode()),
            "another key",
        ),
    ):
        (out / "manifest.sig").write_text(wrong)
        assert said in verify(out, desk.line)[1]


def test_a_file_that_is_missing_is_named_whether_or_not_it_is_listed(desk: Desk) -> None:
    out = desk.export()
    (out / "checkpoint.txt").unlink()
    assert verify(out, desk.line)[1] == "WRONG: checkpoint.txt is missing\n"
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"] = [each for each in manifest["files"] if each["name"] != "checkpoint.txt"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    desk.sign_again(out)
    assert verify(out, desk.line)[1] == "WRONG: the manifest does not list checkpoint.txt\n"
