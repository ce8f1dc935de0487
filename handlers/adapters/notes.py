"""Checkpoints in a file: signed with Ed25519 in the form of C2SP signed-note, one after the other, never rewritten."""

import fcntl
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from handlers.ports import Checkpoint, LedgerBroken, Note

_ED25519 = b"\x01"
"""The number of this kind of signature in signed-note."""
_LINES = 6
"""Of one note in the file: origin, size, root, an empty one, the signature, an empty one."""
_LONGEST = 1024
"""No note has more bytes."""
_PRIVATE = "PRIVATE+KEY+"


class Verifier:
    """Says which notes are ours. It is made of the public line ``<name>+<key's hash>+<key>``."""

    def __init__(self, line: str) -> None:
        try:
            self.name, _, key = line.split("+", 2)
            public = b64decode(key, validate=True).removeprefix(_ED25519)
            self._key = Ed25519PublicKey.from_public_bytes(public)
        except ValueError:
            raise LedgerBroken("a verifier's line reads <name>+<key's hash>+<key>") from None
        self.key_hash, self.line = _key_hash(self.name, public), line
        if line != _line(self.name, public, public):
            raise LedgerBroken(f"the parts of {line} do not belong together")

    def open(self, note: str) -> str:
        """Return the text that was signed. Raises ValueError when the note is not ours to the byte."""
        text, _, line = note.rpartition("\n\n")
        prefix = f"— {self.name} "
        signature = b64decode(line.removeprefix(prefix).removesuffix("\n"), validate=True)
        if line != f"{prefix}{b64encode(signature).decode()}\n" or signature[:4] != self.key_hash:
            raise ValueError("signed by somebody else")
        try:
            self._key.verify(signature[4:], f"{text}\n".encode())
        except InvalidSignature:
            raise ValueError("the signature belongs to another text") from None
        return f"{text}\n"


class NoteKey:
    """The key that signs, in a file for its owner's eyes alone."""

    def __init__(self, path: Path) -> None:
        try:
            if path.stat().st_mode & 0o077:
                raise LedgerBroken(f"{path} can be read by others: chmod 600 it")
            name, _, key = path.read_text().strip().removeprefix(_PRIVATE).split("+", 2)
            self._key = Ed25519PrivateKey.from_private_bytes(b64decode(key, validate=True)[1:])
        except FileNotFoundError:
            raise LedgerBroken(f"{path} is missing: restore it from its backup") from None
        except ValueError:
            raise LedgerBroken(f"{path} is not a key file: restore it from its backup") from None
        public = self._key.public_key().public_bytes_raw()
        self.verifier = Verifier(_line(name, public, public))

    @staticmethod
    def create(path: Path) -> None:
        """Write a new key file; an existing one is left as it is. The log's name is made of the key."""
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        line = _line(f"watchword/ledger/{sha256(public).hexdigest()[:12]}", public, key.private_bytes_raw())
        temporary = _written(path, f"{_PRIVATE}{line}\n", 0o600)
        # Another process may have made the key a moment before: then that is the key, and this one is forgotten.
        with suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()

    def sign(self, text: str) -> str:
        """Return the text as a signed note."""
        signature = b64encode(self.verifier.key_hash + self._key.sign(text.encode())).decode()
        return f"{text}\n— {self.verifier.name} {signature}\n"


