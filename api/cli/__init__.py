"""The console command ``watchword``: serve, take a directory over, look after it, and prove what happened."""

from api.cli.main import main

__all__ = ["main"]
