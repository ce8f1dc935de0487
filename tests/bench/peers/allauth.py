"""django-allauth, headless, behind gunicorn: ``/auth/2fa/authenticate`` of a login that waits for its code.

Connections to PostgreSQL stay; the list of used codes is in memcached, where two processes see the same.
"""

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from api.embedded.ports import free_port
from tests.bench.asking import request
from tests.bench.peers import debian
from tests.bench.peers.place import PROCESSES, SECRET, Contestant, Room
from tests.phone import by_the_rfc

NAME = "django-allauth 65.21"
WANTED = (
    "django-allauth[headless,mfa]==65.21.*", "Django==5.2.*", "gunicorn==27.0.1", "psycopg[binary,pool]==3.3.*",
    "pymemcache==4.0.0",
)  # fmt: skip
SITE = Path(__file__).parent / "sites" / "allauth_site.py"
APP = "/_allauth/app/v1/auth"
PASSWORD = "password1"
AT_ONCE = 4
PEOPLE = """INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
        date_joined)
    SELECT n, '{password}', false, 'u' || n, '', '', '', false, true, now() FROM generate_series(1, {people}) n"""
AUTHENTICATORS = """INSERT INTO mfa_authenticator (id, type, data, user_id, created_at)
    SELECT n, 'totp', '{{"secret": "{secret}"}}', n, now() FROM generate_series(1, {people}) n"""
MIGRATE = """import allauth_site
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.hashers import make_password
print(make_password({password!r}))
"""


@contextmanager
def contest(room: Room) -> Iterator[Contestant]:
    """Install it, give it people with an authenticator, serve it and its cache."""
    room.install(" ".join(WANTED), lambda: _install(room))
    shutil.copy(SITE, room.folder / SITE.name)
    cache = replace(room, port=free_port())
    memcached = shutil.which("memcached") or debian.program(room, "usr/bin/memcached")
    listening = ("-l", "127.0.0.1", "-p", str(cache.port), "-m", "64", *(() if os.getuid() else ("-u", "nobody")))
    environ = {
        "PEER_DATABASE_URL": room.database(),
        "SECRET": secrets.token_hex(32),
        "MEMCACHED": f"127.0.0.1:{cache.port}",
    }
    python = str(room.folder / "venv" / "bin" / "python")
    password = room.run(python, "-c", MIGRATE.format(password=PASSWORD), environ=environ).strip()
    room.execute(
        PEOPLE.format(password=password, people=room.people),
        AUTHENTICATORS.format(secret=SECRET, people=room.people),
        "VACUUM ANALYZE",
    )
    words = (str(room.folder / "venv" / "bin" / "gunicorn"), "-b", f"127.0.0.1:{room.port}", "-w", str(PROCESSES))
    with (
        cache.serving(memcached, *listening, environ=debian.environ(room)),
        room.serving(*words, "--log-level", "warning", "allauth_site:application", environ=environ) as pid,
    ):
        yield Contestant(NAME, room.port, pid, lambda count: _requests(room, count), b'"is_authenticated": true')


def _install(room: Room) -> None:
    if not shutil.which("memcached"):
        debian.unpack(room, "memcached")
    room.venv(*WANTED)


def _requests(room: Room, count: int) -> Sequence[bytes]:
    """Log people in with their passwords, as far as that goes."""
    people = range(1, min(count, room.people) + 1)

    def some(first: int) -> list[str]:
        with httpx.Client(base_url=room.base, timeout=60) as client:
            return [_pending(client, number) for number in people[first::AT_ONCE]]

    with ThreadPoolExecutor(AT_ONCE) as threads:
        tokens = [each for found in threads.map(some, range(AT_ONCE)) for each in found]
    code = {"code": by_the_rfc(SECRET, int(time.time()))}
    return [request(room.port, f"{APP}/2fa/authenticate", code, {"X-Session-Token": each}) for each in tokens]


def _pending(client: httpx.Client, number: int) -> str:
    answer = client.post(f"{APP}/login", json={"username": f"u{number}", "password": PASSWORD}).json()
    flows = answer.get("data", {}).get("flows", [])
    if not any(each["id"] == "mfa_authenticate" and each.get("is_pending") for each in flows):
        raise SystemExit(f"django-allauth does not ask for a code: {answer}")
    return str(answer["meta"]["session_token"])
