"""From nobody to the dashboard: password, account, code; and out again. All of it works without JavaScript."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.doors import ANYBODY, CHOOSING, GIVING_A_CODE, Admit, Asked, form_of, with_session
from api.frame.forms import Wrong, command
from api.frame.page import PLACES, go, page, sign_out_here, tried
from api.frame.wanted import forget_wanted, wanted
from api.routes import Door
from handlers import sessions, sign_in
from handlers.sessions import Progress, State

router = APIRouter(route_class=Door, include_in_schema=False)


def went_on(asked: Asked, progress: Progress, said: str | None = None) -> Response:
    """Lead to where the sign-in stands now."""
    asked.proceed(progress)
    state = State(progress.session.state) if progress.session else State.ANONYMOUS
    if state is not State.SIGNED_IN:
        return go(asked, PLACES[state], said, progress.position or 0)
    forget_wanted(asked.response, asked.watchword)
    return go(asked, wanted(asked.request) or PLACES[state], said, progress.position or 0)


@router.get("/sign-in")
def show_sign_in(asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Ask for address and password."""
    if asked.caller.session and asked.caller.session.state == State.SIGNED_IN:
        return go(asked, wanted(asked.request) or "/")
    return sign_in_form(asked)


def sign_in_form(asked: Asked, wrong: Wrong | None = None) -> Response:
    """Return the page that asks for address and password. Of no partner's identity provider anything is said here."""
    typed = form_of(asked.request).get("email", "")
    return page(with_session(asked), "sign_in/password.html", wrong=wrong, email=typed)


@router.post("/sign-in")
def post_sign_in(asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Compare the password."""

    def wish() -> Response:
        return went_on(asked, sign_in.sign_in(command(sign_in.SignIn, asked), asked.caller, asked.s))

    return tried(asked, wish, lambda wrong: sign_in_form(asked, wrong))


@router.get("/sign-in/account")
def show_accounts(asked: Annotated[Asked, Depends(Admit(CHOOSING))]) -> Response:
    """Ask which of the accounts behind the password is meant."""
    return _accounts(asked)


def _accounts(asked: Asked, wrong: Wrong | None = None) -> Response:
    choices = asked.caller.session.choices if asked.caller.session else ()
    accounts = asked.s.people.accounts([choice.split("|")[0] for choice in choices])
    return page(asked, "sign_in/account.html", wrong=wrong, accounts=accounts)


@router.post("/sign-in/account")
def post_account(asked: Annotated[Asked, Depends(Admit(CHOOSING))]) -> Response:
    """Go on as the chosen account."""

    def wish() -> Response:
        return went_on(asked, sign_in.select_account(command(sign_in.SelectAccount, asked), asked.caller, asked.s))

    return tried(asked, wish, lambda wrong: _accounts(asked, wrong))


@router.get("/sign-in/code")
def show_code(asked: Annotated[Asked, Depends(Admit(GIVING_A_CODE))]) -> Response:
    """Ask for the code of the authenticator app."""
    return _code_form(asked)


def _code_form(asked: Asked, wrong: Wrong | None = None) -> Response:
    return page(asked, "sign_in/code.html", wrong=wrong, account=asked.caller.person())


@router.post("/sign-in/code")
def post_code(asked: Annotated[Asked, Depends(Admit(GIVING_A_CODE))]) -> Response:
    """Judge the code."""

    def wish() -> Response:
        return went_on(asked, sign_in.enter_code(command(sign_in.EnterCode, asked), asked.caller, asked.s))

    return tried(asked, wish, lambda wrong: _code_form(asked, wrong))


@router.post("/sign-out")
def post_sign_out(asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """End the sign-in."""
    sessions.sign_out(asked.caller, asked.s)
    sign_out_here(asked)
    forget_wanted(asked.response, asked.watchword)
    asked.response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return go(asked, "/sign-in", "signed_out")
