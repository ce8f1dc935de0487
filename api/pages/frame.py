"""What all pages share: the frame around them, what is said after a redirect, and how an error looks."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope, Send

from api.doors import SAFE_METHODS, Asked, clear_cookie, cookie_name, csrf_token, form_of, one_cookie, set_cookie
from api.pages.notices import SAID, Notice
from api.refusals import TABLE, NotYet
from domain.facts import Factor
from domain.kernel import Refused
from domain.permissions import Action, AnotherTenant, may
from domain.totp import MalformedCode
from handlers.callers import member, mfa_of
from handlers.ports import SessionEnded, Unavailable
from handlers.sessions import State, StepUp, step_up, token_hash

Wish = TypeVar("Wish", bound=BaseModel)
HERE = Path(__file__).parent.parent
PLACES = {
    State.ANONYMOUS: "/sign-in",
    State.IDENTIFIED: "/sign-in/account",
    State.MFA_CODE_REQUIRED: "/sign-in/code",
    State.MFA_SETUP_REQUIRED: "/mfa/setup",
    State.SIGNED_IN: "/",
}
"""Where each state of a sign-in goes on."""


def _version() -> str:
    files = sorted((HERE / "static").iterdir())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


STATIC = f"/static/{_version()}"
"""Where style sheet, script and pictures are. It changes with their content, so browsers may keep them for ever."""


class Lasting(StaticFiles):
    """Files that a browser fetches once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one file."""

        async def lasting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:  # noqa: PLR2004
                message["headers"].append((b"cache-control", b"public, max-age=31536000, immutable"))
            await send(message)

        await super().__call__(scope, receive, lasting)


def _when(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment else ""


_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["when"] = _when
_templates.filters["words"] = lambda name: str(name).replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a form was not taken: a sentence, and what is wrong with which field."""

    status: int
    sentence: str
    fields: dict[str, str] = field(default_factory=dict)
    form: str = ""
    """Which of the page's forms it was."""
    headers: dict[str, str] = field(default_factory=dict)


def wrong_of(error: Exception, now: datetime, form: str = "") -> Wrong:
    """Return what a person is told about an error."""
    if isinstance(error, ValidationError):
        fields = {str(each["loc"][0]): each["msg"].removeprefix("Value error, ") for each in error.errors()}
        return Wrong(422, "Some of the input is not as it should be; nothing has changed.", fields, form)
    if isinstance(error, MalformedCode):
        return Wrong(422, "Nothing has changed.", {"code": str(error)}, form)
    if isinstance(error, Unavailable):
        return Wrong(503, f"Try again in a moment: {error}.", {}, form)
    assert isinstance(error, Refused)  # noqa: S101 the only kind left of those that are caught
    said = TABLE[type(error)]
    sentence, until = said.sentence, error.because.get("until")
    if isinstance(until, str):
        moment = datetime.fromisoformat(until)
        seconds = max(1, int((moment - now).total_seconds()) + 1)
        return Wrong(
            said.status, f"{sentence} That is at {_when(moment)}.", {}, form, headers={"Retry-After": str(seconds)}
        )
    return Wrong(said.status, sentence, {}, form)


def tried(
    asked: Asked, wish: Callable[[], Response], otherwise: Callable[[Wrong], Response], form: str = ""
) -> Response:
    """Carry a wish out; what was refused is said on the page that held the form, with everything as it was."""
    try:
        return wish()
    except (SessionEnded, AnotherTenant):
        raise
    except (Refused, ValidationError, MalformedCode, Unavailable) as error:
        return otherwise(wrong_of(error, asked.caller.at, form))


def command(shape: type[Wish], asked: Asked, **more: object) -> Wish:
    """Return a command from the fields of the posted form; an empty field that may be left out is left out."""
    given = form_of(asked.request)
    fields = {name: given.get(name, "") for name in shape.model_fields if name not in more}
    optional = {name for name, info in shape.model_fields.items() if not info.is_required()}
    return shape.model_validate({n: v for n, v in fields.items() if v or n not in optional} | more)


