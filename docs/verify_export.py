"""Check an export of Watchword offline, without Watchword. It needs Python 3.11 and the package `cryptography`.

    python verify_export.py DIR --key LINE_OR_FILE [--checkpoint FILE]

The key is the public line that `watchword audit key` prints: get it from somebody else than who gave you the export.
The checkpoint is one that you kept from earlier; the export must have been made with `--against` that checkpoint.

What is proved, from the outside in:
 1. manifest.sig is a signature of manifest.json by that key, and the manifest lists every other file with its SHA-256.
 2. checkpoint.txt is signed by the same key: it fixes the whole log up to a moment by one hash, the root of a tree.
 3. proofs.jsonl has the very bytes that the log stored for each fact (a leaf of the tree), and the hashes that lead
    from them to the root (RFC 6962 section 2.1.1): the fact is in the log, at its place, and was not changed.
 4. Each record of facts.* says what those bytes say, in the same order; none is missing, doubled or added; and no stream
    lacks a version within the span, so nothing was left out between two facts about the same account or policy.
What is not proved: the words of the column `what` and the classes of OCSF are Watchword's reading of the facts; of a
Parquet file the hash is checked, not each record; that no whole stream was left out rests on the signature in 1.

A leaf is the byte 1, then position, stream, version, topic and state: each one its length in 4 bytes and its content;
numbers have 8 bytes, text is UTF-8, everything is big-endian. The state is JSON, with the fact itself under "fact".
"""

# ruff: noqa: INP001, T201

import argparse
import base64
import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Wrong(Exception):
    """The export is not what was signed; the sentence names the first thing that is wrong."""


def check(true: bool, otherwise: str) -> None:
    """Go on only when this is true."""
    if not true:
        raise Wrong(otherwise)


def unbase64(text: str) -> bytes:
    """Return the bytes of base64 text; each bytes have one text only."""
    content = base64.b64decode(text, validate=True)
    check(base64.b64encode(content).decode() == text, "a text in base64 has loose bits at its end")
    return content


# ── Signatures: C2SP signed-note ────────────────────────────────────────────────────────────────────────────────────


class Key:
    """A public key, made of the line ``<name>+<hash>+<key>``; the hash ties the name to the key."""

    def __init__(self, line: str) -> None:
        self.name, given, key = line.split("+", 2)
        public = unbase64(key)
        self.hash = hashlib.sha256(self.name.encode() + b"\n" + public).digest()[:4]
        check(public[:1] == b"\x01" and self.hash.hex() == given, "the parts of the key's line do not belong together")
        self.key = Ed25519PublicKey.from_public_bytes(public[1:])

    def open(self, note: bytes, name: str) -> list[str]:
        """Return the lines that this key signed: the text before the empty line, which the last line signs."""
        text, _, last = note.rpartition(b"\n\n")
        start = f"— {self.name} ".encode()
        check(last.startswith(start) and last.endswith(b"\n"), f"{name} is not signed with the name {self.name}")
        signature = unbase64(last[len(start) : -1].decode())
        check(signature[:4] == self.hash, f"{name} is signed with another key")
        try:
            self.key.verify(signature[4:], text + b"\n")
        except InvalidSignature:
            raise Wrong(f"{name} is not what was signed") from None
        return text.decode().split("\n")

    def head(self, note: bytes, name: str) -> tuple[int, bytes]:
        """Return size and root of the tree that a checkpoint signs (C2SP tlog-checkpoint)."""
        lines = self.open(note, name)
        check(len(lines) == 3 and lines[0] == self.name, f"{name} is not a checkpoint of {self.name}")  # noqa: PLR2004
        return int(lines[1]), unbase64(lines[2])


# ── The tree: RFC 6962 section 2.1, checked as in RFC 9162 section 2.1.3.2 and 2.1.4.2 ──────────────────────────────


