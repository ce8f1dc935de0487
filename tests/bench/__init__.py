"""How quick Watchword is, beside the least that the same work can cost on the same machine."""
