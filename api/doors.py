"""The one guard: who is asking, how far that sign-in has come, and whether this route is open to it."""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import parse_qsl

from fastapi import Request, Response

from api.bootstrap import Watchword
from api.client_address import network, prefix
from api.cookies import cookie_name, one_cookie, set_cookie
from api.refusals import CrossSite, KeyReused, NotAmongThese, NotYet, ViewBehind
from handlers.callers import Caller
from handlers.ports import Known, SessionEnded, Sockets
from handlers.sessions import Progress, State, anonymous_session, start_anonymous, token_hash
from projections.views import come_to

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEVICE_SECONDS = 400 * 24 * 3600
"""How long a browser remembers a device cookie: the most that browsers allow."""
WAIT_SECONDS = 5.0
"""How long a query waits for the position that it asks for."""

ANYBODY = frozenset(State)
SIGNED_IN = frozenset({State.SIGNED_IN})
CHOOSING = frozenset({State.IDENTIFIED})
GIVING_A_CODE = frozenset({State.MFA_CODE_REQUIRED})
SETTING_UP = frozenset({State.MFA_SETUP_REQUIRED, State.SIGNED_IN})


@dataclass(slots=True)
class Asked:
    """One request that was let in: who asks, and with what it is answered."""

    caller: Caller
    watchword: Watchword
    request: Request
    response: Response
    known: Known | None = None

    @property
    def s(self) -> Sockets:
        """The sockets."""
        return self.watchword.sockets

    def once(self, wish: Callable[[], int]) -> int:
        """Carry a command out, unless the same wish was carried out under the same idempotency key already."""
        position = self.known.position if self.known else wish()
        return self.at(position)

    def at(self, position: int) -> int:
        """Say the position in the answer's header too."""
        self.response.headers["Watchword-Position"] = str(position)
        return position

    def proceed(self, progress: Progress) -> None:
        """Put where the sign-in stands now into the cookies."""
        if progress.position is not None:
            self.at(progress.position)
        if progress.token is not None:
            set_cookie(self.response, self.watchword, "watchword", progress.token)
        if progress.device is not None:
            set_cookie(self.response, self.watchword, "watchword-device", progress.device, max_age=DEVICE_SECONDS)

    def wait(self, min_position: int | None, *views: str) -> tuple[int, int]:
        """Wait until the views have come to a position; return how far they have come, and how old that is in ms."""
        wanted, last = min_position or 0, self.s.store.last_position() if min_position else None
        if last is not None and wanted > last:
            raise ViewBehind
        come, lag = self.follow(wanted, last, *views)
        if come < wanted:
            raise ViewBehind
        return come, lag

    def follow(self, at: int, last: int | None, *views: str, seconds: float | None = None) -> tuple[int, int]:
        """Wait a while for the views to come to a position; return how far they have come, and how old that is in ms.

        ``last``: the log's last position, where it is known: a view that has come there is as new as can be.
        """
        come = come_to(self.watchword.views.one, views, at, seconds or WAIT_SECONDS)
        ahead = self.s.store.read(come, 1) if last is None or come < last else ()
        lag = (self.caller.at - ahead[0].at).total_seconds() * 1000 if ahead else 0
        return self.at(come), max(0, int(lag))


class Admit:
    """A route's declaration of whom it lets in. ``service``: the scope with which a program may come, None: none may.

    ``signed``: what is sent proves by its own signature whose wish it is; no session counts, so none is protected.
    """

    def __init__(
        self, states: Iterable[State], *, service: str | None = None, once: bool = False, signed: bool = False
    ) -> None:
        self.states = frozenset(states)
        self.service = service
        self.once = once
        self.signed = signed

    async def __call__(self, request: Request, response: Response) -> "Guard":
        """Return what lets the request in or refuses it; the door asks it, in its thread."""
        guard = partial(self.admit, request, response)
        request.state.guard = guard
        return guard

    def admit(self, request: Request, response: Response) -> Asked:
        """Let the request in, or raise why not."""
        watchword: Watchword = request.app.state.watchword
        caller = caller_of(request, watchword)
        if caller.service is not None:
            if self.service is None or self.service not in caller.service.scopes:
                raise NotAmongThese
        else:
            self._admit_browser(request, caller, watchword)
        if self.once:
            caller = _under_its_key(request, caller, watchword.sockets)
        asked = Asked(caller, watchword, request, response, self._known(caller, watchword))
        request.state.asked = asked
        return asked

    def _admit_browser(self, request: Request, caller: Caller, watchword: Watchword) -> None:
        state = State(caller.session.state) if caller.session else State.ANONYMOUS
        if request.method not in SAFE_METHODS and not self.signed:
            same_origin(request, watchword)
            csrf_token_given(request, caller, watchword)
        if state not in self.states:
            if state is State.ANONYMOUS:
                raise SessionEnded
            raise NotYet(state=state.value)

    @staticmethod
    def _known(caller: Caller, watchword: Watchword) -> Known | None:
        if not caller.fingerprint:
            return None
        known = watchword.store.known(caller.command_id)
        if known is not None and known.fingerprint != caller.fingerprint:
            raise KeyReused
        return known


