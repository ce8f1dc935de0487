"""Pages of a partner with very many users over HTTP, beside their bare SQL behind bare Starlette."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import httpx
import psycopg

from api import bootstrap
from api.bootstrap import Watchword
from api.cli.importing import take_file
from api.embedded.ports import free_port
from api.frame.files import HERE
from api.settings import Settings
from tests.bench.asking import Answered, ask, got
from tests.bench.figures import Figure
from tests.bench.ground import installed, serving

PASSWORD = "correct horse battery staple"
OWNER = "owner@mail.example"
ROUNDS = 100
TURNS = 5
"""Ours and the floor take turns of so many requests so often, each over one connection."""
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


def measure(folder: Path, sizes: list[int]) -> list[Figure]:
    """Return the figures for the pages of a partner of each size, and what a browser fetches once."""
    pages = [each for users in sizes for each in _asked_at(folder / str(users), users)]
    return [*pages, *_weights()]


def _asked_at(folder: Path, users: int) -> list[Figure]:
    with installed(folder) as watchword:
        _prepare(watchword, folder, users)
        port = free_port()
        floor = ("uvicorn", "--factory", "tests.bench.floor_pages:create_app", "--no-access-log", "--port", str(port))
        with serving(watchword.settings), serving(replace(watchword.settings, port=port), *floor):
            return list(_asked(watchword.settings, port, users))


def _prepare(watchword: Watchword, folder: Path, users: int) -> None:
    file = folder / "people.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in PEOPLE))
    result = take_file(file, watchword)
    if result.errors:
        raise SystemExit(f"the directory was refused: {result.errors[0]}")
    projector = bootstrap.projector(watchword)
    while projector.step():
        pass
    projector.close()
    with psycopg.connect(watchword.settings.need("admin_database_url"), autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement, {"users": users})
        connection.execute("VACUUM ANALYZE")


def _signed_in(settings: Settings) -> httpx.Client:
    client = httpx.Client(base_url=settings.public_url, timeout=60, headers={"Origin": settings.public_url})
    token = client.get("/api/v1/session").json()["csrf_token"]
    body = {"email": OWNER, "password": PASSWORD}
    client.post("/api/v1/sign-in", json=body, headers={"X-CSRF-Token": token}).raise_for_status()
    return client


def _asked(settings: Settings, floor: int, users: int) -> Iterator[Figure]:
    client = _signed_in(settings)
    following = re.search(r'href="(/user-management\?cursor=[^"]+)"', client.get("/user-management").text)
    if following is None:
        raise SystemExit("there is no second page")
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    client.close()
    asked = (
        ("User Management", "/user-management", "first", 1.5),
        ("the same, second page", unescape(following[1]), "second", None),
        ("the same, Inactive", "/user-management?mfa_status=Inactive", "inactive", None),
        ("the same, part of a name", "/user-management?q=abcde", "words", None),
        ("the same as JSON", "/api/v1/partners/big/users", "first", None),
        ("Dashboard", "/", "dashboard", None),
        ("Security Settings", "/security-settings", "nothing", None),
    )
    for what, path, sql, goal in asked:
        times: tuple[list[float], list[float]] = ([], [])
        page = got(settings.port, path, {"Cookie": cookie, "Accept-Encoding": "gzip"})
        bare = got(floor, f"/{sql}", {})
        for _ in range(TURNS + 1):  # the first turn warms up
            for taken, port, content in ((times[0], settings.port, page), (times[1], floor, bare)):
                taken.extend(ask(port, [content] * ROUNDS, 1).times)
        for percent, aim in ((50, None), (99, goal)):
            ours, least = (Answered(0, each[ROUNDS:]).at(percent) for each in times)
            yield Figure("P6", f"{what}, p{percent}", ours, least, "ms", aim, users)


def _weights() -> list[Figure]:
    """Return for each file that a browser fetches once what it weighs packed, as it travels, beside the file itself."""
    contents = {each.name: each.read_bytes() for each in sorted((HERE / "static").iterdir())}
    return [
        Figure("P6", f"{name} as it travels", len(gzip.compress(content)) / 1024, len(content) / 1024, "KiB")
        for name, content in contents.items()
    ]
