"""Pages of a partner with very many users over HTTP, beside the bare SQL of the same page in the same run."""

import gzip
import json
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psycopg
from psycopg.rows import dict_row

from api import bootstrap
from api.cli.importing import take_file
from api.embedded.ports import free_port
from api.embedded.postgres import EmbeddedPostgres
from api.frame.files import HERE
from api.settings import Settings, read
from projections import status_history, user_status
from tests.bench.ground import serving

PASSWORD = "correct horse battery staple"
OWNER = "owner@mail.example"
ROUNDS = 200
PEOPLE = (
    {"partner": {"id": "big", "name": "Big Distribution", "type": "distributor"}},
    {
        "account": {
            "id": "big-owner",
            "email": OWNER,
            "name": "Zoe Owner",
            "partner": "big",
            "role": "owner",
            "password": PASSWORD,
        }
    },
)
FILL = (
    "INSERT INTO organization_access SELECT 'org-' || n, 'big', 'Customer ' || n FROM generate_series(0, 1999) n",
    """INSERT INTO account_access SELECT 'acc-' || n, 'big', CASE WHEN n %% 10 > 0 THEN 'org-' || n %% 2000 END,
        CASE WHEN n %% 10 > 0 THEN 'end_user' ELSE 'support' END FROM generate_series(1, %(users)s) n""",
    """INSERT INTO person SELECT 'acc-' || n, 'big', CASE WHEN n %% 10 > 0 THEN 'org-' || n %% 2000 ELSE 'big' END,
        md5(n::text), md5('a' || n) || '@mail.example', md5('a' || n) || '@mail.example'
        FROM generate_series(1, %(users)s) n""",
    """INSERT INTO user_status SELECT account_id, partner_id, organization_id, role, 'open',
        CASE WHEN hashtext(account_id) %% 3 = 0 THEN 'active' ELSE 'none' END, false, now(), NULL, NULL, 1
        FROM account_access WHERE account_id LIKE 'acc-%%'""",
    """INSERT INTO status_interval (account_id, partner_id, organization_id, role, account_state, factor, owed, since,
        from_position, from_at) SELECT account_id, partner_id, organization_id, role, account_state, factor, owed, since, 1,
        since FROM user_status WHERE account_id LIKE 'acc-%%'""",
    """INSERT INTO adoption SELECT partner_id,
        CASE WHEN organization_id IS NULL THEN 'partner_users' ELSE 'organizations' END, '2026-01-01', count(*),
        count(*) FILTER (WHERE factor = 'active'), 0 FROM user_status WHERE account_id LIKE 'acc-%%' GROUP BY 1, 2""",
)
"""Rows as the projector would have left them; the log is not needed to read a page."""


@dataclass(frozen=True)
class Answered:
    """How long one page took to its first byte, and its SQL alone; seconds of each round."""

    what: str
    ours: list[float]
    floor: list[float]
    size: int
    """Bytes of the answer."""

    def at(self, percent: int) -> tuple[float, float]:
        """Return a percentile of ours and of the floor."""
        a, b = (statistics.quantiles(times, n=100)[percent - 1] for times in (self.ours, self.floor))
        return a, b


def measure(folder: Path, users: int) -> list[Answered]:
    """Fill a database, serve it, and ask for pages one after the other."""
    postgres = EmbeddedPostgres(folder / "data", durable=True)
    postgres.start()
    try:
        settings = read(
            {"DATA_DIR": str(folder), "DATABASE_URL": postgres.app_url, "PORT": str(free_port())}, ask_running=False
        )
        settings = replace(settings, admin_database_url=postgres.owner_url)
        _prepare(settings, folder, users)
        with serving(settings), psycopg.connect(postgres.app_url, autocommit=True, row_factory=dict_row) as connection:
            return _asked(settings, connection)
    finally:
        postgres.stop()