class NoteFile:
    """The Notes socket's plug: ``checkpoints.txt`` in the ledger's folder, and beside it how far all was verified."""

    def __init__(self, key: NoteKey, folder: Path) -> None:
        self._key = key
        self._path = folder / "checkpoints.txt"
        self._verified = folder / "verified.txt"

    @property
    def origin(self) -> str:
        """The lasting name of this log."""
        return self._key.verifier.name

    @property
    def verifier(self) -> str:
        """What a reviewer needs to check our signatures."""
        return self._key.verifier.line

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other process from writing down a note meanwhile, and remove what a crash left unfinished."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = (self._path.parent / ".lock").open("ab")
        except OSError as error:
            raise LedgerBroken(f"{self._path.parent} cannot be written ({error.strerror}): set LEDGER_DIR") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._mend()
            yield

    def last(self) -> Note | None:
        """Return the newest note."""
        block = self._last_block()[1]
        note = self._read(block)
        if block and note is None:
            raise LedgerBroken(f"the last note in {self._path} is not what was signed: restore the file")
        return note

    def sign(self, checkpoint: Checkpoint) -> Note:
        """Return the checkpoint as a signed note."""
        return Note(checkpoint, self._key.sign(checkpoint.text()))

    def seal(self, text: str) -> str:
        """Return another text as a signed note."""
        if text.startswith(f"{self.origin}\n") or not text.endswith("\n"):
            raise ValueError("this would be taken for a checkpoint, or is not a text of whole lines")
        return self._key.sign(text)

    def read(self, text: str) -> Note | None:
        """Return a note that was handed out, None when it is not ours to the byte."""
        return self._read(f"{text}\n".encode())

    def append(self, note: Note) -> None:
        """Write a note down; it survives a crash from then on."""
        new = not self._path.exists()
        with self._path.open("ab") as file:
            file.write(f"{note.text}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        if new:
            _sync_folder(self._path.parent)

    def all(self) -> Iterator[tuple[int, Note | None]]:
        """Return the number of each note's first line with the note, or with None when it is not ours to the byte."""
        if not self._path.exists():
            return
        first, block = 1, b""
        with self._path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
                if block and (line == self._first_line or block.count(b"\n") == _LINES):
                    yield first, self._read(block)
                    first, block = number, b""
                block += line
        if block:
            yield first, self._read(block)

    def verified(self) -> Note | None:
        """Return the newest checkpoint up to which everything was found to be right."""
        return self.read(self._verified.read_text(errors="replace")) if self._verified.exists() else None

    def remember(self, note: Note) -> None:
        """Remember that everything up to this checkpoint was found to be right, where the folder can be written."""
        with suppress(OSError):
            _written(self._verified, note.text, 0o644).replace(self._verified)

    @property
    def _first_line(self) -> bytes:
        return f"{self.origin}\n".encode()

    def _read(self, block: bytes) -> Note | None:
        """Return the note of a block of the file, if its every byte is what we would write."""
        with suppress(ValueError):
            note = block[:-1].decode()
            text = self._key.verifier.open(note)
            origin, size, root, _ = text.split("\n")
            checkpoint = Checkpoint(origin, int(size), b64decode(root, validate=True))
            if origin == self.origin and checkpoint.text() == text and block[-1:] == b"\n":
                return Note(checkpoint, note)
        return None

    def _last_block(self) -> tuple[int, bytes]:
        """Return where the last note begins, and all from there on."""
        if not self._path.exists():
            return 0, b""
        with self._path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - 2 * _LONGEST)
            file.seek(start)
            end = file.read()
        at = max(0, end.rfind(b"\n" + self._first_line) + 1)
        return start + at, end[at:]

    def _mend(self) -> None:
        """Remove a note whose writing was cut off: it was never handed out."""
        at, block = self._last_block()
        lines = block.splitlines(keepends=True)
        rest = block if block.count(b"\n") < _LINES else b"".join(lines[_LINES:])
        if 0 < len(rest) < _LONGEST and (rest == block or self._first_line.startswith(rest)):
            os.truncate(self._path, at + len(block) - len(rest))


def _line(name: str, public: bytes, key: bytes) -> str:
    """Return a key as signed-note writes it: with its name, and a hash of the public key."""
    return f"{name}+{_key_hash(name, public).hex()}+{b64encode(_ED25519 + key).decode()}"


def _key_hash(name: str, public: bytes) -> bytes:
    return sha256(f"{name}\n".encode() + _ED25519 + public).digest()[:4]


def _written(path: Path, text: str, mode: int) -> Path:
    """Write a file of another name, which a rename puts in place whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file survive a crash, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
