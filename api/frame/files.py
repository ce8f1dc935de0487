"""Style sheet, script and pictures, each fetched once by a browser."""

import hashlib
from pathlib import Path

from fastapi.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

HERE = Path(__file__).parent.parent
"""The folder of ``templates`` and ``static``."""


def _version() -> str:
    files = sorted((HERE / "static").iterdir())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


STATIC = f"/static/{_version()}"
"""Where style sheet, script and pictures are. It changes with their content, so browsers may keep them for ever."""


class Lasting(StaticFiles):
    """Files that a browser fetches once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one file."""

        async def lasting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in {200, 206, 304}:
                message["headers"].append((b"cache-control", b"public, max-age=31536000, immutable"))
            await send(message)

        await super().__call__(scope, receive, lasting)
