"""The machine under Watchword: its servers, its supervisor, its lock files and its compose file."""
