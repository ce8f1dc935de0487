"""Codes of an authenticator app: RFC 6238 with SHA-1, 6 digits and 30 s periods, what every store app speaks."""

import hmac
import re
from base64 import b32encode
from datetime import datetime

import pyotp

PERIOD_SECONDS = 30
"""One time step. Source: RFC 6238 section 4.1, and what the apps assume."""
DIGITS = 6
"""Source: RFC 4226 section 5.3, and what the apps assume."""
SECRET_BYTES = 20
"""160 bits, the length of an HMAC-SHA-1 key. Source: RFC 4226 section 4, R6."""
WINDOW_STEPS = 1
"""How many steps before and after now are looked at, for a slow typist or clock. Source: RFC 6238 section 5.2."""
LABEL_CHARACTERS = 64
"""The most that each part of the label may have, so that the picture stays readable."""

_CODE = re.compile(r"[0-9]{6}", re.ASCII)
_NOT_IN_A_LABEL = re.compile(r"[:/\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


class MalformedCode(ValueError):
    """What was entered is not six digits, so it is no code at all."""


def shared_secret(random_bytes: bytes) -> str:
    """Return a new shared secret in base32 from 20 random bytes."""
    if len(random_bytes) != SECRET_BYTES:
        raise ValueError(f"a shared secret is made of {SECRET_BYTES} bytes, not {len(random_bytes)}")
    return b32encode(random_bytes).decode("ascii")


def clean_code(entered: str) -> str:
    """Return the six ASCII digits without the spaces and hyphens that people type between them.

    Raises MalformedCode for anything else, full-width digits included: one code has one spelling.
    """
    code = entered.replace(" ", "").replace("-", "")
    if not _CODE.fullmatch(code):
        raise MalformedCode("a code is the six digits that the app shows")
    return code


def time_step(at: datetime) -> int:
    """Return the number of 30 s periods since 1970."""
    return int(at.timestamp()) // PERIOD_SECONDS


def matching_step(secret: str, code: str, at: datetime) -> int | None:
    """Return the time step to which the code belongs, or None. Every step of the window is compared, without early exit."""
    now = time_step(at)
    otp = pyotp.TOTP(secret)
    found = None
    for step in range(max(0, now - WINDOW_STEPS), now + WINDOW_STEPS + 1):
        if hmac.compare_digest(otp.generate_otp(step), code):
            found = step
    return found


def otpauth_uri(secret: str, *, issuer: str, partner: str, mail_address: str) -> str:
    """Return the address in the QR code, labelled ``Issuer (Partner):address``, by which apps tell accounts apart."""
    named = f"{_label(issuer)} ({_label(partner)})"[:LABEL_CHARACTERS]
    return pyotp.TOTP(secret).provisioning_uri(name=_label(mail_address), issuer_name=named)


def _label(text: str) -> str:
    return _NOT_IN_A_LABEL.sub(" ", text).strip()[:LABEL_CHARACTERS]
