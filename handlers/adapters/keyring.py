"""The deployment's keys: one file, for its owner's eyes alone, and what is derived from it."""

import base64
import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from handlers.ports import Unreadable

_KEY_BYTES = 32
"""256 bits: AES-256 and HMAC-SHA-256."""


class KeyFileRefused(Unreadable):
    """The key file is missing, broken, or open to others. The sentence says what to do."""


class Keyring:
    """The key-encryption keys by version, and the root from which keyed hashes are made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = -1
        self._keks: dict[int, bytes] = {}
        self._root = b""
        self._current = 0
        self._reload()

    @staticmethod
    def create(path: Path) -> None:
        """Write a new key file, readable by its owner alone; an existing one is left as it is."""
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, {"root": _new_key(), "current": 1, "keks": {"1": _new_key()}}, exclusive=True)

    def _reload(self) -> None:
        try:
            status = self._path.stat()
            if status.st_mode & 0o077:
                raise KeyFileRefused(f"{self._path} can be read by others: chmod 600 it")
            if status.st_mtime_ns == self._read_at:
                return
            content = json.loads(self._path.read_text())
            keks = {int(version): base64.b64decode(key) for version, key in content["keks"].items()}
            root, current = base64.b64decode(content["root"]), int(content["current"])
        except FileNotFoundError:
            raise KeyFileRefused(f"{self._path} is missing: restore it, or set WATCHWORD_KEK_FILE") from None
        except OSError as error:
            raise KeyFileRefused(f"{self._path} cannot be read ({error.strerror}): let this account read it") from None
        except (KeyError, ValueError, TypeError, AttributeError):
            raise KeyFileRefused(f"{self._path} is not a key file: restore it from its backup") from None
        if current not in keks or {len(key) for key in (*keks.values(), root)} != {_KEY_BYTES}:
            raise KeyFileRefused(f"{self._path} holds keys of a wrong length: restore it from its backup")
        self._keks, self._root, self._current, self._read_at = keks, root, current, status.st_mtime_ns

    def current(self) -> tuple[int, bytes]:
        """Return the newest key-encryption key and its version."""
        self._reload()
        return self._current, self._keks[self._current]

    def kek(self, version: int) -> bytes | None:
        """Return the key-encryption key of a version, None when this deployment does not have it."""
        if version not in self._keks:
            self._reload()
        return self._keks.get(version)

    def versions(self) -> frozenset[int]:
        """Return the versions of all key-encryption keys in the file."""
        self._reload()
        return frozenset(self._keks)

    def rotate(self) -> int:
        """Add a key-encryption key, make it the current one, and return its version. Two at once add one key each."""
        with _locked(self._path):
            self._reload()  # raises KeyFileRefused in words
            content = json.loads(self._path.read_text())
            version = max(map(int, content["keks"])) + 1
            content["keks"][str(version)], content["current"] = _new_key(), version
            _write(self._path, content, exclusive=False)
        self._reload()
        return version

    def derive(self, purpose: str) -> bytes:
        """Return the key for one purpose. It survives rotation: the root is not rotated."""
        return HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"watchword/v1|{purpose}".encode()).derive(self._root)


class DerivedKeys:
    """The Keys socket's plug: keyed hashes and link secrets, each purpose with a key of its own."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._derived: dict[str, bytes] = {}

    def _mac(self, purpose: str, text: str) -> bytes:
        if purpose not in self._derived:
            self._derived[purpose] = self._keyring.derive(purpose)
        return hmac.digest(self._derived[purpose], text.encode(), hashlib.sha256)

    def digest(self, purpose: str, text: str) -> str:
        """Return a keyed hash in URL-safe text: stable, and useless to who finds it."""
        return base64.urlsafe_b64encode(self._mac(purpose, text)).rstrip(b"=").decode()

    def link_secret(self, account_id: str, link_id: str) -> str:
        """Return the 256-bit secret half of a mailed link, the same for every try at one mail, and kept nowhere."""
        return self.digest("link", f"{account_id}|{link_id}")


def _new_key() -> str:
    return base64.b64encode(os.urandom(_KEY_BYTES)).decode()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time read and replace the file. The lock's file stays: a replaced file loses its lock."""
    with os.fdopen(os.open(path.with_name(f".{path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: dict[str, object], *, exclusive: bool) -> None:
    """Write the whole file or nothing: a crash leaves the old one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    if not exclusive:
        temporary.replace(path)
        return
    # Another process may have made the keys a moment before: then those are the keys, and these are forgotten.
    with suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()
