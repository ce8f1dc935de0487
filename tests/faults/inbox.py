"""The mail server of the fault runs: it keeps what it took, and is slow or rude when the test wants it."""

import asyncio
import re
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.delivery.steps import Post

_LINK = re.compile(r"/reset/([^#\s]+)#(\S+)")


@dataclass(frozen=True)
class Letter:
    """One copy of one mail."""

    message_id: str
    to: str
    kind: str
    text: str
    raw: bytes = b""

    @classmethod
    def of(cls, raw: bytes) -> "Letter":
        message = message_from_bytes(raw)
        part = message.get_payload(0)
        assert isinstance(part, Message)
        text = str(part.get_payload(decode=True), "utf-8")  # type: ignore[arg-type]
        return cls(message["Message-ID"], message["To"], message["Watchword-Kind"], text, raw)


@dataclass
class Inbox(Post):
    """Takes every mail; `delay`: seconds before it says so."""

    delay: float = 0.0
    letters: list[Letter] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        if self.delay:
            await asyncio.sleep(self.delay)
        before = len(self.taken)
        answer = await super().handle_DATA(server, session, envelope)
        self.letters += [Letter.of(raw) for raw in self.taken[before:]]
        return answer

    def link(self, to: str, kind: str) -> tuple[str, str] | None:
        """Return the two halves of the newest link of this kind that was mailed to an address."""
        for letter in reversed(list(self.letters)):
            if letter.to == to and letter.kind == kind and (found := _LINK.search(letter.text)):
                return found[1], found[2]
        return None
