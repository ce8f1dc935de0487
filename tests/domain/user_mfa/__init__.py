"""One account's authenticator: the switch, the set-up, the codes, the resets, and walks through all of them."""
