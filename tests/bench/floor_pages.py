"""The floor under pages over HTTP: their bare SQL behind bare Starlette and an async pool; rows as JSON, nobody asked who."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import orjson
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from projections import status_history, user_status

PARTNER = "big"
DEEP = ("80", "acc-0")
"""Where a page far behind the first begins."""
_FIRST = user_status.Filter(PARTNER, limit=51)
PAGES: dict[str, Callable[[Any], object]] = {
    "first": lambda connection: user_status.page(connection, _FIRST),
    "second": lambda connection: user_status.page(connection, replace(_FIRST, after=DEEP)),
    "inactive": lambda connection: user_status.page(connection, replace(_FIRST, mfa_status="Inactive")),
    "words": lambda connection: user_status.page(connection, replace(_FIRST, words="abcde")),
    "dashboard": lambda connection: status_history.adoption_of(connection, PARTNER, None),
    "nothing": lambda connection: connection.execute("SELECT 1").fetchall(),
}


class _Listening:
    """Takes down what is asked instead of asking it, so that the floor asks the very same by itself."""

    def execute(self, *asked: object, **how: object) -> "_Listening":
        self.asked, self.how = asked, how
        return self

    def fetchall(self) -> list[object]:
        return []


def create_app() -> Starlette:
    """Return the application."""
    settings = {"autocommit": True, "row_factory": dict_row}
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        os.environ["DATABASE_URL"], min_size=2, max_size=8, open=False, kwargs=settings
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await pool.open(wait=True)
        yield
        await pool.close()

    def route(name: str, ask: Callable[[Any], object]) -> Route:
        heard = _Listening()
        ask(heard)

        async def answer(_: Request) -> Response:
            async with pool.connection() as connection:
                rows = await (await connection.execute(*heard.asked, **heard.how)).fetchall()
            return Response(orjson.dumps(rows, default=str), media_type="application/json")

        return Route(f"/{name}", answer)

    async def ready(_: Request) -> Response:
        return Response("ready")

    return Starlette(routes=[*(route(*each) for each in PAGES.items()), Route("/readyz", ready)], lifespan=lifespan)
