"""Signed notes: those of other programs are read, and none can be changed, moved, added or taken away."""

import random
from base64 import b64decode
from pathlib import Path

import pytest

from handlers.adapters.notes import NoteKey, Verifier
from handlers.ports import LedgerBroken, Note
from tests.contract.ledger.book import Book
from tests.contract.plugs import at_once

BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def test_every_change_of_the_file_is_found(full: Book) -> None:
    content = full.file.read_bytes()
    for seed in range(150):
        full.file.write_bytes(bent(content, random.Random(seed)))
        found = full.check(full=seed % 2 == 0)
        assert {"line", "lost"} & set(found.findings), (seed, found)
    full.file.write_bytes(content)
    assert full.check().findings == {}


def bent(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    lines = content.splitlines(keepends=True)
    row = chance.randrange(len(lines))
    match chance.randrange(7):
        case 0:
            return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
        case 1:
            return content[:at] + content[at + 1 :]
        case 2:
            return content[:at] + chance.randbytes(1) + content[at:]
        case 3:
            return content[:at]
        case 4:
            return b"".join(lines[:row] + lines[row + 1 :])
        case 5:
            return b"".join([*lines[:row], lines[row], *lines[row:]])
        case _:
            note = row // 6 * 6
            return b"".join(lines[:note] + lines[note + 6 :])


def test_a_note_has_one_spelling(full: Book) -> None:
    """No byte of it can be another one, although several texts decode to the same bytes in base64."""
    notes = full.ledger().notes
    note = notes.last()
    assert note
    assert notes.read(note.text) == note
    content = note.text.encode()
    for at in range(len(content)):
        for other in {content[at] ^ 1 << bit for bit in range(8)} | set(b"AQgw+/=\n ") - {content[at]}:
            spelled = content[:at] + bytes([other]) + content[at + 1 :]
            assert notes.read(spelled.decode(errors="replace")) is None, spelled
    last = content.rindex(b"=")
    same = [content[: last - 1] + bytes([each]) + content[last:] for each in BASE64]
    decoded = b64decode(content[content.rindex(b" ") + 1 :])
    same = [each for each in same if b64decode(each[each.rindex(b" ") + 1 :]) == decoded]
    assert len(same) == 4
    assert [each for each in same if notes.read(each.decode())] == [content]


def test_our_key_does_not_make_a_checkpoint_of_every_text(full: Book) -> None:
    notes, key = full.ledger().notes, NoteKey(full.folder / "keys" / "ledger.key")
    root = "A" * 43 + "="
    assert notes.read(key.sign(f"{notes.origin}\n5\n{root}\n"))
    others = (
        "other\n5\n{root}",
        "{origin}\n05\n{root}",
        "{origin}\n5\n{root}\nmore",
        "{origin}\n5",
        "{origin}\n-\n{root}",
    )
    for other in others:
        assert notes.read(key.sign(other.format(origin=notes.origin, root=root) + "\n")) is None


@pytest.mark.parametrize("line", [1, 3, 5])
def test_a_missing_line_spoils_its_own_note_alone(full: Book, line: int) -> None:
    lines = full.file.read_bytes().splitlines(keepends=True)
    full.file.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    found = full.check()
    assert (found.findings["line"].line, found.checkpoints) == (1, 4)


def test_a_file_without_its_last_line_end_was_changed(full: Book) -> None:
    full.file.write_bytes(full.file.read_bytes()[:-1])
    assert full.check().findings["line"].line == 25


def test_a_file_that_was_changed_does_not_hide_that_the_database_was(full: Book) -> None:
    full.file.write_bytes(full.file.read_bytes().replace(b"\n9\n", b"\n8\n"))
    full.own("DELETE FROM stored_events", "DELETE FROM ledger_leaf", "DELETE FROM ledger_checkpoint")
    assert set(full.check().findings) == {"copy", "line", "short"}


def test_a_note_in_another_place_or_of_another_key_is_found(full: Book) -> None:
    content = full.file.read_bytes()
    blocks = [b"".join(content.splitlines(keepends=True)[at : at + 6]) for at in range(0, 30, 6)]
    full.file.write_bytes(b"".join([blocks[1], blocks[0], *blocks[2:]]))
    assert {"line", "lost"} <= set(full.check().findings)
    NoteKey.create(full.folder / "other.key")
    key, other = NoteKey(full.folder / "keys" / "ledger.key"), NoteKey(full.folder / "other.key")
    text = key.verifier.open(blocks[4][:-1].decode())
    for forged in (other.sign(text), other.sign(text).replace(other.verifier.name, key.verifier.name)):
        full.file.write_bytes(b"".join([*blocks[:4], f"{forged}\n".encode()]))
        assert full.check().findings["line"].line == 25
        with pytest.raises(LedgerBroken, match="restore the file"):
            full.ledger().sign()


def test_a_file_that_is_gone_is_missed(full: Book) -> None:
    full.file.unlink()
    assert list(full.check().findings) == ["lost"]


def test_a_key_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ledger.key"

    def make(_: int) -> str:
        NoteKey.create(path)
        return NoteKey(path).verifier.line

    assert len(set(at_once(8, make))) == 1
    content = path.read_text()
    NoteKey.create(path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == (content, 0o600)
    assert [each.name for each in path.parent.iterdir()] == ["ledger.key"]
    path.chmod(0o640)
    with pytest.raises(LedgerBroken, match="chmod 600"):
        NoteKey(path)
    path.chmod(0o600)
    path.write_text("PRIVATE+KEY+nothing")
    for wrong, word in ((path, "restore"), (tmp_path / "none", "missing")):
        with pytest.raises(LedgerBroken, match=word):
            NoteKey(wrong)


NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
WORDS = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


def test_a_note_is_one_that_other_programs_read() -> None:
    """The example of Go's package golang.org/x/mod/sumdb/note."""
    verifier = Verifier(NEUMANN)
    assert verifier.open(f"{WORDS}\n— PeterNeumann {SIGNED}\n") == WORDS
    assert verifier.key_hash.hex() == "c74f20a3"
    for bad in (NEUMANN[:-1], NEUMANN.replace("c74", "c75"), NEUMANN.replace("Peter", "Paul"), "", "a+b+c"):
        with pytest.raises(LedgerBroken):
            Verifier(bad)


def test_a_checkpoint_is_what_the_document_says(full: Book) -> None:
    note: Note | None = full.ledger().notes.last()
    assert note
    origin, size, root, empty, signature, end = note.text.split("\n")
    assert (origin, size, empty, end) == (full.ledger().notes.origin, "45", "", "")
    assert signature.startswith(f"— {origin} ")
    assert Verifier(full.ledger().notes.verifier).open(note.text) == f"{origin}\n{size}\n{root}\n"
