"""Where mailed links lead. Opening one changes nothing; its secret stands behind the ``#`` and comes with the form."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.doors import ANYBODY, Admit, Asked, form_of, with_session
from api.frame.forms import Wrong, command
from api.frame.page import PLACES, go, page, sign_out_here, tried
from api.pages.setup import mailed_secret
from api.routes import Door
from domain.facts import Initiator
from handlers import reset, sign_in
from handlers.callers import mfa_of
from handlers.sessions import State
from handlers.shapes import Id

router = APIRouter(route_class=Door, include_in_schema=False)


@router.get("/reset/{reset_id}")
def show_reset(reset_id: Id, asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Show what the link will do."""
    return _reset(reset_id, asked)


def _reset(reset_id: str, asked: Asked, wrong: Wrong | None = None) -> Response:
    asked = with_session(asked)
    link = asked.s.links.find(reset_id)
    account = asked.s.people.account(link.account_id) if link else None
    waiting = mfa_of(account.account_id, asked.s)[0].reset if account and not account.disabled else None
    if account is None or waiting is None or waiting.reset_id != reset_id or waiting.expires_at < asked.caller.at:
        return page(asked, "links/gone.html", wrong=wrong, status=410)
    own = asked.caller.account is not None and asked.caller.account.account_id == account.account_id
    if waiting.by is Initiator.PERSON:
        state = asked.caller.session.state if own and asked.caller.session else State.ANONYMOUS
        by_provider = account.credential_id is None  # there is no password: the provider's word has opened this sign-in
        signed_in = state == State.SIGNED_IN or (by_provider and own)
        typed = mailed_secret(form_of(asked.request).get("secret", ""))
        known = {"signed_in": signed_in, "by_provider": by_provider}
        return page(asked, "links/reset.html", wrong=wrong, reset_id=reset_id, secret=typed, **known)
    state = State(asked.caller.session.state) if own and asked.caller.session else State.ANONYMOUS
    goes_on = state in {State.MFA_SETUP_REQUIRED, State.SIGNED_IN}
    return page(asked, "links/set_up_again.html", wrong=wrong, onward="/mfa/setup" if goes_on else PLACES[state])


@router.post("/reset/{reset_id}")
def post_reset(reset_id: Id, asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Confirm the own reset."""
    secret = mailed_secret(form_of(asked.request).get("secret", ""))

    def wish() -> Response:
        position = reset.confirm_reset(
            reset_id, command(reset.ConfirmReset, asked, secret=secret), asked.caller, asked.s
        )
        sign_out_here(asked)
        return go(asked, "/sign-in", "reset_confirmed", position)

    return tried(asked, wish, lambda wrong: _reset(reset_id, asked, wrong))


@router.get("/unlock/{link_id}")
def show_unlock(link_id: Id, asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Show what the link will do."""
    return page(with_session(asked), "links/unlock.html", link_id=link_id)


@router.post("/unlock/{link_id}")
def post_unlock(link_id: Id, asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Open sign-in from unknown devices again."""
    secret = mailed_secret(form_of(asked.request).get("secret", ""))

    def wish() -> Response:
        position = sign_in.unlock_sign_in(
            link_id, command(sign_in.UnlockSignIn, asked, secret=secret), asked.caller, asked.s
        )
        return go(asked, "/sign-in", "sign_in_unlocked", position)

    return tried(
        asked, wish, lambda wrong: page(with_session(asked), "links/unlock.html", wrong=wrong, link_id=link_id)
    )
