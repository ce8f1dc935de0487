"""The way to the mail server: addresses as the library writes them, and no wait without an end."""

import asyncio
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address

import pytest

from domain.facts import MailKind
from handlers.adapters import mailer
from handlers.ports import Mail, MailDelayed

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SENDER = "Watchword <no-reply@watchword.invalid>"


def mail(to: str) -> Mail:
    return Mail(f"<{'1' * 36}@watchword>", to, "A subject", "Words.\n", "<p>Words.</p>\n", MailKind.LOCKED, NOON)


@pytest.mark.parametrize(
    "to", ["a@b", "a.b+c_d-e@x-y.example.org", '"a b"@example.org', "o'hara@example.org", "a@[127.0.0.1]", "-@-_.x"]
)
def test_an_address_stands_in_its_header_as_the_library_writes_it(to: str) -> None:
    written = f"\r\nTo: {Address(addr_spec=to).addr_spec}\r\n".encode()
    assert written in mailer.as_bytes(mail(to), SENDER)


@pytest.mark.parametrize(
    "to", ["a..b@example.org", ".a@example.org", "a@b..c", "a@b\r\nBcc: c@d", "a@b\n", "a b@c", "a@"]
)
def test_an_address_that_no_mail_can_carry_stands_in_none(to: str) -> None:
    with pytest.raises((MessageError, ValueError, IndexError), match=r".*"):
        mailer.as_bytes(mail(to), SENDER)


@pytest.mark.parametrize("silent_at", [b"MAIL", b"RCPT", b"DATA", b"."])
def test_a_server_that_falls_silent_delays_the_mail(silent_at: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailer, "_TIMEOUT_SECONDS", 0.2)
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            word = line.strip()
            if word == silent_at or word.startswith(silent_at + b" "):
                await reader.read()
                break
            if word[:4] in {b"EHLO", b"MAIL", b"RCPT", b"DATA"}:
                writer.write(b"354 go on\r\n" if word == b"DATA" else b"250 yes\r\n")
        writer.close()
        await writer.wait_closed()
        left.set()

    async def send() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        way = mailer.SmtpMailer(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}", sender=SENDER)
        async with asyncio.timeout(5):
            with pytest.raises(MailDelayed):
                await way.send(mail("a@example.org"))
            await way.close()
            await left.wait()
        server.close()

    asyncio.run(send())
