"""What happened, from the streams themselves."""

from domain.kernel import Envelope
from handlers.ports import Sockets


def account_history(account_id: str, s: Sockets) -> list[Envelope]:
    """Return everything that happened to one account and its MFA, newest first."""
    streams = (f"account:{account_id}", f"user_mfa:{account_id}", f"attempts:account:{account_id}")
    envelopes = [envelope for stream in streams for envelope in s.store.history(stream)]
    return sorted(envelopes, key=lambda envelope: (envelope.at, envelope.stream, envelope.version), reverse=True)
