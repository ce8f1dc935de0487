"""Passwords: argon2id, and never more of it at once than the machine has cores."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from handlers.ports import Unavailable

MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
"""Source: OWASP Password Storage Cheat Sheet, argon2id, and the product's security design, section 3."""
WAITING = 16
"""How many sign-ins may wait for a core; more are turned away, so that a flood cannot fill the memory."""


class Argon2Passwords:
    """The Passwords socket's plug."""

    def __init__(self, *, cores: int | None = None) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._cores = cores or os.cpu_count() or 1
        self._working = threading.BoundedSemaphore(self._cores)
        self._admitted = threading.BoundedSemaphore(self._cores + WAITING)
        self._nobodys = self._hasher.hash(os.urandom(16).hex())

    @contextmanager
    def _core(self) -> Iterator[None]:
        if not self._admitted.acquire(blocking=False):
            raise Unavailable("too many sign-ins at once")
        try:
            with self._working:
                yield
        finally:
            self._admitted.release()

    def hash(self, password: str) -> str:
        """Return a salted hash. Raises Unavailable when too many are waiting."""
        with self._core():
            return self._hasher.hash(password)

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Say whether the password is right; without a hash it takes as long and says no. Raises Unavailable."""
        with self._core():
            try:
                self._hasher.verify(password_hash or self._nobodys, password)
            except (VerificationError, InvalidHashError):
                return False
        return password_hash is not None
