"""What may be asked: commands, the functions that answer them, and the sockets for everything outside."""
