"""Passwords: argon2id, and never more of it at once than the machine has cores."""

import os
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from handlers.ports import Unavailable

Answer = TypeVar("Answer")

MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
"""Source: OWASP Password Storage Cheat Sheet, argon2id, and the product's security design, section 3."""
WAITING = 16
"""How many sign-ins may wait for a core; more are turned away, so that a flood cannot fill the memory."""


class Argon2Passwords:
    """The Passwords socket's plug."""

    def __init__(self, *, cores: int | None = None) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._cores = cores or os.cpu_count() or 1
        self._workers = ThreadPoolExecutor(self._cores, thread_name_prefix="argon2")
        self._admitted = threading.BoundedSemaphore(self._cores + WAITING)
        self._nobodys = _of_no_password()

    def _on_a_core(self, work: Callable[[], Answer]) -> Answer:
        """Work in one of as many threads as there are cores: each keeps its 19 MiB, and every other thread would too."""
        if not self._admitted.acquire(blocking=False):
            raise Unavailable("too many sign-ins at once")
        try:
            return self._workers.submit(work).result()
        finally:
            self._admitted.release()

    def hash(self, password: str) -> str:
        """Return a salted hash. Raises Unavailable when too many are waiting."""
        return self._on_a_core(lambda: self._hasher.hash(password))

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Say whether the password is right; without a hash it takes as long and says no. Raises Unavailable."""
        return self._on_a_core(lambda: self._verified(password, password_hash or self._nobodys)) and bool(password_hash)

    def _verified(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def _of_no_password() -> str:
    """Return a hash that takes as long to verify as any other: of a digest by chance nobody knows the password."""
    salt, digest = (b64encode(os.urandom(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${digest}"
