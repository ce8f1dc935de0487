"""The web application: walls, guard, doors, health."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api import doors, problems
from api.bootstrap import Watchword, build
from api.readiness import unfit
from api.rest import accounts, me, partners, session
from api.rest.answers import FAILURES
from api.settings import Settings, read
from api.walls import Walls

PREFIX = "/api/v1"


def create_app(watchword: Watchword | None = None, settings: Settings | None = None) -> FastAPI:
    """Return the application. The plugs are put in when it starts, in the process that serves."""
    chosen = watchword.settings if watchword else settings or read()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.watchword = watchword or await run_in_threadpool(build, chosen, pool_size=16)
        yield
        if watchword is None:
            await run_in_threadpool(app.state.watchword.close)

    app = FastAPI(
        title="Watchword",
        version="1",
        summary="Multi-factor authentication for partner portals, with every fact in one log.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.watchword = watchword
    problems.install(app)
    api = APIRouter(prefix=PREFIX, responses=FAILURES)
    for each in (session, me, partners, accounts):
        api.include_router(each.router)
    app.include_router(api)
    app.include_router(_health())
    missing = doors.undeclared(app.routes)
    if missing:
        raise RuntimeError(f"these routes do not say whom they let in: {missing}")
    app.add_middleware(Walls, settings=chosen)
    return app


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
        except (OSError, nats.errors.Error) as error:
            wrong = {"readiness": type(error).__name__}
        return JSONResponse({"ready": not wrong, "unfit": wrong}, 503 if wrong else 200)

    return router