Guard = Callable[[], Asked]
"""Returns who asks, or refuses."""


def caller_of(request: Request, watchword: Watchword) -> Caller:
    """Return who asks: a service by its token, a browser by its cookie, or nobody."""
    s, state, now = watchword.sockets, request.scope["state"], watchword.sockets.clock.now()
    service, hashed, found, anonymous = None, None, None, None
    authorization = request.headers.get("authorization")
    if authorization is not None:
        kind, _, token = authorization.partition(" ")
        service = watchword.tokens.find(token.strip()) if kind.lower() == "bearer" else None
        if service is None:
            raise SessionEnded
    elif cookie := one_cookie(request, cookie_name(watchword, "watchword")):
        hashed = token_hash(cookie, s)
        anonymous = anonymous_session(cookie, now, s)
        found = None if anonymous else s.sessions.find(hashed, now)
    return Caller(
        at=now,
        command_id=s.chance.new_id(),
        network=network(state["ip"]) if state["ip"] else s.chance.new_id(),  # who is unknown shares nobody's count
        ip_prefix=prefix(state["ip"]),
        correlation_id=state["correlation_id"],
        device=one_cookie(request, cookie_name(watchword, "watchword-device")) or "",
        token_hash=hashed if found else None,
        session=found.session if found else anonymous,
        account=found.account if found else None,
        service=service,
        ahead=found.ahead if found else None,
    )


def _under_its_key(request: Request, caller: Caller, s: Sockets) -> Caller:
    """Give a wish with an idempotency key a command id that is the same each time."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return caller
    whose = caller.session.handle if caller.session else caller.actor
    asked = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + request.scope["state"]["body"])
    command_id = s.keys.digest("idempotency", f"{whose}|{request.method}|{request.url.path}|{key}")
    return replace(caller, command_id=command_id, fingerprint=asked.hexdigest())


def same_origin(request: Request, watchword: Watchword) -> None:
    """Refuse what another site made the browser send. Source: the product's security design, section 1."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None and site != "same-origin":
        raise CrossSite
    if origin is not None and origin not in watchword.settings.origins:
        raise CrossSite
    if site is None and origin is None:
        raise CrossSite


def csrf_token(caller_handle: str, s: Sockets) -> str:
    """Return the token that a page of this sign-in sends back."""
    return s.keys.digest("csrf", caller_handle)


def csrf_token_given(request: Request, caller: Caller, watchword: Watchword) -> None:
    """Refuse an unsafe request without the token of its own sign-in."""
    if caller.session is None:
        raise SessionEnded
    given = request.headers.get("x-csrf-token") or form_of(request).get("csrf_token", "")
    if not hmac.compare_digest(given.encode(), csrf_token(caller.session.handle, watchword.sockets).encode()):
        raise CrossSite


def is_form(request: Request) -> bool:
    """Say whether a page's form was posted."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == "application/x-www-form-urlencoded"


def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a posted form; none for anything else, and none that cannot be read."""
    return dict(fields_of(request))


def fields_of(request: Request) -> list[tuple[str, str]]:
    """Return the fields of a posted form in their order, those of one name too."""
    if not is_form(request):
        return []
    try:
        text = request.scope["state"]["body"].decode()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        return []


def with_session(asked: Asked) -> Asked:
    """Give a browser without a sign-in a pre-session; nothing is stored for it."""
    session = asked.caller.session
    if asked.caller.service is not None or (session is not None and session.state != State.ANONYMOUS):
        return asked
    progress = start_anonymous(asked.caller, asked.s)
    asked.proceed(progress)
    asked.caller = replace(asked.caller, session=progress.session)
    return asked
