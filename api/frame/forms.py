"""Forms: the command in a posted form, and what a person is told when it is not taken."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from api.doors import Asked, fields_of, form_of
from api.refusals import TABLE
from domain.kernel import Refused
from domain.totp import MalformedCode
from handlers.confirming import CodeNeeded, StepUp, WrongPassword, confirmed, step_up
from handlers.ports import Unavailable
from handlers.sessions import CodeNotAccepted, token_hash

Wish = TypeVar("Wish", bound=BaseModel)
LABELS = {
    "email": "E-mail address",
    "code": "Verification code",
    "secret": "Link from the mail",
    "mailed_token": "Link from the mail",
}
"""What the pages call a field, where it is not the field's own name."""


def when(moment: datetime | None) -> str:
    """Return a moment as people read it."""
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment else ""


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a form was not taken: a sentence, and what is wrong with which field."""

    status: int
    sentence: str
    fields: dict[str, str] = field(default_factory=dict)
    form: str = ""
    """Which of the page's forms it was."""
    headers: dict[str, str] = field(default_factory=dict)


def _message(name: str, each: ErrorDetails) -> str:
    """Return what is wrong with a field, in the words of the page."""
    if name in {"secret", "mailed_token"}:
        return "paste the whole link of the newest mail"
    if name == "code":
        return "enter the six digits that the app shows"
    if each["type"] == "missing":
        return "this did not arrive: load the page again, and send the whole form"
    if each["type"] == "string_too_short":
        return "fill this in"
    if each["type"] == "string_too_long":
        return f"at most {each['ctx']['max_length']} characters"
    return each["msg"].removeprefix("Value error, ")


_BESIDE: dict[type[Refused], dict[str, str]] = {
    WrongPassword: {"password": "this is not your password"},
    CodeNeeded: {"code": "enter the six digits that the app shows"},
    CodeNotAccepted: {"code": "this code was not accepted"},
}
"""Refusals that are about one field, with what is said beside it."""


def wrong_of(error: Exception, now: datetime, form: str = "") -> Wrong:
    """Return what a person is told about an error."""
    if isinstance(error, ValidationError):
        fields = {str(e["loc"][0]): _message(str(e["loc"][0]), e) for e in error.errors() if e["loc"]}
        of_all = "; ".join(_message("", each) for each in error.errors() if not each["loc"])
        sentence = (
            f"Nothing has changed: {of_all}."
            if of_all
            else "Some of the input is not as it should be; nothing has changed."
        )
        return Wrong(422, sentence, fields, form)
    if isinstance(error, MalformedCode):
        return Wrong(422, "Nothing has changed.", {"code": str(error)}, form)
    if isinstance(error, Unavailable):
        return Wrong(503, f"Try again in a moment: {error}.", {}, form)
    assert isinstance(error, Refused)  # noqa: S101 the only kind left of those that are caught
    said = TABLE[type(error)]
    fields = _BESIDE.get(type(error), {})
    sentence, until = said.sentence, error.because.get("until")
    if isinstance(until, str):
        moment = datetime.fromisoformat(until)
        seconds = max(1, int((moment - now).total_seconds()) + 1)
        return Wrong(
            said.status, f"{sentence} That is at {when(moment)}.", fields, form, headers={"Retry-After": str(seconds)}
        )
    return Wrong(said.status, sentence, fields, form)


def command(shape: type[Wish], asked: Asked, **more: object) -> Wish:
    """Return a command from the fields of the posted form; an empty field that may be left out is left out."""
    given = form_of(asked.request)
    fields = {name: given.get(name, "") for name in shape.model_fields if name not in more}
    optional = {name for name, info in shape.model_fields.items() if not info.is_required()}
    return shape.model_validate({n: v for n, v in fields.items() if v or n not in optional} | more)


def switch(asked: Asked, name: str) -> bool:
    """Return what a checkbox of the posted form says. Raises ValidationError when it says nothing: that is never "no".

    The page sends ``on`` for a checked box, and after it ``off`` from a hidden field in any case.
    """
    given = {value for key, value in fields_of(asked.request) if key == name}
    if not given or not given <= {"on", "off"}:
        raise incomplete(name, "on or off")
    return "on" in given


def incomplete(name: str, wanted: str) -> ValidationError:
    """Return the error of a form without a field that decides something."""
    sentence = "the field {name} has to be {wanted}; open the page again and send the whole form"
    why = PydanticCustomError("incomplete_form", sentence, {"name": name, "wanted": wanted})
    return ValidationError.from_exception_data("form", [{"type": why, "loc": (), "input": None}])


# ── The password, asked again in the same form (D15) ──


def asks_for_password(asked: Asked) -> bool:
    """Say whether a protected command needs the password beside it."""
    session = asked.caller.session
    until = session.stepped_up_until if session else None
    return until is None or until < asked.caller.at


def proof_for(asked: Asked) -> str:
    """Return by what the person proves again who it is: ``password``, ``provider``, or ``confirmed`` there a moment ago."""
    account = asked.caller.account
    if account is None or account.credential_id is not None:
        return "password"
    return "confirmed" if confirmed(asked.caller, asked.s) else "provider"


def stepped_up(asked: Asked) -> None:
    """Take the password, and the code where MFA is active, which the form asked for if the last ones are too old."""
    given = form_of(asked.request)
    if not asks_for_password(asked) or ("password" not in given and proof_for(asked) != "confirmed"):
        return
    progress = step_up(StepUp(password=given.get("password"), code=given.get("code") or None), asked.caller, asked.s)
    asked.proceed(progress)
    assert progress.token is not None  # noqa: S101 a step up always takes a new token
    asked.caller = replace(
        asked.caller,
        token_hash=token_hash(progress.token, asked.s),
        session=progress.session,
        command_id=asked.s.chance.new_id(),
    )
