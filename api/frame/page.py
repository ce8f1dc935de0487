"""A page in its frame, the way from one to the next, and how an error looks."""

import json
from collections.abc import Callable
from dataclasses import replace

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from api.cookies import clear_cookie, cookie_name, one_cookie, set_cookie
from api.doors import SAFE_METHODS, Asked, csrf_token
from api.frame.files import HERE, STATIC
from api.frame.forms import LABELS, Wrong, asks_for_password, proof_for, when, wrong_of
from api.frame.notices import SAID, Notice
from api.frame.wanted import address_of, keep_wanted, page_of
from api.refusals import NotYet
from domain.facts import Factor
from domain.guessing import ChallengeEnded
from domain.kernel import Refused
from domain.permissions import Action, AnotherTenant, may
from domain.totp import MalformedCode
from handlers.callers import member, mfa_of
from handlers.ports import SessionEnded, Unavailable
from handlers.sessions import State, sign_out

PLACES = {
    State.ANONYMOUS: "/sign-in",
    State.IDENTIFIED: "/sign-in/account",
    State.MFA_CODE_REQUIRED: "/sign-in/code",
    State.MFA_SETUP_REQUIRED: "/mfa/setup",
    State.SIGNED_IN: "/",
}
"""Where each state of a sign-in goes on."""
SOON = 1.0
"""Seconds that a page waits for what others have just done."""


_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_templates.filters["when"] = when
_templates.globals["labels"] = LABELS
_templates.filters["words"] = lambda name: str(name).replace("_", " ").capitalize()


def page(asked: Asked, template: str, *, wrong: Wrong | None = None, status: int = 200, **context: object) -> Response:
    """Return a page in its frame."""
    notice, _ = _notice(asked)
    account, session = asked.caller.account, asked.caller.session
    signed_in = session is not None and session.state == State.SIGNED_IN
    me = member(account) if account and signed_in else None
    proof = proof_for(asked) if signed_in else "password"
    ask_password = proof if signed_in and asks_for_password(asked) else ""
    text = _templates.get_template(template).render(
        **context,
        static=STATIC,
        wrong=wrong,
        notice=notice,
        me=account if signed_in else None,
        sees_users=me is not None and may(me, Action.SEE_USERS),
        sees_audit=me is not None and may(me, Action.SEE_AUDIT),
        sees_sign_on=me is not None and may(me, Action.MANAGE_SIGN_ON),
        mails=asked.watchword.settings.mail_pages,
        csrf=csrf_token(session.handle, asked.s) if session else "",
        proof=proof,
        ask_password=ask_password,
        ask_code=bool(ask_password) and account is not None and _has_codes(account.account_id, asked),
        support=asked.watchword.settings.support_url,
    )
    answer = HTMLResponse(text, wrong.status if wrong else status, headers=wrong.headers if wrong else None)
    if notice is not None:
        set_cookie(asked.response, asked.watchword, "watchword-said", "", max_age=0)
    return _with_cookies(asked, answer)


def _has_codes(account_id: str, asked: Asked) -> bool:
    return mfa_of(account_id, asked.s)[0].factor is Factor.ACTIVE


def go(asked: Asked, path: str, said: str | None = None, position: int = 0) -> Response:
    """Lead to a page, which will say what has happened, and wait for it."""
    if said is not None:
        set_cookie(asked.response, asked.watchword, "watchword-said", f"{said}.{position}", max_age=60)
    return _with_cookies(asked, RedirectResponse(path, 303))


def _with_cookies(asked: Asked, answer: Response) -> Response:
    for name, value in asked.response.headers.items():
        if name in {"set-cookie", "clear-site-data"}:
            answer.headers.append(name, value)
    return answer


def _notice(asked: Asked) -> tuple[Notice | None, int]:
    cookie = one_cookie(asked.request, cookie_name(asked.watchword, "watchword-said")) or ""
    name, _, position = cookie.partition(".")
    return SAID.get(name), int(position) if position.isdecimal() and len(position) < 19 else 0  # noqa: PLR2004 bigint


def catch_up(asked: Asked, *views: str) -> tuple[int, int]:
    """Let the views come to the newest fact, and longer to the command that led to this page.

    If they cannot, the page says how far they are. Returns how far they have come, and how old that is in ms.
    """
    last, own = asked.s.store.last_position(), _notice(asked)[1]
    led_here = 0 < own <= last  # a made-up position waits for nothing
    if led_here:
        return asked.follow(own, last, *views)
    return asked.follow(last, last, *views, seconds=SOON)


def sign_out_here(asked: Asked) -> None:
    """Take the session cookie back."""
    clear_cookie(asked.response, asked.watchword)
    asked.caller = replace(asked.caller, session=None, account=None, token_hash=None)


def tried(
    asked: Asked, wish: Callable[[], Response], otherwise: Callable[[Wrong], Response], form: str = ""
) -> Response:
    """Carry a wish out; what was refused is said on the page that held the form, with everything as it was.

    The last wrong password or code of a sign-in ends it: then there is nothing more to show, and the way leads back.
    """
    try:
        return wish()
    except (SessionEnded, AnotherTenant):
        raise
    except (Refused, ValidationError, MalformedCode, Unavailable) as error:
        if isinstance(error, Refused) and _is_over(asked, error):
            sign_out_here(asked)
            return go(asked, PLACES[State.ANONYMOUS], "too_many_tries")
        return otherwise(wrong_of(error, asked.caller.at, form))


def _is_over(asked: Asked, error: Refused) -> bool:
    if isinstance(error, ChallengeEnded):
        sign_out(asked.caller, asked.s)
    hashed = asked.caller.token_hash
    return hashed is not None and asked.s.sessions.find(hashed, asked.caller.at) is None


def of_error(request: Request, error: Exception, answer: JSONResponse) -> Response:
    """Return a page for an error that no form holds; who only looks is led to where the sign-in goes on."""
    asked: Asked | None = getattr(request.state, "asked", None)
    here = request.url.path
    if isinstance(error, SessionEnded | NotYet) and (request.method in SAFE_METHODS or here == PLACES[State.ANONYMOUS]):
        state = (
            State(str(error.because.get("state", State.ANONYMOUS))) if isinstance(error, NotYet) else State.ANONYMOUS
        )
        response: Response = RedirectResponse(PLACES[state], 303)
        if request.method in SAFE_METHODS:
            keep_wanted(request, response, page_of(request.app, address_of(request)))
        said = None if here == "/" or state is not State.ANONYMOUS else "session_ended"
        if said and request.method not in SAFE_METHODS:
            said = "form_too_old"
        if said and one_cookie(request, cookie_name(request.app.state.watchword, "watchword-said")) is None:
            set_cookie(response, request.app.state.watchword, "watchword-said", f"{said}.0", max_age=60)
        return response
    said_to_people = json.loads(bytes(answer.body))
    text = _templates.get_template("error.html").render(
        static=STATIC,
        status=answer.status_code,
        heading=said_to_people["title"],
        detail=said_to_people["detail"],
        errors=said_to_people.get("errors", []),
        notice=None,
        wrong=None,
        me=None,
        mails=False,
        sees_users=False,
        sees_audit=False,
        sees_sign_on=False,
    )
    headers = {k: v for k, v in answer.headers.items() if k in {"retry-after", "allow"}}
    page_answer = HTMLResponse(text, answer.status_code, headers=headers)
    return _with_cookies(asked, page_answer) if asked is not None else page_answer
