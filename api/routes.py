"""A route that its guard opens. A request takes a thread once: guard, command or query, and the answer's text follow there.

What most wishes look like, a JSON body, a query and parts of the path, is read here; the framework's own way, which costs
several times as much as the wish itself, is left to the others.
"""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial, wraps
from typing import Any

from fastapi import Request, Response, params
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send

from api.doors import Admit, Guard

_THREADS = ThreadPoolExecutor(40, thread_name_prefix="request")
"""How many requests of a process are answered at once; whoever comes later waits for one of them."""


class Door(APIRoute):
    """A route that is open to whom its guard admits. The parameter ``asked`` declares it: ``Depends(Admit(…))``."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 FastAPI's own
        through = _guarded(endpoint, options.get("status_code") or 200)
        super().__init__(path, through, **options)
        self.guard = _guard_of(self.dependant)
        self._through = through
        self._short = self.guard if _is_short(self.dependant) else None

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of few words here, and any other on the framework's way."""
        if self._short is None or not self._fits(scope):
            await super().handle(scope, receive, send)
            return
        act = partial(self._answer, self._short, Request(scope, receive))
        answer = await asyncio.get_running_loop().run_in_executor(_THREADS, act)
        await answer(scope, receive, send)

    def _fits(self, scope: Scope) -> bool:
        """Say whether its method is the route's, and its body JSON where the route takes one."""
        if scope["method"] not in (self.methods or ()):
            return False
        return not self.dependant.body_params or (
            scope["state"]["body"] and (b"content-type", b"application/json") in scope["headers"]
        )

    def _answer(self, guard: Admit, request: Request) -> Response:
        """Ask the guard before anything is said about the input."""
        admitted = guard.admit(request, _nothing_yet())
        values, errors = request_params_to_args(self.dependant.path_params, request.path_params)
        by_query, wrong = request_params_to_args(self.dependant.query_params, request.query_params)
        if errors or wrong:
            raise RequestValidationError([*errors, *wrong])
        values |= by_query
        for each in self.dependant.body_params:
            values[each.name] = _command(each, request.scope["state"]["body"])
        answer: Response = self._through(asked=lambda: admitted, **values)
        return answer


def _nothing_yet() -> Response:
    """Return what takes the headers of an answer up."""
    response = Response()
    del response.headers["content-length"]
    return response


def _guard_of(dependant: Dependant) -> Admit | None:
    guards = [each.call for each in dependant.dependencies if each.name == "asked" and isinstance(each.call, Admit)]
    return guards[0] if guards else None


def _is_short(dependant: Dependant) -> bool:
    """Say whether a route asks for nothing but its guard, parts of the path, a query, and one JSON body."""
    bodies = dependant.body_params
    return (
        len(dependant.dependencies) == 1
        and not (dependant.header_params or dependant.cookie_params or dependant.request_param_name)
        and not (dependant.response_param_name or dependant.background_tasks_param_name)
        and len(bodies) <= 1
        and all(type(each.field_info) is params.Body and _is_model(each.field_info.annotation) for each in bodies)
    )


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _command(field: ModelField, body: bytes) -> BaseModel:
    """Return the command of a body. Half a character is no JSON to pydantic alone: of it, too, the field is named."""
    model: Any = field.field_info.annotation
    try:
        return model.model_validate_json(body)  # type: ignore[no-any-return]
    except ValidationError as error:
        found: list[Any] = list(error.errors(include_input=False))
    if found[0]["type"] == "json_invalid":
        with suppress(ValueError, RecursionError):
            command, found = field.validate(json.loads(body), {}, loc=())
            if not found:
                return command  # type: ignore[no-any-return]
    raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found])


def _guarded(endpoint: Callable[..., Any], status: int) -> Callable[..., Any]:
    @wraps(endpoint)
    def through(*, asked: Guard, **values: object) -> Response:
        admitted = asked()
        answer = endpoint(asked=admitted, **values)
        if isinstance(answer, Response):
            return answer
        content = answer.model_dump_json(by_alias=True) if isinstance(answer, BaseModel) else None
        written = Response(content, status, media_type="application/json" if content else None)
        written.headers.raw.extend(admitted.response.headers.raw)
        return written

    return through
