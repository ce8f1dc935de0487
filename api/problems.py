"""Errors as RFC 9457 problem details: a status, a reason, a sentence, and never what was entered."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.refusals import TABLE
from domain.kernel import Refused
from domain.totp import MalformedCode
from handlers.ports import StreamUnreadable, Unavailable, Unreadable

_log = logging.getLogger("watchword.web")
_RETRY_SECONDS = 2
_ON_HOLD = "On hold: a fact that this needs can only be read by a newer release. The operator finds it at /readyz."
AsPage = Callable[[Request, Exception, JSONResponse], Response]
"""Turns a problem into a page for people."""


class FieldError(BaseModel):
    """One field that is not as it should be."""

    field: str = Field(examples=["email"])
    message: str = Field(examples=["this is not a mail address such as name@example.org"])


class Problem(BaseModel):
    """What went wrong, for a program and for a person."""

    type: str = Field(examples=["urn:watchword:refused:step_up_required"])
    title: str
    status: int
    detail: str
    reason: str = Field(description="The refusal's lasting name.", examples=["step_up_required"])
    errors: list[FieldError] | None = None


def problem(
    status: int,
    reason: str,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a problem as an answer."""
    content: dict[str, Any] = {
        "type": f"urn:watchword:refused:{reason}",
        "title": reason.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "reason": reason,
        **(more or {}),
    }
    if errors is not None:
        content["errors"] = errors
    return JSONResponse(content, status, headers=dict(headers or {}), media_type="application/problem+json")


def of_refusal(refused: Refused, now: datetime) -> JSONResponse:
    """Return the answer to a wish that broke a rule; a lock says in how many seconds it ends."""
    said = TABLE[type(refused)]
    headers = {}
    until = refused.because.get("until")
    if said.status in {429, 503}:
        headers["Retry-After"] = str(_RETRY_SECONDS)
        if isinstance(until, str):
            left = (datetime.fromisoformat(until) - now).total_seconds()
            headers["Retry-After"] = str(max(1, int(left) + 1))
        headers |= _rate_limit(refused.because, headers["Retry-After"])
    hidden = {"reason", "state", "limit", "quota", "window_seconds"}
    more = {key: value for key, value in refused.because.items() if value is not None and key not in hidden}
    reason = str(refused.because.get("state") or refused.reason())
    return problem(said.status, reason, said.sentence, more=more, headers=headers)


def _rate_limit(because: Mapping[str, Any], seconds: str) -> dict[str, str]:
    """Return which limit was used up, as the IETF draft on RateLimit header fields writes it."""
    name, quota, window = (because.get(key) for key in ("limit", "quota", "window_seconds"))
    if name is None:
        return {}
    policy = f'"{name}";q={quota}' + (f";w={window}" if window else "")
    return {"RateLimit-Policy": policy, "RateLimit": f'"{name}";r=0;t={seconds}'}


def of_bad_input(error: RequestValidationError) -> JSONResponse:
    """Return which fields are wrong and why, without repeating what was entered."""
    errors = [
        {"field": ".".join(str(part) for part in each["loc"][1:]) or str(each["loc"][0]), "message": _message(each)}
        for each in error.errors()
    ]
    detail = "Some of the input is not as it should be; nothing has changed."
    return problem(422, "bad_input", detail, errors=errors)


def _message(error: dict[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return "this is not JSON"
    return str(error["msg"]).removeprefix("Value error, ")


def install(app: FastAPI, as_page: AsPage) -> None:
    """Teach the application to answer every error: as a problem at the JSON doors, as a page elsewhere."""

    def at_its_door(answer: Callable[[Request, Any], JSONResponse]) -> Callable[[Request, Any], Response]:
        def chosen(request: Request, error: Exception) -> Response:
            found = answer(request, error)
            path = request.url.path
            return found if path.startswith(("/api/", "/healthz", "/readyz")) else as_page(request, error, found)

        return chosen

    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, at_its_door(answer))


def _refused(request: Request, error: Refused) -> JSONResponse:
    return of_refusal(error, request.app.state.watchword.sockets.clock.now())


def _bad_input(request: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong to whom the guard admits; whom it does not learns that alone."""
    try:
        if hasattr(request.state, "guard"):
            request.state.guard()
        elif guard := getattr(request.scope.get("route"), "guard", None):  # what came is not even JSON
            guard.admit(request, Response())
    except Refused as refused:
        return _refused(request, refused)
    except Unavailable as silent:
        return _unavailable(request, silent)
    return of_bad_input(error)


def _malformed_code(_: Request, error: MalformedCode) -> JSONResponse:
    return problem(422, "bad_input", "Nothing has changed.", errors=[{"field": "code", "message": str(error)}])


def _unavailable(_: Request, error: Unavailable) -> JSONResponse:
    if isinstance(error, StreamUnreadable):
        _log.error("refused, as readiness says: %s", error)
        return problem(503, "unavailable", _ON_HOLD)
    headers = {"Retry-After": str(_RETRY_SECONDS)}
    return problem(503, "unavailable", f"Try again in a moment: {error}.", headers=headers)


def _unreadable(_: Request, error: Unreadable) -> JSONResponse:
    _log.critical("a sealed secret does not open: %s", error)
    return problem(503, "secret_unreadable", "The operator has to look at the key vault.")


def _http(_: Request, error: HTTPException) -> JSONResponse:
    reason = {404: "not_found", 405: "method_not_allowed", 400: "bad_request"}.get(error.status_code, "refused")
    detail = "There is nothing at this address." if error.detail == "Not Found" else str(error.detail)
    return problem(error.status_code, reason, detail, headers=error.headers)


def _unexpected(_: Request, error: Exception) -> JSONResponse:
    del error
    return problem(500, "unexpected", "Something went wrong on our side; it has been noted.")


_ANSWERS: dict[type[Exception], Callable[[Request, Any], JSONResponse]] = {
    Refused: _refused,
    RequestValidationError: _bad_input,
    MalformedCode: _malformed_code,
    Unavailable: _unavailable,
    Unreadable: _unreadable,
    HTTPException: _http,
    Exception: _unexpected,
}
