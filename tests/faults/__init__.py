"""The running service, under load, while something is broken on purpose; and whether a fact was lost."""
