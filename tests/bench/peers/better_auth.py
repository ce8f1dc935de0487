"""better-auth behind node:cluster: ``/two-factor/verify-totp`` of a sign-in that waits for its code."""

import json
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.bench.asking import request
from tests.bench.peers.place import PROCESSES, Contestant, Lacking, Room
from tests.phone import by_the_rfc

NAME = "better-auth 1.7.25"
PACKAGE = {"private": True, "dependencies": {"better-auth": "1.7.25", "pg": "8.23.1"}}
SITE = Path(__file__).parent / "sites" / "better_auth.mjs"
PASSWORD = "password1"
AT_ONCE = 4
CLONE = 'INSERT INTO "{table}" SELECT {columns} FROM "{table}", generate_series(1, {people}) n'


@contextmanager
def contest(room: Room) -> Iterator[Contestant]:
    """Install it, give it people with an authenticator, serve it."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            raise Lacking(f"`{tool}` is not installed")
    room.install(json.dumps(PACKAGE), lambda: _install(room))
    shutil.copy(SITE, room.folder / SITE.name)
    environ = {
        "NODE_ENV": "production",
        "BASE": room.base,
        "PORT": str(room.port),
        "PEER_DATABASE_URL": room.database(),
        "SECRET": secrets.token_hex(32),
        "WORKERS": str(PROCESSES),
    }
    with room.serving("node", SITE.name, environ=environ) as pid:
        secret = _fill(room)
        yield Contestant(NAME, room.port, pid, lambda count: _requests(room, secret, count), b'"token"')


def _install(room: Room) -> None:
    (room.folder / "package.json").write_text(json.dumps(PACKAGE))
    room.run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock")


def _client(room: Room) -> httpx.Client:
    return httpx.Client(base_url=f"{room.base}/api/auth", headers={"Origin": room.base}, timeout=60)


def _fill(room: Room) -> str:
    """Let one person enrol and give everybody else that person's rows; return the secret."""
    with _client(room) as client:
        person = {"email": "u0@mail.example", "password": PASSWORD, "name": "u0"}
        client.post("/sign-up/email", json=person).raise_for_status()
        enabled = client.post("/two-factor/enable", json={"password": PASSWORD}).raise_for_status().json()
        secret: str = parse_qs(urlsplit(str(enabled["totpURI"])).query)["secret"][0]
        code = by_the_rfc(secret, int(time.time()))
        client.post("/two-factor/verify-totp", json={"code": code}).raise_for_status()
    columns = {
        "user": room.columns("user", id="'U' || n", email="'u' || n || '@mail.example'", name="'u' || n"),
        "account": room.columns("account", id="'A' || n", accountId="'U' || n", userId="'U' || n"),
        "twoFactor": room.columns("twoFactor", id="'T' || n", userId="'U' || n"),
    }
    room.execute(*(CLONE.format(table=table, columns=those, people=room.people) for table, those in columns.items()))
    room.execute("VACUUM ANALYZE")
    return secret


def _requests(room: Room, secret: str, count: int) -> Sequence[bytes]:
    """Sign people in with their passwords, as far as that goes."""
    people = range(1, min(count, room.people) + 1)

    def some(first: int) -> list[str]:
        with _client(room) as client:
            return [_pending(client, number) for number in people[first::AT_ONCE]]

    with ThreadPoolExecutor(AT_ONCE) as threads:
        cookies = [each for found in threads.map(some, range(AT_ONCE)) for each in found]
    code, headers = by_the_rfc(secret, int(time.time())), {"Origin": room.base}
    return [request(room.port, "/api/auth/two-factor/verify-totp", {"code": code}, headers, each) for each in cookies]


def _pending(client: httpx.Client, number: int) -> str:
    client.cookies.clear()
    answer = client.post("/sign-in/email", json={"email": f"u{number}@mail.example", "password": PASSWORD})
    if not answer.json().get("twoFactorRedirect"):
        raise SystemExit(f"better-auth does not ask for a code: {answer.text}")
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())
