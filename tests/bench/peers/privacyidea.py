"""privacyIDEA with its own pinned requirements, behind gunicorn: ``/validate/check`` of a person's code.

Its resolver asks a table in its own database, with shared engines and its user cache of one hour. Answers and audit rows
are signed, as they are unless somebody turns it off; without, it is no quicker that could be told.
"""

import json
import secrets
import time
from base64 import b32decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import httpx

from tests.bench.asking import request
from tests.bench.peers.place import PROCESSES, SECRET, Contestant, Room
from tests.phone import by_the_rfc

NAME = "privacyIDEA 3.14"
WANTED = ("privacyidea==3.14", "gunicorn==27.0.1", "psycopg2-binary==2.9.13")
PASSWORD = "bench-password"
SECRET_HEX = b32decode(SECRET).hex()
USERS = """CREATE TABLE person (id int PRIMARY KEY, username text UNIQUE, givenname text, surname text, email text,
    phone text, password text)"""
FILL = """INSERT INTO person SELECT n, 'u' || n, 'Given' || n, 'Sur' || n, 'u' || n || '@mail.example', '', ''
    FROM generate_series(1, {people}) n"""
CLONE = (
    """INSERT INTO token SELECT {token} FROM token, generate_series(2, {people}) n WHERE serial = 'B1'""",
    """INSERT INTO tokeninfo SELECT 1000000 + n * 10 + row_number() OVER (PARTITION BY n ORDER BY id), "Key", "Value",
        "Type", "Description", 1000000 + n FROM tokeninfo, generate_series(2, {people}) n
        WHERE token_id = (SELECT id FROM token WHERE serial = 'B1')""",
    """INSERT INTO tokenowner SELECT 1000000 + n, 1000000 + n, resolver, n::text, realm_id
        FROM tokenowner, generate_series(2, {people}) n WHERE token_id = (SELECT id FROM token WHERE serial = 'B1')""",
    """INSERT INTO tokenrealm SELECT 1000000 + n, 1000000 + n, realm_id
        FROM tokenrealm, generate_series(2, {people}) n WHERE token_id = (SELECT id FROM token WHERE serial = 'B1')""",
    "VACUUM ANALYZE",
)
"""One token is enrolled; the others are its rows with other numbers."""
WSGI = """from privacyidea.app import create_app
application = create_app(config_name="production", config_file={config!r}, silent=True)
"""


@contextmanager
def contest(room: Room) -> Iterator[Contestant]:
    """Install it, give it people with tokens, serve it."""
    room.install(" ".join(WANTED), lambda: _install(room))
    room.database()
    _configure(room)
    gunicorn = str(room.folder / "venv" / "bin" / "gunicorn")
    at = f"127.0.0.1:{room.port}"
    with room.serving(gunicorn, "-b", at, "-w", str(PROCESSES), "--log-level", "warning", "wsgi:application") as pid:
        _fill(room)
        yield Contestant(NAME, room.port, pid, lambda count: _requests(room, count), b'"authentication": "ACCEPT"')


def _install(room: Room) -> None:
    venv = room.venv(*WANTED)
    room.pip("-r", str(venv / "lib" / "privacyidea" / "requirements.txt"))


def _configure(room: Room) -> None:
    folder, config = room.folder, room.folder / "pi.cfg"
    values = {
        "SUPERUSER_REALM": ["super"],
        "SQLALCHEMY_DATABASE_URI": room.url.replace("postgresql://", "postgresql+psycopg2://"),
        "SQLALCHEMY_ENGINE_OPTIONS": {"pool_size": 8, "pool_pre_ping": False, "pool_recycle": 3600},
        "SECRET_KEY": secrets.token_hex(32),
        "PI_PEPPER": secrets.token_hex(16),
        "PI_ENCFILE": str(folder / "enckey"),
        "PI_AUDIT_KEY_PRIVATE": str(folder / "private.pem"),
        "PI_AUDIT_KEY_PUBLIC": str(folder / "public.pem"),
        "PI_AUDIT_SQL_TRUNCATE": True,
        "PI_LOGFILE": str(folder / "pi.log"),
        "PI_LOGLEVEL": 30,
        "PI_BASE_URL": room.base,
        "PI_UUID_FILE": str(folder / "uuid.txt"),
        "PI_SCRIPT_HANDLER_DIRECTORY": str(folder),
        "PI_FORCE_HTTPS": False,
        "PI_SESSION_COOKIE_SECURE": False,
        "PI_ENABLE_CSP": False,
        "PI_ENGINE_REGISTRY_CLASS": "shared",
        "PI_TRANSLATION_WARNING": False,
    }
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    (folder / "wsgi.py").write_text(WSGI.format(config=str(config)))
    for each in ("enckey", "private.pem", "public.pem"):
        (folder / each).unlink(missing_ok=True)
    manage, environ = str(folder / "venv" / "bin" / "pi-manage"), {"PRIVACYIDEA_CONFIGFILE": str(config)}
    for words in ("create_enckey", "create_audit_keys", "create_tables"):
        room.run(manage, "setup", words, environ=environ)
    room.run(manage, "admin", "add", "admin", "-p", PASSWORD, environ=environ)


def _fill(room: Room) -> None:
    room.execute(USERS, FILL.format(people=room.people), "ANALYZE person")
    with httpx.Client(base_url=room.base, timeout=60) as client:
        answer = client.post("/auth", data={"username": "admin", "password": PASSWORD}).raise_for_status()
        client.headers["Authorization"] = answer.json()["result"]["value"]["token"]
        for path, data in _wishes(room):
            client.post(path, data=data).raise_for_status()
    token = room.columns("token", id="1000000 + n", serial="'B' || n")
    room.execute(*(each.format(people=room.people, token=token) for each in CLONE))


def _wishes(room: Room) -> list[tuple[str, dict[str, str]]]:
    """Return what an administrator asks for: where people are found, and a token for the first."""
    url = urlsplit(room.url)
    columns = ("username", "email", "givenname", "surname", "phone", "password")
    resolver = {
        "type": "sqlresolver",
        "Driver": "postgresql+psycopg2",
        "Server": url.hostname or "",
        "Port": str(url.port),
        "Database": url.path.strip("/"),
        "User": url.username or "",
        "Password": url.password or "",
        "Table": "person",
        "Limit": "500",
        "poolSize": "5",
        "Map": json.dumps({"userid": "id"} | {each: each for each in columns}),
    }
    return [
        ("/resolver/people", resolver),
        ("/realm/bench", {"resolvers": "people"}),
        ("/defaultrealm/bench", {}),
        ("/system/setConfig", {"UserCacheExpiration": "3600"}),
        ("/token/init", {"type": "totp", "user": "u1", "realm": "bench", "serial": "B1", "otpkey": SECRET_HEX}),
    ]


def _requests(room: Room, count: int) -> Sequence[bytes]:
    code = quote(by_the_rfc(SECRET, int(time.time())))
    numbers = range(1, min(count, room.people) + 1)
    return [request(room.port, "/validate/check", f"user=u{n}&realm=bench&pass={code}", {}) for n in numbers]
