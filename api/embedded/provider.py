"""An identity provider of our own in the data folder, for trying single sign-on out: the certified npm package
`oidc-provider`. It needs node and npm, asks for no password, and listens on 127.0.0.1 alone.
"""

import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from api.embedded import processes
from api.embedded.ports import LOOPBACK, same_or_free
from api.embedded.processes import EmbeddedError

SOURCE = Path(__file__).parent / "openid"
INSTALL_SECONDS = 120
STOP: processes.Steps = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))


def lacks() -> str:
    """Return what is missing to run the provider, nothing where all is here."""
    return " and ".join(name for name in ("node", "npm") if shutil.which(name) is None)


def installed() -> Path:
    """Return the folder of the program with its locked packages; they are fetched once into the person's cache."""
    files = ("package.json", "package-lock.json", "provider.mjs")
    mark = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "watchword" / f"openid-{mark}"
    if not folder.exists():
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        fresh.mkdir(parents=True)
        for name in files:
            shutil.copy(SOURCE / name, fresh / name)
        words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
        done = subprocess.run(words, cwd=fresh, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode != 0:
            shutil.rmtree(fresh)
            raise EmbeddedError(f"npm could not fetch the identity provider: {done.stderr[-500:]}")
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
    return folder


class EmbeddedProvider:
    """One identity provider."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        """``settings``: its clients, people, title, and whether it asks for a second factor."""
        self.log = folder / "log" / "openid.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = settings
        self._config = folder / "openid.json"
        self._pid_file = folder / "run" / "openid.pid"
        self._port = same_or_free(processes.load_state(self._config).get("port"))

    @property
    def url(self) -> str:
        """Return the issuer."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def is_running(self) -> bool:
        """Whether our provider's process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the provider on the port of last time, and wait until it answers."""
        if self.is_running:
            return
        processes.settle_previous(self._pid_file, self._config, STOP)
        processes.save_state(self._config, {**self._settings, "port": self._port})
        program = installed() / "provider.mjs"
        with processes.cleared_on_failure(self.stop):
            with processes.open_log(self.log) as log:
                self.process = subprocess.Popen(
                    ["node", str(program), str(self._config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=processes.tether(signal.SIGTERM),  # noqa: PLW1509 - one call into the kernel, no lock is taken
                )
            self._pid_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._pid_file.write_text(str(self.process.pid), encoding="ascii")
            processes.wait_until(self._answers, self.process, "the identity provider", self.log)

    def stop(self) -> None:
        """Stop the provider. It keeps nothing."""
        processes.end(self.process, STOP)
        self.process = None
        self._pid_file.unlink(missing_ok=True)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=2)
        try:
            connection.request("GET", "/.well-known/openid-configuration")
            answer = connection.getresponse()
            return answer.status == http.client.OK and json.loads(answer.read())["issuer"] == self.url
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
