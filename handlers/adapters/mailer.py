"""The way to the mail server: SMTP, with encryption wherever the address asks for it."""

import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import aiosmtplib

from handlers.ports import Mail, MailDelayed, MailRefused

_TIMEOUT_SECONDS = 20


class SmtpMailer:
    """The Mailer socket's plug. ``smtp://`` upgrades when offered, ``smtp+starttls://`` insists, ``smtps://`` begins encrypted."""

    def __init__(self, url: str, *, sender: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"smtp", "smtp+starttls", "smtps"} or not parts.hostname:
            raise ValueError("SMTP_URL is smtp://host:port, smtp+starttls://user:password@host:port or smtps://…")
        self._sender = sender
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

    async def send(self, mail: Mail) -> None:
        """Hand the mail over. Raises MailRefused (5xx) or MailDelayed, which name the error's class and code alone."""
        try:
            message = as_message(mail, self._sender)
        except (MessageError, ValueError) as error:  # an address that no mail can carry, such as a..b@example.org
            raise MailRefused(type(error).__name__) from None
        try:
            await aiosmtplib.send(message, **self._options)  # type: ignore[arg-type]
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = max(refused.code for refused in error.recipients)
            raise _by_code("SMTPRecipientsRefused", code) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _by_code(type(error).__name__, error.code) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailDelayed(type(error).__name__) from None


def as_message(mail: Mail, sender: str) -> EmailMessage:
    """Return the message. Headers are set by the library alone, which refuses line breaks."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = Address(addr_spec=mail.to)
    message["Subject"] = mail.subject
    message["Message-ID"] = mail.message_id
    message["Date"] = format_datetime(mail.date)
    message["Watchword-Kind"] = mail.kind.value
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    message.set_boundary(f"part-{mail.message_id[1:37]}")
    return message


def _by_code(name: str, code: int) -> MailRefused | MailDelayed:
    permanent = 500 <= code < 600  # noqa: PLR2004 SMTP's own meaning of 5xx
    return MailRefused(f"{name} {code}") if permanent else MailDelayed(f"{name} {code}")
