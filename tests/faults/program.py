"""Relay, projector or worker as `watchword` runs them, but on the clock that all of a deployment share."""

import sys
from pathlib import Path

from api import bootstrap
from api.cli import main
from tests.attacks.web_process import SharedClock

if __name__ == "__main__":
    clock = SharedClock(Path(sys.argv.pop(1)))
    setattr(bootstrap, "SystemClock", lambda: clock)  # noqa: B010 the one place that makes the clock
    main()