# ── The password, asked again in the same form (D15) ──


def asks_for_password(asked: Asked) -> bool:
    """Say whether a protected command needs the password beside it."""
    session = asked.caller.session
    until = session.stepped_up_until if session else None
    return until is None or until < asked.caller.at


def stepped_up(asked: Asked) -> None:
    """Take the password, and the code where MFA is active, which the form asked for if the last ones are too old."""
    given = form_of(asked.request)
    if not asks_for_password(asked) or "password" not in given:
        return
    progress = step_up(StepUp(password=given["password"], code=given.get("code") or None), asked.caller, asked.s)
    asked.proceed(progress)
    assert progress.token is not None  # noqa: S101 a step up always takes a new token
    asked.caller = replace(
        asked.caller,
        token_hash=token_hash(progress.token, asked.s),
        session=progress.session,
        command_id=asked.s.chance.new_id(),
    )


# ── Answers ──


def page(asked: Asked, template: str, *, wrong: Wrong | None = None, status: int = 200, **context: object) -> Response:
    """Return a page in its frame."""
    notice, _ = _notice(asked)
    account, session = asked.caller.account, asked.caller.session
    signed_in = session is not None and session.state == State.SIGNED_IN
    me = member(account) if account and signed_in else None
    text = _templates.get_template(template).render(
        **context,
        static=STATIC,
        wrong=wrong,
        notice=notice,
        me=account if signed_in else None,
        sees_users=me is not None and may(me, Action.SEE_USERS),
        mails=asked.watchword.settings.mail_pages,
        csrf=csrf_token(session.handle, asked.s) if session else "",
        ask_password=signed_in and asks_for_password(asked),
        ask_code=signed_in and account is not None and mfa_of(account.account_id, asked.s)[0].factor is Factor.ACTIVE,
        support=asked.watchword.settings.support_url,
    )
    answer = HTMLResponse(text, wrong.status if wrong else status, headers=wrong.headers if wrong else None)
    if notice is not None:
        set_cookie(asked.response, asked.watchword, "watchword-said", "", max_age=0)
    return _with_cookies(asked, answer)


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


def seen_position(asked: Asked) -> int | None:
    """Return the position of the command that led to this page: a query waits for it. A made-up one waits for nothing."""
    position = _notice(asked)[1]
    return position if 0 < position <= asked.s.store.last_position() else None


def sign_out_here(asked: Asked) -> None:
    """Take the session cookie back."""
    clear_cookie(asked.response, asked.watchword)
    asked.caller = replace(asked.caller, session=None, account=None, token_hash=None)


def of_error(request: Request, error: Exception, answer: JSONResponse) -> Response:
    """Return a page for an error that no form holds; who only looks is led to where the sign-in goes on."""
    asked: Asked | None = getattr(request.state, "asked", None)
    here = request.url.path
    if isinstance(error, SessionEnded | NotYet) and (request.method in SAFE_METHODS or here == PLACES[State.ANONYMOUS]):
        state = (
            State(str(error.because.get("state", State.ANONYMOUS))) if isinstance(error, NotYet) else State.ANONYMOUS
        )
        response: Response = RedirectResponse(PLACES[state], 303)
        said = None if here == "/" or state is not State.ANONYMOUS else "session_ended"
        if said and request.method not in SAFE_METHODS:
            said = "form_too_old"
        if said:
            set_cookie(response, request.app.state.watchword, "watchword-said", f"{said}.0", max_age=60)
        return response
    said_to_people = json.loads(bytes(answer.body))
    text = _templates.get_template("error.html").render(
        static=STATIC,
        heading=said_to_people["title"],
        detail=said_to_people["detail"],
        errors=said_to_people.get("errors", []),
        notice=None,
        wrong=None,
        me=None,
        mails=False,
    )
    headers = {k: v for k, v in answer.headers.items() if k in {"retry-after", "allow"}}
    page_answer = HTMLResponse(text, answer.status_code, headers=headers)
    return _with_cookies(asked, page_answer) if asked is not None else page_answer
