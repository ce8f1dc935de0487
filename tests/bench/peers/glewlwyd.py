"""glewlwyd, the package of Debian: ``/api/auth/`` with a person's code, which opens a session."""

import gzip
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from tests.bench.asking import request
from tests.bench.peers import debian
from tests.bench.peers.place import SECRET, Contestant, Room
from tests.phone import by_the_rfc

NAME = "glewlwyd 2.7"
PACKAGE = "glewlwyd"
SCHEME = {
    "module": "otp", "name": "otp", "display_name": "OTP", "expiration": 600, "max_use": 0, "allow_user_register": True,
    "parameters": {
        "issuer": "x", "secret-minimum-size": 16, "otp-length": 6, "hotp-allow": True, "totp-allow": True,
        "hotp-window": 0, "totp-window": 1, "totp-start-offset": 0, "time-step-size-default": 30,
    },
}  # fmt: skip
PERSON = {
    "username": "u0", "name": "u0", "password": "password1", "email": "u0@mail.example", "enabled": True,
    "scope": ["g_profile"],
}  # fmt: skip
PASSWORDS = (
    "CREATE FUNCTION gen_salt(text) RETURNS text LANGUAGE sql AS 'SELECT ''x''::text'",
    "CREATE FUNCTION crypt(text, text) RETURNS text LANGUAGE sql AS 'SELECT md5($1)'",
)
"""What it takes from the extension pgcrypto, which our server has not; passwords are no part of what is measured."""
PREPARE = (
    """INSERT INTO gs_otp (gso_mod_name, gso_username, gso_otp_type, gso_secret, gso_hotp_moving_factor,
        gso_totp_time_step_size) VALUES ('otp', 'u0', 1, '{secret}', 0, 30)""",
    """INSERT INTO g_scope_group (gs_id, gsg_name, gsg_scheme_required) SELECT gs_id, 'g', 1 FROM g_scope
        WHERE gs_name = 'g_profile'""",
    """INSERT INTO g_scope_group_auth_scheme_module_instance (gsg_id, guasmi_id) SELECT gsg_id, guasmi_id
        FROM g_scope_group, g_user_auth_scheme_module_instance WHERE guasmi_name = 'otp'""",
)
CLONE = (
    "INSERT INTO g_user SELECT {user} FROM g_user, generate_series(1, {people}) n WHERE gu_username = 'u0'",
    """INSERT INTO g_user_scope_user SELECT 100000 + n, 100000 + n,
        (SELECT gus_id FROM g_user_scope WHERE gus_name = 'g_profile') FROM generate_series(1, {people}) n""",
    "INSERT INTO gs_otp SELECT {otp} FROM gs_otp, generate_series(1, {people}) n WHERE gso_username = 'u0'",
    "VACUUM ANALYZE",
)
"""One person enrols; the others are the same rows with other names."""
INDEXES = (
    "g_user (upper(gu_username))",
    "gs_otp (upper(gso_username))",
    "g_user_scope_user (gu_id)",
    "g_user_property (gu_id)",
    "g_user_password (gu_id)",
    "g_user_session (gus_session_hash)",
)
"""Without them each request reads whole tables: the shipped schema looks people up by a term that has no index."""


@contextmanager
def contest(room: Room) -> Iterator[Contestant]:
    """Unpack it, give it people with an authenticator, serve it."""
    room.install(PACKAGE, lambda: debian.unpack(room, PACKAGE))
    room.database()
    root = room.folder / "root"
    schema = gzip.decompress((root / "usr/share/doc/glewlwyd/database/init.postgre.sql.gz").read_bytes()).decode()
    room.execute(*PASSWORDS, schema)
    (room.folder / "glewlwyd.conf").write_text(_configuration(room))
    words = (debian.program(room, "usr/bin/glewlwyd"), f"--config-file={room.folder / 'glewlwyd.conf'}")
    with room.serving(*words, environ=debian.environ(room)) as pid:
        _fill(room)
        yield Contestant(NAME, room.port, pid, lambda count: _requests(room, count), b"")


def _configuration(room: Room) -> str:
    """Return the sample of the package, with our database and port."""
    root = room.folder / "root"
    text = gzip.decompress((root / "usr/share/doc/glewlwyd/glewlwyd.conf.sample.gz").read_bytes()).decode()
    database = f'database = {{ type = "postgre"; conninfo = "{room.url}"; }};'
    text = re.sub(r"^database *=\s*\{.*?\};", database, text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^#?\s*(bind_address|port|external_url|cookie_domain)\s*=.*$", "", text, flags=re.MULTILINE)
    text = text.replace("/usr/", f"{root}/usr/").replace("/var/log/glewlwyd.log", f"{room.folder}/glewlwyd.log")
    text = text.replace("cookie_secure=1", "cookie_secure=0")
    text = text.replace('log_mode="console"', 'log_mode="file"').replace('log_level="INFO"', 'log_level="ERROR"')
    head = f'bind_address="127.0.0.1"\nport={room.port}\nexternal_url="{room.base}"\ncookie_domain="127.0.0.1"\n'
    return head + text


def _fill(room: Room) -> None:
    with httpx.Client(base_url=room.base, timeout=60) as client:
        client.post("/api/auth/", json={"username": "admin", "password": "password"}).raise_for_status()
        client.post("/api/mod/scheme/", json=SCHEME).raise_for_status()
        client.post("/api/user/", json=PERSON).raise_for_status()
    room.execute(*(each.format(secret=SECRET) for each in PREPARE))
    room.execute(*(f"CREATE INDEX ON {each}" for each in INDEXES))
    user = room.columns("g_user", gu_id="100000 + n", gu_username="'u' || n")
    otp = room.columns("gs_otp", gso_id="100000 + n", gso_username="'u' || n")
    room.execute(*(each.format(people=room.people, user=user, otp=otp) for each in CLONE))


def _requests(room: Room, count: int) -> Sequence[bytes]:
    room.execute("UPDATE gs_otp SET gso_last_used = 'epoch'", "TRUNCATE g_user_session CASCADE", "VACUUM gs_otp")
    value = {"value": by_the_rfc(SECRET, int(time.time()))}
    asked = {"scheme_type": "otp", "scheme_name": "otp", "value": value}
    people = range(1, min(count, room.people) + 1)
    return [request(room.port, "/api/auth/", {"username": f"u{n}", **asked}, {}) for n in people]
