"""``python -m api.cli``: the same command without its installed name."""

from api.cli.main import main

main()