def _prepare(settings: Settings, folder: Path, users: int) -> None:
    bootstrap.ensure_kek(settings.kek_file)
    bootstrap.migrate(settings)
    watchword = bootstrap.build(settings)
    file = folder / "people.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in PEOPLE))
    result = take_file(file, watchword)
    if result.errors:
        raise SystemExit(f"the directory was refused: {result.errors[0]}")
    projector = bootstrap.projector(watchword)
    while projector.step():
        pass
    projector.close()
    watchword.close()
    with psycopg.connect(settings.admin_database_url or "", autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement, {"users": users})
        connection.execute("VACUUM ANALYZE")


def _signed_in(settings: Settings) -> httpx.Client:
    client = httpx.Client(base_url=settings.public_url, timeout=60, headers={"Origin": settings.public_url})
    token = client.get("/api/v1/session").json()["csrf_token"]
    body = {"email": OWNER, "password": PASSWORD}
    client.post("/api/v1/sign-in", json=body, headers={"X-CSRF-Token": token}).raise_for_status()
    return client


def _asked(settings: Settings, connection: psycopg.Connection[dict[str, object]]) -> list[Answered]:
    first = user_status.Filter(partner_id="big", limit=51)
    deep = replace(first, after=("80", "acc-0"))

    def sql(wanted: user_status.Filter) -> Callable[[], object]:
        return lambda: user_status.page(connection, wanted)

    client = _signed_in(settings)
    following = re.search(r'href="(/user-management\?cursor=[^"]+)"', client.get("/user-management").text)
    if following is None:
        raise SystemExit("there is no second page")
    asked: list[tuple[str, str, Callable[[], object]]] = [
        ("User Management", "/user-management", sql(first)),
        ("the same, second page", following[1], sql(deep)),
        ("the same, Inactive", "/user-management?mfa_status=Inactive", sql(replace(first, mfa_status="Inactive"))),
        ("the same, part of a name", "/user-management?q=abcde", sql(replace(first, words="abcde"))),
        ("the same as JSON", "/api/v1/partners/big/users", sql(first)),
        ("Dashboard", "/", lambda: status_history.adoption_of(connection, "big", None)),
        ("Security Settings", "/security-settings", lambda: connection.execute("SELECT 1").fetchone()),
    ]
    found = [_measured(client, *each) for each in asked]
    client.close()
    return found


def _measured(client: httpx.Client, what: str, path: str, sql: Callable[[], object]) -> Answered:
    ours, floor, size = [], [], 0
    for number in range(ROUNDS + 10):
        start = time.perf_counter()
        with client.stream("GET", path) as answer:
            took = time.perf_counter() - start
            size = len(answer.read())
        if answer.status_code != httpx.codes.OK:
            raise SystemExit(f"{path} answered {answer.status_code}")
        start = time.perf_counter()
        sql()
        if number >= 10:
            ours.append(took)
            floor.append(time.perf_counter() - start)
    return Answered(what, ours, floor, size)


def weights() -> dict[str, tuple[int, int]]:
    """Return for each file that a browser fetches once its bytes, and packed as it travels."""
    files = sorted((HERE / "static").iterdir())
    return {each.name: (len(each.read_bytes()), len(gzip.compress(each.read_bytes()))) for each in files}


def table(results: list[Answered]) -> str:
    """Return the results for a person."""
    lines = [
        f"{'first byte, ms':28} {'p50':>7} {'p99':>7} {'SQL p50':>8} {'p99':>7} {'ratio p50':>10} {'p99':>6} {'bytes':>8}"
    ]
    for each in results:
        (a, b), (c, d) = each.at(50), each.at(99)
        times = f"{a * 1e3:7.1f} {c * 1e3:7.1f} {b * 1e3:8.1f} {d * 1e3:7.1f}"
        lines.append(f"{each.what:28} {times} {a / b:10.1f} {c / d:6.1f} {each.size:8,}")
    lines += [f"{name:28} {full:,} bytes, {packed:,} packed" for name, (full, packed) in weights().items()]
    return "\n".join(lines)
