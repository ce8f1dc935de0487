"""The mail catcher as a server of the data folder: started, found on the same port again, stopped."""

import signal
import subprocess
import sys
from pathlib import Path

from api.embedded import processes
from api.embedded.ports import LOOPBACK, answers, same_or_free

STOP: processes.Steps = ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0))


class MailCatcher:
    """One catcher and its folder of mails."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.mail_dir = self.data_dir / "mail"
        self.log = self.data_dir / "log" / "mail.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._state_file = self.data_dir / "mail.json"
        self._pid_file = self.data_dir / "run" / "mail.pid"
        self._port = 0

    @property
    def url(self) -> str:
        """The address for SMTP_URL, known once started."""
        return f"smtp://{LOOPBACK}:{self._port}"

    @property
    def is_running(self) -> bool:
        """Whether our catcher lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the catcher on the port of last time, and wait until it answers."""
        if self.is_running:
            return
        processes.settle_previous(self._pid_file, self.mail_dir, STOP)
        known = processes.load_state(self._state_file)
        self._port = same_or_free(known.get("port"))
        processes.save_state(self._state_file, {"port": self._port})
        words = ["-m", "api.embedded.mail", "--port", str(self._port), "--dir", str(self.mail_dir)]
        with processes.cleared_on_failure(self.stop):
            with processes.open_log(self.log) as log:
                self.process = subprocess.Popen(
                    [sys.executable, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=processes.tether(signal.SIGTERM),  # noqa: PLW1509 - one call into the kernel, no lock is taken
                )
            self._pid_file.parent.mkdir(mode=0o700, exist_ok=True)
            self._pid_file.write_text(str(self.process.pid), encoding="ascii")
            processes.wait_until(lambda: answers(self._port), self.process, "The mail catcher", self.log)

    def stop(self) -> None:
        """Stop the catcher; the mails stay."""
        processes.end(self.process, STOP)
        self.process = None
        self._pid_file.unlink(missing_ok=True)
