"""What happened, from the streams themselves, and who took it away in files."""

from dataclasses import replace

from domain.facts import AuditExported
from domain.kernel import Envelope
from handlers.callers import decided_again
from handlers.ports import Change, Origin, Sockets


def account_history(account_id: str, s: Sockets) -> list[Envelope]:
    """Return everything that happened to one account and its MFA, newest first."""
    streams = (f"account:{account_id}", f"user_mfa:{account_id}", f"attempts:account:{account_id}")
    envelopes = [envelope for stream in streams for envelope in s.store.history(stream)]
    return sorted(envelopes, key=lambda envelope: (envelope.at, envelope.stream, envelope.version), reverse=True)


def record_export(exported: AuditExported, origin: Origin, s: Sockets, *, partner_id: str) -> int:
    """Keep that a partner's facts were handed over; return the position."""
    asked = replace(origin, command_id=s.chance.new_id(), fingerprint="")
    stream = f"audit:{partner_id}"

    def append() -> int:
        version = s.store.load(stream, lambda count, _: count + 1, 0)[1]
        return s.store.append(Change(stream, version, [exported], partner_id), origin=asked)

    return decided_again(append)
