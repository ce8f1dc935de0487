"""One web process of the service under attack: as `watchword web` runs it, but on a clock that the test moves."""

import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn

from api.bootstrap import build
from api.children import watch_parent
from api.settings import read
from api.web import create_app
from tests.services import SetClock


class SharedClock(SetClock):
    """A clock that processes share: a file says how many seconds it is ahead, or after an `=` at which second it stands."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self._one_writes = threading.Lock()

    def now(self) -> datetime:
        said = self.file.read_text()
        if said.startswith("="):
            return datetime.fromtimestamp(float(said[1:]), UTC)
        return datetime.now(UTC) + timedelta(seconds=float(said))

    def advance(self, **spans: float) -> None:
        with self._one_writes:
            super().advance(**spans)
            self._say(str(self.ahead.total_seconds()))

    def stand_at(self, at: datetime) -> None:
        """Stop at an instant."""
        with self._one_writes:
            self._say(f"={at.timestamp():.6f}")

    def _say(self, words: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(words)
        fresh.rename(self.file)


def main() -> None:
    watch_parent(int(sys.argv[2]))
    watchword = build(read(ask_running=False), clock=SharedClock(Path(sys.argv[1])), pool_size=8)
    uvicorn.run(
        create_app(watchword),
        port=watchword.settings.port,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=600,
        server_header=False,
        access_log=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
