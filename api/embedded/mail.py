"""The mail catcher: takes every mail of this machine and keeps it in a folder, sends none on; and reads that folder.

`python -m api.embedded.mail --port P --dir D` serves SMTP on 127.0.0.1. Each mail is one file, written whole or not at
all, named by the time it came; the newest 10,000 are kept. The mails hold secret links: only their owner can read them.
"""

import argparse
import asyncio
import contextlib
import email
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage
from email.policy import default as modern
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import BaseModel, ConfigDict

from api.embedded.ports import LOOPBACK

SIZE_LIMIT: Final = 1024 * 1024
"""Bytes of one mail; a larger one is refused (552)."""

KEPT: Final = 10_000
"""Mails; beyond that the oldest is removed for each that comes."""

_ID = re.compile(r"[0-9]{20}-[0-9a-f]{8}")
_LINK = re.compile(r"https?://[^\s<>\"'\]]+")


class CaughtMail(BaseModel):
    """One mail as the catcher took it."""

    model_config = ConfigDict(frozen=True)

    id: str
    """Sorts by the time the mail came."""
    to: tuple[str, ...]
    """Whom the envelope named."""
    subject: str
    kind: str | None
    """Header Watchword-Kind."""
    message_id: str | None
    date: datetime | None
    text: str
    html: str
    links: tuple[str, ...]
    """Web addresses in the text, in order, each once."""


def list_mails(folder: Path, *, to: str | None = None, limit: int | None = None) -> list[CaughtMail]:
    """Give the mails, newest first; only those to one address, or only so many, when asked."""
    found: list[CaughtMail] = []
    for path in sorted(folder.glob("*.eml"), reverse=True):
        if limit is not None and len(found) >= limit:
            break
        with contextlib.suppress(FileNotFoundError):  # removed as the oldest meanwhile
            mail = _read(path)
            if to is None or to.lower() in (address.lower() for address in mail.to):
                found.append(mail)
    return found


def read_mail(folder: Path, mail_id: str) -> CaughtMail:
    """Give one mail. Raises KeyError when there is none of that id."""
    path = folder / f"{mail_id}.eml"
    if not _ID.fullmatch(mail_id) or not path.is_file():
        raise KeyError(mail_id)
    return _read(path)


def _read(path: Path) -> CaughtMail:
    message = email.message_from_bytes(path.read_bytes(), policy=modern)
    text = _part(message, "plain")
    return CaughtMail(
        id=path.stem,
        to=tuple(str(value) for value in message.get_all("Delivered-To", [])),
        subject=str(message.get("Subject", "")),
        kind=_header(message, "Watchword-Kind"),
        message_id=_header(message, "Message-ID"),
        date=_date(message),
        text=text,
        html=_part(message, "html"),
        links=tuple(dict.fromkeys(link.rstrip(".,;:!?)") for link in _LINK.findall(text))),
    )


def _header(message: EmailMessage, name: str) -> str | None:
    value = message.get(name)
    return None if value is None else str(value).strip()


def _date(message: EmailMessage) -> datetime | None:
    with contextlib.suppress(ValueError):
        return parsedate_to_datetime(str(message.get("Date", "")))
    return None


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except LookupError:  # an unknown charset
        raw = part.get_payload(decode=True)
        return raw.decode("latin-1") if isinstance(raw, bytes) else ""


def _as_bytes(content: bytes | str | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


class Folder:
    """The folder of kept mails, as the catcher writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for torn in path.glob("*.tmp"):
            torn.unlink()
        self._count = sum(1 for _ in path.glob("*.eml"))

    def keep(self, envelope: Envelope) -> str:
        """Write one mail to disk for good, and let the oldest go when there are too many."""
        mail_id = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        torn = self.path / f"{mail_id}.tmp"
        with open(torn, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            out.write(b"".join(_envelope_lines(envelope)) + _as_bytes(envelope.content))
            out.flush()
            os.fsync(out.fileno())
        torn.rename(self.path / f"{mail_id}.eml")
        self._count += 1
        self._let_go()
        return mail_id

    def _let_go(self) -> None:
        if self._count <= KEPT:
            return
        names = sorted(self.path.glob("*.eml"))
        for old in names[:-KEPT]:
            old.unlink(missing_ok=True)
        self._count = min(len(names), KEPT)


def _envelope_lines(envelope: Envelope) -> Iterator[bytes]:
    for address in envelope.rcpt_tos:
        yield f"Delivered-To: {address}\r\n".encode()


class Catcher:
    """What the SMTP server does with a mail: it keeps it, and says so only when it is on disk."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002 - aiosmtpd's name
        """Keep the mail, then acknowledge it."""
        return f"250 Kept as {self.folder.keep(envelope)}"


async def serve(port: int, folder: Path) -> None:
    """Serve SMTP until SIGTERM or SIGINT."""
    catcher, loop, stop = Catcher(Folder(folder)), asyncio.get_running_loop(), asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    server = await loop.create_server(
        lambda: SMTP(catcher, hostname="watchword.localhost", data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True),
        LOOPBACK,
        port,
    )
    async with server:
        await stop.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="Catch every mail of this machine in a folder.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", type=Path, required=True)
    words = parser.parse_args()
    asyncio.run(serve(words.port, words.dir))


if __name__ == "__main__":
    main()
