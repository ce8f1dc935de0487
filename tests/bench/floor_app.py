"""The floor under a code over HTTP: bare Starlette and an async psycopg pool, everything by hand, nothing guarded.

One SELECT, decrypt, check, one statement for the event, the used step and the head of the stream. What it leaves out is
what Watchword is for: sessions, the guard, CSRF, locks, rights, who asked, and a history that can be proved.
"""

import contextlib
import hmac
import json
import os
import struct
import time
from collections.abc import AsyncIterator

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TABLES = """
    CREATE SCHEMA floor;
    CREATE TABLE floor.factor (account text PRIMARY KEY, version bigint NOT NULL, sealed bytea NOT NULL);
    CREATE TABLE floor.event (stream text, version bigint, topic text, state bytea, id bigserial UNIQUE,
        PRIMARY KEY (stream, version));
    CREATE TABLE floor.used_step (account text, step bigint, PRIMARY KEY (account, step));
    GRANT USAGE ON SCHEMA floor TO PUBLIC;
    GRANT ALL ON ALL TABLES IN SCHEMA floor TO PUBLIC;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA floor TO PUBLIC"""
KEY = AESGCM(b"k" * 32)
_FIND = "SELECT version, sealed FROM floor.factor WHERE account = %s"
_STORE = """
    WITH e AS (INSERT INTO floor.event (stream, version, topic, state) VALUES (%s, %s, %s, %s)),
        h AS (UPDATE floor.factor SET version = %s WHERE account = %s)
    INSERT INTO floor.used_step VALUES (%s, %s)"""


def sealed(secret: bytes, account: str) -> bytes:
    """Return a secret as the floor keeps it."""
    nonce = os.urandom(12)
    return nonce + KEY.encrypt(nonce, secret, account.encode())


def step_of(secret: bytes, code: str, now: float) -> int | None:
    """Return the time step of a right code."""
    for step in (int(now // 30), int(now // 30) - 1, int(now // 30) + 1):
        digest = hmac.digest(secret, struct.pack(">Q", step), "sha1")
        offset = digest[-1] & 15
        (number,) = struct.unpack(">I", digest[offset : offset + 4])
        if hmac.compare_digest(f"{(number & 0x7FFFFFFF) % 1_000_000:06}", code):
            return step
    return None


def create_app() -> Starlette:
    """Return the application."""
    pool: AsyncConnectionPool = AsyncConnectionPool(
        os.environ["DATABASE_URL"], min_size=8, max_size=8, open=False, kwargs={"autocommit": True}
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await pool.open(wait=True)
        yield
        await pool.close()

    async def verify(request: Request) -> JSONResponse:
        asked = await request.json()
        account, now = asked["account"], time.time()
        async with pool.connection() as connection:
            row = await (await connection.execute(_FIND, (account,), prepare=True)).fetchone()
            if row is None:
                return JSONResponse({"ok": False}, 404)
            version, kept = row
            step = step_of(KEY.decrypt(kept[:12], kept[12:], account.encode()), asked["code"], now)
            if step is None:
                return JSONResponse({"ok": False}, 401)
            state = json.dumps({"account": account, "step": step, "at": now, "ip": "127.0.0.0/24", "pad": "x" * 160})
            head = (account, version + 1, "verified", state.encode(), version + 1, account, account, step)
            try:
                await connection.execute(_STORE, head, prepare=True)
            except psycopg.errors.UniqueViolation:
                return JSONResponse({"ok": False}, 409)
        return JSONResponse({"ok": True})

    async def ready(_: Request) -> JSONResponse:
        return JSONResponse({"ready": True})

    return Starlette(routes=[Route("/verify", verify, methods=["POST"]), Route("/readyz", ready)], lifespan=lifespan)


def create_bare() -> FastAPI:
    """Return FastAPI with a pool of connections and one route: the least that a web process starts with."""
    pool: ConnectionPool = ConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=8, open=False)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        pool.open(wait=True)
        yield
        pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.get("/healthz")
    def alive() -> dict[str, bool]:
        return {"alive": True}

    return app
