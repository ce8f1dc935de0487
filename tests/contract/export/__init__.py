"""A partner's facts in files, checked by somebody else's program."""
