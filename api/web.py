"""The web application: walls, guard, doors, health."""

import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from fastapi.telemetry import TelemetryConfig
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from api import pages, problems
from api.bootstrap import Watchword, build
from api.frame.files import HERE, STATIC, Lasting
from api.readiness import unfit
from api.rest import PREFIX, accounts, audit, coverage, events, me, partners, session
from api.routes import Door, ShortWay
from api.settings import Settings, read
from api.walls import Walls

_OPEN = {f"{PREFIX}/openapi.json", STATIC, "/healthz", "/readyz"}
"""What shows nobody's data, so that it asks for nobody's session."""

_SILENT: TelemetryConfig = {
    "tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False,
}  # fmt: skip
"""Nothing is recorded about requests by the framework, whatever the environment says: they hold passwords and codes."""


class _Application(FastAPI):
    """The framework's application behind our walls, which most requests leave by a short way."""

    def __init__(self, settings: Settings, **options: Any) -> None:  # noqa: ANN401 the framework's own
        super().__init__(**options)
        self._settings = settings

    def build_middleware_stack(self) -> ASGIApp:
        """Put the walls before everything else."""
        return Walls(
            ShortWay(self, super().build_middleware_stack(), hashing=self._settings.hashing_cores), self._settings
        )


def create_app(watchword: Watchword | None = None, settings: Settings | None = None) -> FastAPI:
    """Return the application. The plugs are put in when it starts, in the process that serves."""
    chosen = watchword.settings if watchword else settings or read()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.watchword = watchword or await run_in_threadpool(
            build, chosen, pool_size=16, hashing_cores=chosen.hashing_cores
        )
        gc.freeze()  # What was made until now stays: it need not be looked through for garbage.
        yield
        if watchword is None:
            await run_in_threadpool(app.state.watchword.close)

    app = _Application(
        chosen,
        title="Watchword",
        version="1",
        summary="Multi-factor authentication for partner portals, with every fact in one log.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_SILENT,
        lifespan=lifespan,
    )
    app.state.watchword = watchword
    problems.install(app, pages.of_error)
    for each in (session, me, partners, accounts, audit, coverage, events, *pages.PLACES):
        app.router.routes.extend(
            each.router.routes
        )  # in one list: routers within routers ask each other at every request
    if chosen.mail_pages:
        from api.pages import mail  # noqa: PLC0415 the mail catcher's code, which only a demo needs

        app.router.routes.extend(mail.router.routes)
    app.mount(STATIC, GZipMiddleware(Lasting(directory=HERE / "static")))  # pages hold tokens, so they stay unpacked
    app.router.routes.extend(_health().routes)
    if missing := undeclared(app.routes):
        raise RuntimeError(f"these routes do not say whom they let in: {missing}")
    return app


def undeclared(routes: Sequence[BaseRoute]) -> list[str]:
    """Return the routes that do not say whom they let in. One of them stops the start."""
    return [
        str(route.path)
        for route in iter_route_contexts(routes)
        if route.path not in _OPEN and not (isinstance(route.original_route, Door) and route.original_route.guard)
    ]


def _health() -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "alive"}

    @router.get("/readyz")
    async def ready(request: Request) -> JSONResponse:
        """Say whether database, migrations, broker, views and clock are fit, or what is not."""
        try:
            wrong = await unfit(request.app.state.watchword)
        except OSError as error:
            wrong = {"readiness": type(error).__name__}
        return JSONResponse({"ready": not wrong, "unfit": wrong}, 503 if wrong else 200)

    return router
