"""A partner's facts in files that a reviewer checks without us: each fact, the proof that it is in the log, a signed list."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from api.bootstrap import Watchword
from api.export_formats import FORMATS, line
from api.export_proofs import PAGE, in_text, proved
from api.words import sentence
from domain.facts import AuditExported
from handlers.history import record_export
from handlers.ledger import Ledger
from handlers.ports import Checkpoint, Note, Origin

FORMAT = "watchword-export-1"
"""Another layout of the files would be another number."""
SEAL = "watchword/export/v1"
"""The first line of what is signed here; a checkpoint begins with the log's name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which facts are wanted, and how."""

    partner_id: str
    format: str
    after: int = 0
    until: int | None = None
    """Positions after the one, and up to the other; None: up to the newest."""
    asked: tuple[str, str] = ("", "")
    """The words for the span's two ends."""
    older: Note | None = None
    """A checkpoint that the reviewer kept: the export proves that its log goes on from there."""


@dataclass(slots=True)
class Written:
    """What stands in the file of facts."""

    facts: int = 0
    last: int | None = None
    """The position of the last one."""


class Export:
    """One export. The log decides which facts are the partner's, not a view."""

    def __init__(self, watchword: Watchword, book: Ledger, wanted: Wanted) -> None:
        self._watchword = watchword
        self._book = book
        self._wanted = wanted
        self._note = book.checkpoint()
        self._until = self._end()

    def write(self, out: Path, origin: Origin, done: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
        """Write the files into a new folder and return the manifest; ``done`` takes how many facts of the log are behind.

        All is there or nothing: the manifest is signed after the log has recorded the export, and the folder gets its
        name last. Raises LedgerBroken when a fact is not what the ledger says.
        """
        with _appearing(out) as folder:
            written = self._facts(folder, done)
            (folder / "checkpoint.txt").write_text(self._note.text, "utf-8")
            if self._wanted.older:
                (folder / "consistency.json").write_text(self._goes_on_from(self._wanted.older), "utf-8")
            manifest = self._manifest(written, folder, origin)
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
            digest = _listed(folder / "manifest.json")["sha256"]
            self._record(written, digest, origin)
            (folder / "manifest.sig").write_text(self._book.notes.seal(f"{SEAL}\nmanifest.json {digest}\n"), "utf-8")
        return manifest

    @property
    def _head(self) -> Checkpoint:
        return self._note.checkpoint

    def _end(self) -> int:
        """Return the last position of the span that the checkpoint signs."""
        newest = self._book.tree.leaves(self._head.size - 1, 1)[0].position if self._head.size else 0
        return newest if self._wanted.until is None else min(self._wanted.until, newest)

    def _facts(self, folder: Path, done: Callable[[int], None]) -> Written:
        """Write the facts and their proofs, a page of the tree at a time."""
        wanted, written = self._wanted, Written()
        found = proved(self._book.tree, self._head, wanted.after, self._until, wanted.partner_id)
        proofs = (folder / "proofs.jsonl").open("w", encoding="utf-8")
        with proofs, FORMATS[wanted.format](folder / f"facts.{wanted.format}") as write:
            for number, group in groupby(found, lambda each: each.number // PAGE):
                page = list(group)
                envelopes = self._watchword.store.at([each.fact.position for each in page])
                words = [sentence(envelope.fact) for envelope in envelopes]
                write([each.record(said) for each, said in zip(page, words, strict=True)])
                proofs.writelines(line(each.proof_line()) for each in page)
                written.facts += len(page)
                written.last = page[-1].fact.position
                done(min((number + 1) * PAGE, self._head.size))
        return written

    def _goes_on_from(self, older: Note) -> str:
        proof = self._book.consistency(older.checkpoint, self._head)
        return line({"older": older.text, "proof": [in_text(each) for each in proof]})

    def _manifest(self, written: Written, folder: Path, origin: Origin) -> dict[str, Any]:
        wanted, head = self._wanted, self._head
        return {
            "format": FORMAT,
            "what": f"the facts of partner {wanted.partner_id} at the positions {wanted.after + 1} to {self._until}",
            "partner": wanted.partner_id,
            "after": wanted.after,
            "until": self._until,
            "asked": {"from": wanted.asked[0], "to": wanted.asked[1]},
            "facts": written.facts,
            "last": written.last,
            "records": wanted.format,
            "checkpoint": {"origin": head.origin, "size": head.size, "root": in_text(head.root)},
            "files": [_listed(path) for path in sorted(folder.iterdir())],
            "verifier": self._book.notes.verifier,
            "by": origin.actor,
            "at": origin.at.isoformat(),
        }

    def _record(self, written: Written, digest: str, origin: Origin) -> None:
        exported = AuditExported(
            format=self._wanted.format,
            after=self._wanted.after,
            until=self._until,
            facts=written.facts,
            manifest_sha256=digest,
        )
        record_export(exported, origin, self._watchword.sockets, partner_id=self._wanted.partner_id)


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Lend a folder for its owner's eyes alone that gets its name when all went well, and is removed otherwise."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield folder
        os.rename(folder, out)  # noqa: PTH104 over an empty folder of that name, and over nothing else
    except BaseException:
        shutil.rmtree(folder)
        raise


def _listed(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
