"""A form of an earlier sign-in: what happened meanwhile in another window, and the way on. Nothing of it was carried out."""

from fastapi import Request, Response

from api.doors import Asked, caller_of, form_of, is_form, same_origin, with_session
from api.frame.page import PLACES, go, page
from api.frame.wanted import keep_wanted, page_of_form, wanted
from api.refusals import CrossSite
from domain.kernel import Refused
from handlers.ports import SessionEnded
from handlers.sessions import State

_SAFE_TO_SHOW = ("reason", "name", "issuer", "client_id", "tenant", "email")
"""Fields that hold no secret: what was typed there is shown once more, so that it need not be remembered."""


def of_outdated_form(request: Request, error: Exception) -> Response | None:
    """Return the page for a form of ours that its sign-in has left behind; None for what is no such form."""
    if not isinstance(error, CrossSite | SessionEnded) or request.method != "POST" or not is_form(request):
        return None
    try:
        same_origin(request, request.app.state.watchword)
        caller = caller_of(request, request.app.state.watchword)
    except Refused:
        return None
    asked = Asked(caller, request.app.state.watchword, request, Response())
    state = State(caller.session.state) if caller.session else State.ANONYMOUS
    here = request.scope["path"]
    if state is State.ANONYMOUS and here == "/sign-out":
        return go(asked, PLACES[state], "signed_out")
    if state is State.ANONYMOUS and here == PLACES[state]:
        return _sign_in_again(asked)
    if state is State.SIGNED_IN and here.startswith(PLACES[State.ANONYMOUS]) and here != "/sign-in/again":
        return go(asked, wanted(request) or PLACES[state], "signed_in_already")
    return _explained(asked, state, 401 if isinstance(error, SessionEnded) else 403)


def _sign_in_again(asked: Asked) -> Response:
    """Show the sign-in form under the pre-session of today, with the address that was typed."""
    typed = form_of(asked.request).get("email", "")
    return page(with_session(asked), "sign_in/password.html", status=403, email=typed, outdated=True)


def _explained(asked: Asked, state: State, status: int) -> Response:
    back, given = page_of_form(asked.request), form_of(asked.request)
    if state is not State.SIGNED_IN:
        keep_wanted(asked.request, asked.response, back)
    onward = back if state is State.SIGNED_IN else PLACES[state]
    typed = {name: given[name] for name in _SAFE_TO_SHOW if given.get(name, "").strip()}
    return page(asked, "outdated.html", status=status, state=state.value, onward=onward, typed=typed)
