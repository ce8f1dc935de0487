"""An authenticator app for the tests: RFC 6238 from the standard library, or oathtool. It never touches domain code."""

import base64
import hmac
import shutil
import struct
import subprocess
import time


def code_at(setup_key: str, at: float | None = None) -> str:
    """Return the six digits that any authenticator app shows for the key at a Unix time, now by default.

    Asks oathtool where it is installed, and else the implementation below. It never touches domain code, so that a
    mistake there cannot confirm itself here.
    """
    key, moment = setup_key.replace(" ", "").replace("-", "").upper(), int(time.time() if at is None else at)
    return by_oathtool(key, moment) if shutil.which("oathtool") else by_the_rfc(key, moment)


def by_oathtool(key: str, moment: int) -> str:
    """Return the code by OATH Toolkit, which shares nothing with Python. No process list shows the key."""
    asked = ["oathtool", "--totp", "-b", "-N", f"@{moment}", "-"]
    return subprocess.run(
        asked, input=f"{key}\n", capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()


def by_the_rfc(key: str, moment: int) -> str:
    """Return the code by RFC 6238 section 4 (30 s, HMAC-SHA-1) and RFC 4226 section 5.3 (truncation)."""
    secret = base64.b32decode(key + "=" * (-len(key) % 8))
    digest = hmac.digest(secret, struct.pack(">Q", moment // 30), "sha1")
    offset = digest[-1] & 0x0F
    (number,) = struct.unpack(">I", digest[offset : offset + 4])
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06}"
