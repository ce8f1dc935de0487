"""The shapes of what people enter: checked at the door, with a sentence for each mistake."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

PASSWORD_CHARACTERS = 256
"""Longer passwords are refused, never cut. Source: OWASP Password Storage Cheat Sheet."""
MAIL_ADDRESS_CHARACTERS = 254
"""Source: RFC 5321 section 4.5.3.1.3, less the angle brackets."""

_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
"""The HTML standard's valid e-mail address, with a dot in its domain."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_AN_ADDRESS_WITHIN = re.compile(r"[^\s@]@[^\s@]")


def _printable(text: str) -> str:
    if not text.isprintable() and any(
        unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for character in text
    ):
        raise ValueError("control characters are not allowed: remove them")
    return text


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("the character NUL is not allowed: remove it")
    return text


def _lasting_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError("an id is letters, digits and . _ - and no mail address: it stays in the log for ever")
    return text


def _without_address(text: str) -> str:
    if _AN_ADDRESS_WITHIN.search(text):
        raise ValueError("leave mail addresses out: the reason stays in the log for ever")
    return text


def _mail_address(text: str) -> str:
    if not _MAIL_ADDRESS.fullmatch(text):
        raise ValueError("this is not a mail address such as name@example.org")
    return text


Id = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    AfterValidator(_lasting_id),
    Field(examples=["acc-7"], json_schema_extra={"pattern": f"^{_ID.pattern}$"}),
]
"""An id of the caller's own: letters, digits and ``._-``. It stands in facts, so it is no mail address."""
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True), AfterValidator(_printable)
]
MailAddress = Annotated[
    str,
    StringConstraints(max_length=MAIL_ADDRESS_CHARACTERS),
    AfterValidator(_mail_address),
    Field(examples=["olivia@partner.example"]),
]
Password = Annotated[
    str,
    StringConstraints(min_length=1, max_length=PASSWORD_CHARACTERS),
    AfterValidator(_without_nul),
    Field(examples=["correct horse battery staple"]),
]
Code = Annotated[str, StringConstraints(min_length=6, max_length=20), Field(examples=["287082"])]
"""What was entered as a code; whether it is six digits is the domain's to say."""
Reason = Annotated[
    str,
    StringConstraints(max_length=500, strip_whitespace=True),
    AfterValidator(_printable),
    AfterValidator(_without_address),
    Field(examples=["lost phone"]),
]
LinkSecret = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]


class Command(BaseModel):
    """A wish. Unknown fields are refused, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def mail_key(mail_address: str) -> str:
    """Return the form in which addresses are compared: one person, one key, however it is typed."""
    return unicodedata.normalize("NFKC", mail_address).casefold()