def above(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def climb(at: int, last: int, node: bytes, proof: list[bytes]) -> tuple[bytes, bytes] | None:
    """Return the roots to which a proof leads from a node, which is number ``at`` of ``last`` + 1 on its level: the root of
    the tree that ends with the node, and that of the whole tree. None when the proof has another length.
    """
    was = now = node
    for each in proof:
        if last == 0:
            return None
        if at & 1 or at == last:
            was, now = above(each, was), above(each, now)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            now = above(now, each)
        at, last = at >> 1, last >> 1
    return (was, now) if last == 0 else None


def is_in(leaf: bytes, number: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """Say whether the leaf is in the tree."""
    found = climb(number, size - 1, hashlib.sha256(b"\x00" + leaf).digest(), proof)
    return found is not None and found[1] == root


def goes_on_from(old: tuple[int, bytes], new: tuple[int, bytes], proof: list[bytes]) -> bool:
    """Say whether the new tree begins with the whole old one."""
    (size, old_root), (new_size, new_root) = old, new
    path = proof if size & (size - 1) else [old_root, *proof]
    if not 0 < size < new_size or not path:
        return False
    at, last = size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    return climb(at, last, path[0], path[1:]) == (old_root, new_root)


# ── Records and the bytes behind them ───────────────────────────────────────────────────────────────────────────────


def said_by(leaf: bytes) -> dict[str, Any]:
    """Return the record that belongs to a leaf's bytes, without its words."""
    check(leaf[:1] == b"\x01", "a leaf begins with another byte than 1")
    parts, at = [], 1
    while at < len(leaf):
        length = int.from_bytes(leaf[at : at + 4], "big")
        parts.append(leaf[at + 4 : at + 4 + length])
        at += 4 + length
    check(at == len(leaf), "a leaf is cut off")
    position, stream, version, topic, state = parts
    said = json.loads(state)
    kind, _, name = stream.decode().partition(":")
    return {
        "position": int.from_bytes(position, "big", signed=True),
        "at": said["at"],
        "topic": topic.decode(),
        "stream": stream.decode(),
        "version": int.from_bytes(version, "big", signed=True),
        "tenant": said["tenant"],
        "account_id": said["fact"].get("account_id") or (name if kind in {"account", "user_mfa"} else None),
        "actor": said["actor"],
        "from_network": said["ip_prefix"],
        "session": said["session"],
        "command_id": said["command_id"],
        "correlation_id": said["correlation_id"],
        "data": said["fact"],
    }


def agrees(record: dict[str, Any], said: dict[str, Any], kind: str) -> bool:
    """Say whether a record of facts.* says what its leaf says."""
    if kind == "ocsf":
        event, meta, record = record, record["metadata"], record["unmapped"]
        at = (datetime.fromisoformat(said["at"]) - EPOCH) // timedelta(milliseconds=1)
        whom = event.get("user", {"uid": said["account_id"]})["uid"]
        mapped = [meta["uid"], meta["tenant_uid"], event["actor"]["user"]["uid"], whom, event["time"], event["message"]]
        expected = [str(said["position"]), said["tenant"], said["actor"], said["account_id"], at, record["what"]]
        if mapped != expected:
            return False
    if kind == "csv":
        record = {**record, "data": json.loads(record["data"])}
        said = {name: "" if value is None else str(value) for name, value in said.items()} | {"data": said["data"]}
    return isinstance(record.get("what"), str) and record == {**said, "what": record["what"]}


def records(path: Path, kind: str) -> Iterator[Any]:
    """Return the records of a file: lines of JSON or CSV. Parquet takes more than Python has by itself: none."""
    with path.open(encoding="utf-8", newline="") as file:
        if kind != "parquet":
            yield from csv.DictReader(file, strict=True) if kind == "csv" else map(json.loads, file)


# ── The checks, from the outside in ─────────────────────────────────────────────────────────────────────────────────


def manifest_of(folder: Path, key: Key) -> dict[str, Any]:
    """Return the manifest, once its signature and every file that it lists are right."""
    content = (folder / "manifest.json").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    lines = key.open((folder / "manifest.sig").read_bytes(), "manifest.sig")
    check(lines == ["watchword/export/v1", f"manifest.json {digest}"], "manifest.json is not what was signed")
    manifest: dict[str, Any] = json.loads(content)
    check(manifest["format"] == "watchword-export-1", "this program does not know the export's format")
    listed = {each["name"]: each for each in manifest["files"]}
    known = {*listed, "manifest.json", "manifest.sig"}
    for path in sorted(folder.iterdir()):
        check(path.name in known and path.is_file(), f"{path.name} is not in the manifest")
    for name in ("checkpoint.txt", "proofs.jsonl", f"facts.{manifest['records']}", *listed):
        check(name in listed, f"the manifest does not list {name}")
        check((folder / name).is_file(), f"{name} is missing")
        with (folder / name).open("rb") as file:
            found = (hashlib.file_digest(file, "sha256").hexdigest(), file.tell())
        check(found == (listed[name]["sha256"], listed[name]["bytes"]), f"{name} was changed")
    return manifest


def check_facts(folder: Path, manifest: dict[str, Any], size: int, root: bytes) -> int:
    """Hold each record against its leaf, and each leaf against the root; return how many streams there are."""
    kind, last_position, last_number, count = manifest["records"], manifest["after"], -1, 0
    versions: dict[str, int] = {}
    facts = records(folder / f"facts.{kind}", kind)
    for proof, record in zip_longest(records(folder / "proofs.jsonl", "jsonl"), facts):
        check(proof is not None, "facts.* has more records than there are proofs")
        position, number, leaf = proof["position"], proof["leaf_number"], unbase64(proof["leaf"])
        check(last_position < position <= manifest["until"], f"position {position} is doubled, or out of order or span")
        check(last_number < number < size, f"position {position}: its leaf has a number out of order")
        hashes = [unbase64(each) for each in proof["proof"]]
        proved = is_in(leaf, number, size, hashes, root)
        check(proved, f"position {position}: the proof does not lead to the checkpoint")
        said = said_by(leaf)
        check(said["position"] == position, f"position {position}: the leaf is another fact's")
        check(said["tenant"] == manifest["partner"], f"position {position} belongs to another partner")
        stream, version = said["stream"], said["version"]
        before = versions.get(stream, version - 1 if manifest["after"] else 0)
        check(version == before + 1, f"position {position}: a fact of {stream} before it was left out")
        agreed = kind == "parquet" or (record is not None and agrees(record, said, kind))
        check(agreed, f"position {position}: the record does not say what its leaf says")
        versions[stream], last_position, last_number, count = version, position, number, count + 1
    check(count == manifest["facts"], f"there are {count} facts, but {manifest['facts']} were signed")
    check(count == 0 or last_position == manifest["last"], "the last fact is not the one that was signed")
    return len(versions)


def check_older(folder: Path, key: Key, kept: Path, head: tuple[int, bytes]) -> None:
    """Show that the export's log goes on from a checkpoint that the reviewer kept."""
    older = key.head(kept.read_bytes(), kept.name)
    if older == head:
        return
    path = folder / "consistency.json"
    check(path.is_file(), f"no proof leads to {kept.name}: ask for an export made with --against that checkpoint")
    content = json.loads(path.read_bytes())
    about = key.head(content["older"].encode(), path.name)
    check(about == older, f"{path.name} is about another checkpoint than {kept.name}")
    proof = [unbase64(each) for each in content["proof"]]
    check(goes_on_from(older, head, proof), f"the log does not go on from {kept.name}: it was changed since")


def verify(folder: Path, line: str, kept: Path | None) -> list[str]:
    """Return what was proved."""
    key = Key(line.strip())
    manifest = manifest_of(folder, key)
    head = key.head((folder / "checkpoint.txt").read_bytes(), "checkpoint.txt")
    signed = manifest["checkpoint"]
    check((signed["size"], unbase64(signed["root"])) == head, "manifest and checkpoint differ")
    streams = check_facts(folder, manifest, *head)
    proved = [f"manifest.json is signed by {key.name}, and its {len(manifest['files'])} files are as they were signed"]
    proved += [f"{manifest['facts']} facts of {streams} streams are in the log of {head[0]} that checkpoint.txt signs"]
    held = (
        "was not held against the log's bytes" if manifest["records"] == "parquet" else "says what the log's bytes say"
    )
    proved += [f"each record of facts.{manifest['records']} {held}"]
    if kept:
        check_older(folder, key, kept, head)
        proved += [f"the log goes on from {kept.name}: nothing up to it was changed or taken away"]
    return [*proved, f"partner {manifest['partner']}, positions {manifest['after'] + 1} to {manifest['until']}"]


def main() -> int:
    """Say what was proved, or the first thing that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", required=True, help="the public line, or a file with it")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint that you kept")
    given = parser.parse_args()
    try:
        line = Path(given.key).read_text("utf-8") if Path(given.key).is_file() else given.key
        print(*verify(given.folder, line, given.checkpoint), sep="\n")
    except (Wrong, OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        print("WRONG:", error if isinstance(error, Wrong) else f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
