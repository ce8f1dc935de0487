"""``watchword run | web | relay | projector | worker``: what serves."""

import asyncio
import logging
import os
import signal
import sys
import threading
from contextlib import closing

import psycopg
import typer
import uvicorn

from api.bootstrap import NOTICED_SOON, Lease, Watchword, build, check_keys, conninfo, lease, ledger, projector, stream
from api.children import watch_parent
from api.client_address import missing_proxy
from api.connections import connection_options
from api.settings import Settings, read
from domain.kernel import Unknown
from handlers.ports import LedgerBroken, Unavailable
from handlers.relay import Relay
from projections import audit_trail
from projections.views import VIEWS

NAMES = ("run", "web", "relay", "projector", "worker")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for name, command in zip(NAMES, (run, web, relay, project, worker), strict=True):
        app.command(name)(command)


def _child() -> Settings:
    """Return the settings of one program; a supervised one ends with its supervisor."""
    supervisor = os.environ.get("WATCHWORD_SUPERVISED")
    if supervisor:
        watch_parent(int(supervisor))
    return read()


def run() -> None:
    """Run everything on this machine, as `make run` does."""
    from api.supervisor import run as run_all  # noqa: PLC0415 the servers on this machine are needed here alone

    sys.exit(run_all(read(ask_running=False)))


def web() -> None:
    """Serve the JSON API and the pages."""
    settings = _child()
    if warning := missing_proxy(settings):
        logging.getLogger("watchword.web").warning("%s", warning)
    check_keys(settings)  # in words: what fails in a process of the server's is a traceback
    uvicorn.run(
        "api.web:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.web_processes,
        **connection_options(settings),
        lifespan="on",
        timeout_graceful_shutdown=2,
        server_header=False,
        access_log=False,
        proxy_headers=False,
    )


def worker() -> None:
    """React to facts, and send the mails that they call for."""
    from api.worker import create_worker  # noqa: PLC0415 FastStream is needed here alone, and slow to import

    watchword = build(_child(), pool_size=6)
    asyncio.run(create_worker(watchword).run())


def project() -> None:
    """Keep the views and the ledger in step with the log; beside other projectors, fold a fair share of the views."""
    settings = _child()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watchword = build(settings, pool_size=2)
    signing = threading.Thread(target=_keep_ledger, args=(watchword, stop), name="ledger", daemon=True)
    signing.start()
    _fold_again_what_can_be_read_now(watchword)
    follower = projector(watchword)
    try:
        follower.follow(settings.need("database_url"), stop)
    finally:
        stop.set()
        follower.close()
        signing.join(_LEDGER_END_SECONDS)


def _fold_again_what_can_be_read_now(watchword: Watchword) -> None:
    """Rebuild the views when an older release passed over facts that this one can read."""
    with watchword.database.connection() as connection:
        rows = audit_trail.unreadable(connection, _UNREADABLE)
    facts = watchword.store.at([row["position"] for row in rows])
    if any(not isinstance(each.fact, Unknown) for each in facts):
        from projections.rebuilding import rebuild  # noqa: PLC0415 after an upgrade alone

        for name in VIEWS:
            rebuild(watchword.settings.need("database_url"), watchword.store.read, name)


_UNREADABLE = 10_000
"""Unreadable facts that are looked at when a projector starts."""
_LEDGER_END_SECONDS = 2.0
_LEDGER_PAUSE_SECONDS = 30.0
"""Before the ledger is tried again after it said what is wrong: the views do not wait for it."""


def _keep_ledger(watchword: Watchword, stop: threading.Event) -> None:
    """Sign what happened, one projector at a time. A fault that nobody has thought of ends the whole program, loudly."""
    try:
        while not stop.is_set():
            with closing(lease(watchword.settings, "ledger")) as ours:
                try:
                    _sign_while_ours(watchword, ours, stop)
                except (LedgerBroken, Unavailable, psycopg.Error) as error:
                    print(f"watchword: nothing is signed: {error}", file=sys.stderr, flush=True)
                    stop.wait(_LEDGER_PAUSE_SECONDS)
    finally:
        stop.set()


def _sign_while_ours(watchword: Watchword, ours: Lease, stop: threading.Event) -> None:
    """Sign until it is over, or the lease is lost with its session: then it is asked for again, and the views go on."""
    if not ours.wait(stop):
        return
    lost = threading.Event()
    threading.Thread(target=ours.watch, args=(lost,), name="lease", daemon=True).start()
    ledger(watchword).follow(lambda seconds: stop.wait(seconds) or lost.is_set(), watchword.sockets.clock.now)


_RELAY_LOCK = 7_235_032
"""One relay at a time; a second one waits to take over."""


def relay() -> None:
    """Publish each fact to the message stream."""
    import uvloop  # noqa: PLC0415 each fact passes the relay's event loop; no other program of these needs this one

    uvloop.run(_relay(_child()))


async def _relay(settings: Settings) -> None:
    loop, task, ended = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def end() -> None:
        ended.set()
        if task:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    watchword = build(settings, pool_size=2)
    url = settings.need("database_url")
    try:
        async with await psycopg.AsyncConnection.connect(conninfo(url, NOTICED_SOON), autocommit=True) as listener:
            await listener.execute("SELECT pg_advisory_lock(%s)", (_RELAY_LOCK,))
            await listener.execute("LISTEN stored_events")
            client, broker = await stream(settings)

            async def woken() -> None:
                async for _ in listener.notifies(timeout=1, stop_after=1):
                    pass

            try:
                await Relay(watchword.store, broker, watchword.relay_position).follow(
                    woken, watchword.sockets.clock.now, ended.is_set
                )
            finally:
                await client.close()
    except asyncio.CancelledError:
        return
    finally:
        watchword.close()
