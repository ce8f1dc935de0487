"""What one try of a password counts against, and the devices that have signed in before."""

import hmac
import re
from dataclasses import replace

from domain.facts import SignInLocked
from handlers.callers import Caller, decided_again
from handlers.limits import PASSWORD_BY_NETWORK, PASSWORD_BY_NETWORK_DAILY, PASSWORD_ELSEWHERE, PASSWORD_ON_DEVICE
from handlers.ports import AccountEntry, Change, Limit, Reservation, Sockets
from handlers.shapes import mail_key

_DEVICE_NAME = re.compile(r"[0-9a-f-]{36}", re.ASCII)


def known_device(caller: Caller, key: str, s: Sockets) -> str:
    """Return the name of the device if it has signed in with this address's password before, else nothing.

    Where one address has several passwords, no device is known: one partner's account proves nothing for another's.
    """
    name, _, proof = caller.device.partition(".")
    credentials = s.people.credentials(key) if _DEVICE_NAME.fullmatch(name) else ()
    if len(credentials) != 1 or not hmac.compare_digest(proof, _device_proof(name, credentials[0].credential_id, s)):
        return ""
    return name


def _device_proof(name: str, credential_id: str, s: Sockets) -> str:
    return s.keys.digest("device", f"{name}|{credential_id}")


def device_cookie(caller: Caller, account: AccountEntry, s: Sockets) -> str | None:
    """Return the cookie by which this device is known for the account's password from now on."""
    name = known_device(caller, mail_key(account.mail_address), s) or s.chance.new_id()
    return f"{name}.{_device_proof(name, account.credential_id, s)}" if account.credential_id else None


def password_was_right(
    own: list[tuple[Limit, str]], network: list[tuple[Limit, str]], s: Sockets, *, of_all: bool
) -> None:
    """Forget the tries of the address, if the password was right for all of its accounts; else give back this one alone."""
    if of_all:
        s.throttle.clear(*own)
        s.throttle.refund(*network)
    else:
        s.throttle.refund(*own, *network)


def password_tries(caller: Caller, key: str, s: Sockets) -> tuple[list[tuple[Limit, str]], list[tuple[Limit, str]]]:
    """Return the counts of one password try: those of the address, and those of the network."""
    address = s.keys.digest("mail", key)
    device = known_device(caller, key, s)
    own = (PASSWORD_ON_DEVICE, f"{address}:{device}") if device else (PASSWORD_ELSEWHERE, address)
    return [own], [(PASSWORD_BY_NETWORK, caller.network), (PASSWORD_BY_NETWORK_DAILY, caller.network)]


def tell_of_lock(account: AccountEntry, reservation: Reservation, caller: Caller, s: Sockets) -> None:
    """Let the person hear, once for each lock, that wrong passwords have to wait, with a link that opens sign-in at once."""
    fact = SignInLocked(until=reservation.blocked_until, unlock_id=s.chance.new_id())
    stream = f"account:{account.account_id}"
    origin = replace(caller.on(account).origin(), command_id=s.chance.new_id())

    def append() -> int:
        version = s.store.load(stream, lambda count, _: count + 1, 0)[1]
        return s.store.append(Change(stream, version, [fact], account.partner_id), origin=origin)

    decided_again(append)
