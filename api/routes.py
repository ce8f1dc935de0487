"""A route that its guard opens. A request takes a thread once: guard, command or query, and the answer's text follow there.

What most wishes look like, a JSON body, a query and parts of the path, is led to its door and read here; the framework's
own way, whose layers and reading cost several times as much as the wish itself, is left to the others.
"""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial, wraps
from typing import Any

from fastapi import FastAPI, Request, Response, params
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.doors import Admit, Guard, form_of
from handlers.ports import Unavailable

_THREADS = ThreadPoolExecutor(40, thread_name_prefix="request")
"""How many requests of a process are answered at once; whoever comes later waits for one of them."""
PASSWORDS_WAITING = 16
"""How many requests with a password wait for a process; more are refused at once. They have threads of their own."""


class ShortWay:
    """Leads a request of few words straight to its door; whatever else comes passes the framework's layers."""

    def __init__(self, app: FastAPI, layers: ASGIApp, *, hashing: int) -> None:
        """``hashing``: how many passwords this process hashes at once."""
        self._layers = layers
        self._free = hashing + PASSWORDS_WAITING
        self._password_threads = ThreadPoolExecutor(self._free, thread_name_prefix="password")
        self._handlers = app.exception_handlers
        self._doors: dict[tuple[str, str], Door] = {}
        self._patterns: dict[tuple[str, int], list[Door]] = {}
        for door in app.routes:
            if isinstance(door, Door):
                for method in door.methods or ():
                    if door.param_convertors:
                        self._patterns.setdefault((method, door.path.count("/")), []).append(door)
                    else:
                        self._doors.setdefault((method, door.path), door)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, in a thread."""
        if scope["type"] != "http":  # the server's own start and end
            await self._layers(scope, receive, send)
            return
        door = self.door(scope)
        request = Request(scope, receive)
        if door is None:
            answer = self._page_of_form(scope)
            await (answer or self._layers)(scope, receive, send)
        elif not door.takes_password(request):
            await self._serve(door, request, send, _THREADS)
        elif not self._free:
            of_busy: Any = self._handlers[Unavailable]
            refused: Response = of_busy(request, Unavailable("too many passwords are being checked"))
            await refused(scope, receive, send)
        else:
            self._free -= 1
            try:
                await self._serve(door, request, send, self._password_threads)
            finally:
                self._free += 1

    async def _serve(self, door: "Door", request: Request, send: Send, threads: ThreadPoolExecutor) -> None:
        if not door.takes(request.scope):
            await self._layers(request.scope, request.receive, send)
            return
        answer = await _in_a_thread(partial(self._answer, door, request), threads)
        await answer(request.scope, request.receive, send)

    def _page_of_form(self, scope: Scope) -> Response | None:
        """Return the way from an address to which only a form posts to the page above it; None from elsewhere."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        form = self.door({**scope, "method": "POST"})
        if form is None or form.include_in_schema or form.guard is None or form.guard.signed:
            return None
        path = scope["path"]
        while path and self.door({**scope, "path": path}) is None:
            path = path.rpartition("/")[0]
        return RedirectResponse(path or "/", 303)

    def door(self, scope: Scope) -> "Door | None":
        """Return the door at a request's address, whose parts are put into the scope; None where there is none."""
        method, path = scope["method"], scope["path"]
        if found := self._doors.get((method, path)):
            scope["path_params"] = {}
            return found
        for each in self._patterns.get((method, path.count("/")), ()):
            if match := each.path_regex.match(path):
                parts = match.groupdict().items()
                scope["path_params"] = {name: each.param_convertors[name].convert(part) for name, part in parts}
                return each
        return None

    def _answer(self, door: "Door", request: Request) -> Response:
        try:
            return door.answer(request)
        except Exception as error:
            for kind in type(error).__mro__[:-3]:  # all but Exception: what nobody foresaw goes on, to the walls
                answer: Any = self._handlers.get(kind)
                if answer is not None:
                    return answer(request, error)  # type: ignore[no-any-return]
            raise


class Door(APIRoute):
    """A route that is open to whom its guard admits. The parameter ``asked`` declares it: ``Depends(Admit(…))``."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 FastAPI's own
        through = _guarded(endpoint, options.get("status_code") or 200)
        super().__init__(path, through, **options)
        self.guard = _guard_of(self.dependant)
        self._through = through
        self._form = "POST" in (self.methods or ()) and not self.include_in_schema
        self._short: Any = self.guard if _is_short(self.dependant) else None

    def takes_password(self, request: Request) -> bool:
        """Say whether a password may have to be hashed for a request."""
        if self._form:
            return "password" in form_of(request)
        return any(
            "password" in getattr(each.field_info.annotation, "model_fields", ()) for each in self.dependant.body_params
        )

    def takes(self, scope: Scope) -> bool:
        """Say whether a request of its method and path has few words: a body that is JSON where the route takes one."""
        return self._short is not None and (
            not self.dependant.body_params
            or (scope["state"]["body"] and (b"content-type", b"application/json") in scope["headers"])
        )

    def answer(self, request: Request) -> Response:
        """Answer a request of few words. The guard is asked before anything is said about the input."""
        admitted = self._short.admit(request, _nothing_yet())
        values, errors = request_params_to_args(self.dependant.path_params, request.path_params)
        by_query, wrong = request_params_to_args(self.dependant.query_params, request.query_params)
        if errors or wrong:
            raise RequestValidationError([*errors, *wrong])
        values |= by_query
        for each in self.dependant.body_params:
            values[each.name] = _command(each, request.scope["state"]["body"])
        answer: Response = self._through(asked=lambda: admitted, **values)
        return answer


async def _in_a_thread(act: Callable[[], Response], threads: ThreadPoolExecutor) -> Response:
    """Return what it returns. It is told to the loop at once: a future of threads in between would double the hand-over."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[Response] = loop.create_future()

    def tell(answer: Response | None, error: BaseException | None) -> None:
        if told.cancelled():
            return
        if error is not None:
            told.set_exception(error)
        else:
            told.set_result(answer)  # type: ignore[arg-type]

    def work() -> None:
        try:
            answer = act()
        except BaseException as error:  # noqa: BLE001 the request hears of it, whatever it is
            loop.call_soon_threadsafe(tell, None, error)
        else:
            loop.call_soon_threadsafe(tell, answer, None)

    threads.submit(work)
    return await told


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
