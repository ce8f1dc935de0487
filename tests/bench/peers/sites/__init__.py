"""What peers are told about themselves, in their own languages; copied into their folders, never run from here."""
