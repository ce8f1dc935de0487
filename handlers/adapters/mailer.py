"""The way to the mail server: SMTP, with encryption wherever the address asks for it."""

import binascii
import re
import ssl
import time
from contextlib import suppress
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from urllib.parse import unquote, urlsplit

import aiosmtplib

from handlers.ports import Mail, MailDelayed, MailRefused

_TIMEOUT_SECONDS = 20
"""For each word of the server."""
_KEPT_SECONDS = 20.0
"""How long a connection may be idle and still be used: mail servers end idle ones after a minute or more."""
_CLOSING = 421
"""The server is about to end the connection; the mail was not taken."""
_DONE = 250
_FORWARDED = 251
_PRINTABLE = re.compile(r"[ -~]+")
_PLAIN = re.compile(r"[\w+-]+(\.[\w+-]+)*@[\w-]+(\.[\w-]+)*", re.ASCII)
"""Addresses that are what they look like; the library takes the others apart, which is half of the work of a mail."""


class SmtpMailer:
    """The Mailer socket's plug: one connection, kept from mail to mail.

    ``smtp://`` upgrades when offered, ``smtp+starttls://`` insists, ``smtps://`` begins encrypted.
    """

    def __init__(self, url: str, *, sender: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"smtp", "smtp+starttls", "smtps"} or not parts.hostname:
            raise ValueError("SMTP_URL is smtp://host:port, smtp+starttls://user:password@host:port or smtps://…")
        self._sender = _sender(sender)
        self._envelope_sender = parseaddr(sender)[1]
        self._options = {
            "hostname": parts.hostname,
            "port": parts.port or {"smtp": 25, "smtp+starttls": 587, "smtps": 465}[parts.scheme],
            "username": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "use_tls": parts.scheme == "smtps",
            "start_tls": {"smtp": None, "smtp+starttls": True, "smtps": False}[parts.scheme],
            "tls_context": None if parts.scheme == "smtp" else ssl.create_default_context(),
            "timeout": _TIMEOUT_SECONDS,
        }
        self._smtp: aiosmtplib.SMTP | None = None
        self._used_at = 0.0

    async def send(self, mail: Mail) -> None:
        """Hand the mail over. Raises MailRefused (5xx) or MailDelayed, which name the error's class and code alone.

        A kept connection that turns out to be gone is replaced, and the mail tried once more: if the server took it
        and only its answer was lost, there are two copies with one Message-ID.
        """
        try:
            message = as_bytes(mail, self._sender)
        except (MessageError, ValueError, IndexError) as error:  # no mail can carry it: a..b@example.org
            raise MailRefused(type(error).__name__) from None
        kept = self._is_usable()
        try:
            await self._hand_over(mail.to, message)
        except MailDelayed:
            if not kept or self._is_usable():
                raise
            await self._hand_over(mail.to, message)

    async def close(self) -> None:
        """Take leave of the server."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            with suppress(aiosmtplib.SMTPException, OSError):
                await smtp.quit(timeout=1)
            smtp.close()

    def _is_usable(self) -> bool:
        fresh = time.monotonic() - self._used_at < _KEPT_SECONDS
        return fresh and self._smtp is not None and self._smtp.is_connected

    async def _connection(self) -> aiosmtplib.SMTP:
        if self._smtp is not None and self._is_usable():
            return self._smtp
        await self.close()
        self._smtp = smtp = aiosmtplib.SMTP(**self._options)  # type: ignore[arg-type]
        await smtp.connect()
        if smtp.is_ehlo_or_helo_needed:
            await smtp.ehlo()
        return smtp

    async def _is_reset(self) -> bool:
        """Leave the mail that was refused behind, and say whether the connection can carry another one."""
        with suppress(aiosmtplib.SMTPException, OSError):
            return self._smtp is not None and (await self._smtp.rset()).code == _DONE
        return False

    async def _hand_over(self, to: str, message: bytes) -> None:
        whole = False
        try:
            smtp = await self._connection()
            await _ask(smtp, aiosmtplib.SMTPSenderRefused, "MAIL", f"FROM:<{self._envelope_sender}>")
            await _ask(smtp, aiosmtplib.SMTPRecipientRefused, "RCPT", f"TO:<{to}>")
            await smtp.data(message)
            whole = True
        except aiosmtplib.SMTPResponseException as error:
            whole = error.code != _CLOSING and await self._is_reset()
            raise _by_code(type(error).__name__, error.code) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailDelayed(type(error).__name__) from None
        finally:
            self._used_at = time.monotonic()
            if not whole and self._smtp is not None:
                self._smtp.close()
                self._smtp = None


async def _ask(
    smtp: aiosmtplib.SMTP, refused: type[aiosmtplib.SMTPSenderRefused | aiosmtplib.SMTPRecipientRefused], *words: str
) -> None:
    """Begin a mail. The library's own way takes an address apart four times a mail, which was most of the work."""
    answer = await smtp.execute_command(*(word.encode("ascii") for word in words))
    if answer.code not in {_DONE, _FORWARDED}:
        raise refused(answer.code, answer.message, words[-1])


def _sender(text: str) -> str:
    """Return the header From of every mail; ValueError for one that no mail can carry."""
    message = EmailMessage(policy=SMTP)
    message["From"] = text
    return message.as_bytes().decode("ascii").partition(": ")[2].strip()


def as_bytes(mail: Mail, sender: str) -> bytes:
    """Return the message as it goes over the wire.

    Written by hand, since the library's classes take 2 ms for one. So each header is held against what may stand in
    one: a line break, say, is a ValueError.
    """
    boundary = f"part-{mail.message_id[1:37]}"
    headers = {
        "To": mail.to if _PLAIN.fullmatch(mail.to) else Address(addr_spec=mail.to).addr_spec,
        "Subject": mail.subject,
        "Message-ID": mail.message_id,
        "Date": format_datetime(mail.date),
        "Watchword-Kind": mail.kind.value,
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/alternative; boundary="{boundary}"',
    }
    if not all(_PRINTABLE.fullmatch(value) for value in headers.values()):
        raise ValueError("a header holds what no header can")
    head = "".join(f"{name}: {value}\r\n" for name, value in {"From": sender, **headers}.items())
    return b"".join(
        [
            head.encode("ascii"),
            _part(boundary, "plain", mail.text),
            _part(boundary, "html", mail.html),
            f"\r\n--{boundary}--\r\n".encode("ascii"),
        ]
    )


def _part(boundary: str, kind: str, text: str) -> bytes:
    head = (
        f'\r\n--{boundary}\r\nContent-Type: text/{kind}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode("ascii") + binascii.b2a_qp(text.replace("\n", "\r\n").encode(), istext=True)


def _by_code(name: str, code: int) -> MailRefused | MailDelayed:
    permanent = 500 <= code < 600  # noqa: PLR2004 SMTP's own meaning of 5xx
    return MailRefused(f"{name} {code}") if permanent else MailDelayed(f"{name} {code}")
