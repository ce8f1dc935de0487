"""The machine's clock and chance."""

import os
import secrets
import time
import uuid
from datetime import UTC, datetime


class SystemClock:
    """The Clock socket's plug: the one clock of every decision. Readiness compares it with the database's."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)


class SystemChance:
    """The Chance socket's plug: the operating system's generator."""

    def new_id(self) -> str:
        """Return a new id that sorts by time (UUID version 7, RFC 9562)."""
        head = int(time.time() * 1000).to_bytes(6, "big")
        raw = int.from_bytes(head + os.urandom(10), "big")
        return str(uuid.UUID(int=(raw & ~(0xF << 76) & ~(0x3 << 62)) | (7 << 76) | (2 << 62)))

    def token(self) -> str:
        """Return 256 random bits as URL-safe text."""
        return secrets.token_urlsafe(32)

    def bytes(self, count: int) -> bytes:
        """Return random bytes."""
        return secrets.token_bytes(count)
