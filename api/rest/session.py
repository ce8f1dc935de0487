"""Signing in and out: ``/session`` and ``/sign-in``."""

from typing import Annotated

from fastapi import Depends, Response

from api.cookies import clear_cookie
from api.doors import ANYBODY, CHOOSING, GIVING_A_CODE, SIGNED_IN, Admit, Asked, with_session
from api.rest import json_doors
from api.rest.answers import PositionAnswer, SessionAnswer, session_answer
from handlers import confirming, sessions, sign_in
from handlers.sessions import Progress
from handlers.shapes import Id

router = json_doors("sign-in")


def _went_on(asked: Asked, progress: Progress) -> SessionAnswer:
    asked.proceed(progress)
    return session_answer(asked, progress.session, progress.account, progress.position)


@router.get("/session")
def read_session(asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> SessionAnswer:
    """Return how far the sign-in has come. A browser without one gets a pre-session, to which its sign-in form is bound."""
    asked = with_session(asked)
    return session_answer(asked, asked.caller.session, asked.caller.account)


@router.delete("/session", status_code=204, response_class=Response)
def sign_out(asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> None:
    """End the sign-in."""
    sessions.sign_out(asked.caller, asked.s)
    clear_cookie(asked.response, asked.watchword)
    asked.response.headers["Clear-Site-Data"] = '"cache", "storage"'


@router.post("/sign-in")
def post_sign_in(command: sign_in.SignIn, asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> SessionAnswer:
    """Prove the password. One account behind it is selected at once; of several, one has to be chosen."""
    return _went_on(asked, sign_in.sign_in(command, asked.caller, asked.s))


@router.post("/sign-in/account")
def post_account(command: sign_in.SelectAccount, asked: Annotated[Asked, Depends(Admit(CHOOSING))]) -> SessionAnswer:
    """Choose one of the accounts behind the proved password."""
    return _went_on(asked, sign_in.select_account(command, asked.caller, asked.s))


@router.post("/sign-in/code")
def post_code(command: sign_in.EnterCode, asked: Annotated[Asked, Depends(Admit(GIVING_A_CODE))]) -> SessionAnswer:
    """Give the code of the authenticator app; each code is accepted once."""
    return _went_on(asked, sign_in.enter_code(command, asked.caller, asked.s))


@router.post("/session/step-up")
def post_step_up(command: confirming.StepUp, asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> SessionAnswer:
    """Give the password once more, and the code where MFA is active; opens the protected commands for five minutes."""
    return _went_on(asked, confirming.step_up(command, asked.caller, asked.s))


@router.post("/unlock/{link_id}/confirm")
def post_unlock(
    link_id: Id, command: sign_in.UnlockSignIn, asked: Annotated[Asked, Depends(Admit(ANYBODY))]
) -> PositionAnswer:
    """Open sign-in from unknown devices again, by the link in the mail about the lock."""
    return PositionAnswer(position=asked.at(sign_in.unlock_sign_in(link_id, command, asked.caller, asked.s)))
