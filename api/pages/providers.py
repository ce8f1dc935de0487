"""To an identity provider and back; none of it needs JavaScript. Ours is the page between, so that no form leads elsewhere."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response

from api.doors import ANYBODY, SIGNED_IN, Admit, Asked, form_of, with_session
from api.frame.forms import Wrong, wrong_of
from api.frame.page import PLACES, go, page, tried
from api.pages.setup import mailed_secret
from api.pages.sign_in import sign_in_form, went_on
from api.routes import Door
from domain.identity import Provider
from domain.kernel import Refused
from handlers import errands, single_sign_on
from handlers.errands import Errand
from handlers.identity_providers import NoSuchProvider, known
from handlers.ports import Unavailable
from handlers.sessions import State
from handlers.shapes import Id

router = APIRouter(route_class=Door, include_in_schema=False)
PLACES_BACK = {
    "reset": "/security-settings?ask=reset",
    "off": "/security-settings?ask=switch-off",
    "policy": "/security-settings",
    "setup": "/mfa/setup",
    "identity": "/me/identities",
    "provider": "/single-sign-on",
    "credit": "/single-sign-on",
    "users": "/user-management",
}
"""Where somebody who confirmed at the provider goes on, by the name of the form that asked for it."""
_WHAT_COMES_BACK = 4096


def onward(asked: Asked, address: str, provider: Provider) -> Response:
    """Lead to a provider by a page of our own: a form that led there itself would need a wider Content-Security-Policy."""
    answer = page(asked, "sign_in/onward.html", address=address, provider=provider.shown_name())
    answer.headers["Refresh"] = f"0; url={address}"
    return answer


@router.get("/sign-in/with")
def show_discovery(
    asked: Annotated[Asked, Depends(Admit(ANYBODY))], partner: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    """Ask for the address, by whose domain the provider is found; ``partner``: the own address of a partner's people."""
    if asked.caller.session and asked.caller.session.state == State.SIGNED_IN:
        return go(asked, "/")
    return _discovery(asked, found=errands.choices("", partner, asked.s))


def _discovery(asked: Asked, wrong: Wrong | None = None, found: Sequence[Provider] = ()) -> Response:
    email = form_of(asked.request).get("email", "")
    several = len({each.partner_id for each in found}) > 1
    names = {each.partner_id: f" · {asked.s.people.partner_name(each.partner_id)}" for each in found if several}
    buttons = [(each.provider_id, f"{each.shown_name()}{names.get(each.partner_id, '')}") for each in found]
    return page(with_session(asked), "sign_in/discovery.html", wrong=wrong, found=buttons, email=email)


@router.post("/sign-in/with")
def post_discovery(asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Go to the provider that was chosen, or that the address's domain names; ask further where that is not one."""
    if asked.caller.session and asked.caller.session.state == State.SIGNED_IN:
        return go(asked, "/")
    given, s = form_of(asked.request), asked.s
    email, chosen = given.get("email", ""), given.get("provider_id", "")

    def wish() -> Response:
        found = [known(chosen, s)] if chosen else errands.choices(email, "", s)
        if len(found) == 1:
            address = errands.begin(found[0].provider_id, Errand.SIGN_IN, asked.caller, s)
            return onward(asked, address, found[0])
        if email and not found:
            sentence = "No identity provider is set up for this address. Sign in with your password."
            return _discovery(asked, Wrong(404, sentence))
        return _discovery(asked, found=found)

    return tried(asked, wish, lambda wrong: _discovery(asked, wrong))


Part = Annotated[str, Query(max_length=_WHAT_COMES_BACK)]


@router.get(errands.BACK)
def back(
    asked: Annotated[Asked, Depends(Admit(ANYBODY))],
    state: Part = "",
    code: Part = "",
    iss: Annotated[str | None, Query(max_length=_WHAT_COMES_BACK)] = None,
    error: Part = "",
) -> Response:
    """Judge what came back from a provider, and lead to where the sign-in stands now."""
    session = asked.caller.session
    signed_in = session is not None and session.state == State.SIGNED_IN
    if not state:
        return go(asked, PLACES[State(session.state) if session else State.ANONYMOUS])
    answer = single_sign_on.Answer(state, code, iss, error)
    try:
        returned = single_sign_on.finish(answer, asked.caller, asked.s)
    except (Refused, Unavailable) as refused:
        wrong = wrong_of(refused, asked.caller.at)
        return page(asked, "sign_in/not_accepted.html", wrong=wrong) if signed_in else sign_in_form(asked, wrong)
    if returned.errand in {Errand.SIGN_IN, Errand.INVITATION}:
        return went_on(asked, returned.progress)
    said = "identity_linked" if returned.errand is Errand.LINK else None
    return go(asked, PLACES_BACK.get(returned.back, "/"), said, returned.progress.position or 0)


@router.post("/sign-in/again")
def again(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Have the provider ask again who the person is, where others give their password."""

    def wish() -> Response:
        links = asked.s.identities.links(asked.caller.person().account_id)
        if not links:
            raise NoSuchProvider
        session = asked.s.identities.session(asked.caller.sign_in()[1].handle, asked.caller.at)
        which = session.provider_id if session and session.provider_id in links else min(links)
        back = form_of(asked.request).get("back", "").rstrip("0123456789")  # one page may hold several such forms
        address = errands.begin(which, Errand.CONFIRM, asked.caller, asked.s, back=back if back in PLACES_BACK else "")
        return onward(asked, address, known(which, asked.s))

    return tried(asked, wish, lambda wrong: page(asked, "sign_in/not_accepted.html", wrong=wrong))


@router.get("/invited/{link_id}")
def show_invitation(link_id: Id, asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Show what the invitation will do."""
    return page(with_session(asked), "links/invited.html", link_id=link_id)


@router.post("/invited/{link_id}")
def post_invitation(link_id: Id, asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Go to the provider of the invitation; who comes back is linked to its account."""
    secret = mailed_secret(form_of(asked.request).get("secret", ""))

    def wish() -> Response:
        provider, address = errands.begin_invited(link_id, secret, asked.caller, asked.s)
        return onward(asked, address, provider)

    return tried(
        asked, wish, lambda wrong: page(with_session(asked), "links/invited.html", wrong=wrong, link_id=link_id)
    )


@router.post("/sso/logout/{provider_id}")
def signed_out_there(provider_id: Id, asked: Annotated[Asked, Depends(Admit(ANYBODY, signed=True))]) -> Response:
    """End what the provider says has ended there: a program's call, which its signed token alone proves."""
    token = form_of(asked.request).get("logout_token", "")
    try:
        single_sign_on.sign_out_by_provider(provider_id, token, asked.caller, asked.s)
    except Refused:
        return JSONResponse({"error": "invalid_request"}, 400)
    except Unavailable:
        return JSONResponse({"error": "temporarily_unavailable"}, 503)
    return JSONResponse({})
