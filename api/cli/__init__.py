"""The console command ``watchword``: serve, take a directory over, look after it, and prove what happened."""

import gc

gc.disable()  # What is made here stays: to look through it for garbage again and again is a sixth of the start.
from api.cli.main import main  # noqa: E402

gc.freeze()
gc.enable()

__all__ = ["main"]
