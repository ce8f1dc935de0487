"""Secrets: what no log, fact, message, mail or dump may hold, and what a copy of the database is worth."""

import asyncio
import base64
import json
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import sql

from api.embedded.nats import EmbeddedNats
from handlers.adapters import vault
from tests.attacks.site import Site
from tests.attacks.steps import confirm_reset, page, pending, reset_by, token_of
from tests.delivery.steps import connected, messages, publish_all, relay_for
from tests.flows.steps import confirm, enrolled, give_code, next_code, reason, signed_in, wrong_code

SEALED = {"person": {"name", "address"}, "credential": {"address"}}
"""The tables that may hold a person's name and address: erasing the person deletes their rows."""


def spellings(name: str, value: str) -> set[bytes]:
    """Return a secret as it may lie about: as it is, in other encodings, and for a key of an app its bytes too."""
    raws = [value.encode()]
    if name == "key":
        raws.append(base64.b32decode(value))
    found = {value.encode(), quote(value).encode()}
    for raw in raws:
        found |= {
            raw,
            raw.hex().encode(),
            base64.b64encode(raw).rstrip(b"="),
            base64.urlsafe_b64encode(raw).rstrip(b"="),
        }
    return found


def dumped(url: str) -> dict[str, bytes]:
    """Return every row of every table, as text and with its bytes as they are."""
    found = {}
    with psycopg.connect(url) as connection:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        for (table,) in connection.execute(query).fetchall():
            rows = connection.execute(sql.SQL("SELECT t::text, t.* FROM {} t").format(sql.Identifier(table))).fetchall()
            cells = (cell for row in rows for cell in row)
            found[table] = b"\n".join(bytes(c) if isinstance(c, bytes | memoryview) else str(c).encode() for c in cells)
    return found


def everything_happens(site: Site) -> tuple[dict[str, str], bytes]:
    """Let one person live through the whole story, mistakes included; return every secret of it, and every refusal."""
    partner = site.partner("owner")
    account, given = f"{partner}-canary", "canary-Password-5f1c77aa"
    email = f"canary.{partner}@secret-house.example"
    line = site.account(
        account, email=email, partner=partner, role="support", password=given, name="Canary Nightingale"
    )
    assert site.take(line) == []
    seen: dict[str, str] = {"password": given, "address": email, "name": "Canary Nightingale"}
    browser = site.browser()
    browser.sign_in(email, given)
    key = seen["key"] = browser.start_setup()["setup_key"]
    browser.post("/me/mfa/setup/confirm", {"code": wrong_code(site, key)})
    assert confirm(site, browser, key).status_code == 200
    seen |= {
        "session": token_of(browser),
        "csrf": browser.csrf,
        "device": browser.http.cookies["__Host-watchword-device"],
    }
    browser.post("/me/mfa/reset", {"password": given})
    mails = site.mails(account, to=email)
    seen["link"] = mails[-1].text.partition("#")[2].split()[0]
    stranger = site.browser()
    stranger.session()
    bodies = (
        {"email": email, "password": f"{given}x"},
        {"email": given, "password": email},
        {"email": email, "secret": key, "password": given},
    )
    refused = [stranger.post("/sign-in", body) for body in bodies]
    sent = {"User-Agent": f"{email} {key}"}
    refused += [
        stranger.http.get(f"/accounts/{email}/mfa/{key}?password={given}", headers=sent),
        page(stranger, "POST", "/sign-in", data={"email": "x", "password": given, "code": key}),
        page(stranger, "GET", f"/no-such-page/{key}?password={given}"),
        browser.post("/session/step-up", {"password": given, "code": key}),
        browser.post(f"/accounts/{account}/mfa/reset", {"reason": f"{email} {key}"}),
        browser.post("/me/mfa/reset", {"password": f"{given}x"}, X_Request_Id=email),
        browser.post("/sign-in/code", {"code": f"{key}\n"}),
        browser.http.get("/me/mfa", params={"min_position": key}, headers={"If-Match": key}),
    ]
    reset_by(signed_in(site, f"{partner}-owner"), account)
    seen["setup link"] = site.mails(account, to=email)[-1].text.partition("#")[2].split()[0]
    seen["service token"] = site.w.tokens.create(f"{partner}-canary", ["read"], partner)
    site.browser(headers={"Authorization": f"Bearer {seen['service token']}"}).get(f"/partners/{partner}/users")
    answers = b"\n".join(answer.content + str(answer.headers).encode() for answer in refused)
    return seen, answers


def test_sec_01_no_secret_shows_in_logs_facts_messages_mails_or_a_dump(site: Site, tmp_path: Path) -> None:
    seen, answers = everything_happens(site)
    places = {f"table {name}": rows for name, rows in dumped(site.w.settings.need("admin_database_url")).items()}
    places["answers to what was refused"] = answers
    places["log of the web processes"] = site.log.read_bytes()
    places["log of PostgreSQL"] = (site.w.settings.data_dir / "log" / "postgres.log").read_bytes()
    nats = EmbeddedNats(tmp_path / "nats", sync_always=False)
    nats.start()

    async def published() -> bytes:
        async with connected(site.w, nats.url) as (client, broker):
            await publish_all(relay_for(site.w, broker), site.w)
            found = await messages(client)
            return b"\n".join(message.data + str(message.headers).encode() for message in found)

    try:
        places["message stream"] = asyncio.run(published())
    finally:
        nats.stop()
    for mail in site.box.mails:
        places["mails"] = places.get("mails", b"") + (mail.text + mail.html + mail.subject).encode()
    found = {
        (place, name)
        for place, content in places.items()
        for name, value in seen.items()
        if any(each in content for each in spellings(name, value))
    }
    allowed = {(f"table {table}", name) for table, names in SEALED.items() for name in names}
    allowed |= {("mails", name) for name in ("link", "setup link", "name")}
    assert found <= allowed, found - allowed
    assert ("mails", "link") in found, "the search finds what there is"
    assert ("table person", "address") in found


def test_sec_02_a_dump_without_the_key_opens_nothing_and_a_changed_one_is_noticed(site: Site) -> None:
    partner = site.partner("support", "auditor")
    x, y = f"{partner}-support", f"{partner}-auditor"
    (_, key), (_, other) = enrolled(site, x), enrolled(site, y)
    of = "SELECT sealed FROM secret WHERE account_id = "
    harms = (
        f"UPDATE secret SET sealed = ({of}'{y}') WHERE account_id = '{x}'",  # noqa: S608 the test's own words
        f"UPDATE secret SET sealed = set_byte(sealed, 14, get_byte(sealed, 14) # 1) WHERE account_id = '{x}'",  # noqa: S608 same
        f"UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE account_id = '{y}') WHERE account_id = '{x}'",  # noqa: S608 same
    )
    kept = site.w.database.one(
        "SELECT sealed, wrapped FROM secret JOIN data_key USING (account_id) WHERE account_id = %s", (x,)
    )
    assert kept is not None
    for harm in harms:
        site.w.database.run(harm)
        waiting = pending(site, x)
        for each in (key, other):
            assert reason(waiting.post("/sign-in/code", {"code": next_code(site, each)})) == (503, "secret_unreadable")
        assert reason(waiting.get("/me/mfa")) == (403, "mfa_code_required")
        site.w.database.run("UPDATE secret SET sealed = %s WHERE account_id = %s", (kept["sealed"], x))
        site.w.database.run("UPDATE data_key SET wrapped = %s WHERE account_id = %s", (kept["wrapped"], x))
    assert give_code(site, pending(site, x), key).status_code == 200
    assert "a sealed secret does not open" in site.log.read_text(errors="replace"), "the operator is told"
    rows = str(dumped(site.w.settings.need("admin_database_url")))
    assert confirm_reset(site.browser(), ("any", "A" * 43)).status_code == 410
    assert base64.b32decode(key).hex() not in rows


def test_sec_05_no_two_secrets_are_sealed_alike(site: Site) -> None:
    """Every nonce is another one; what is stored is the nonce, the text and the tag of AES-256-GCM, and nothing else."""
    partner = site.partner(*(f"support{n}" for n in range(4)))
    nonces: list[bytes] = []
    for number in range(4):
        browser = signed_in(site, f"{partner}-support{number}")
        for _ in range(8):
            browser.start_setup()
            row = site.w.database.one(
                "SELECT sealed FROM secret WHERE account_id = %s", (f"{partner}-support{number}",)
            )
            assert row is not None
            assert len(bytes(row["sealed"])) == 12 + 32 + 16
            nonces.append(bytes(row["sealed"])[:12])
    keys = site.w.database.all("SELECT wrapped FROM data_key")
    nonces += [bytes(row["wrapped"])[:12] for row in keys]
    assert {len(bytes(row["wrapped"])) for row in keys} == {12 + 32 + 16}
    assert len(set(nonces)) == len(nonces)


def test_sec_05_a_million_seals_under_one_key_share_no_nonce() -> None:
    key = AESGCM.generate_key(256)
    nonces = {vault._seal(key, b"the same secret", b"the same place")[:12] for _ in range(1_000_000)}
    assert len(nonces) == 1_000_000


def opened(key: bytes, sealed: bytes, place: str) -> bytes:
    """Open what was sealed by hand, as AES-256 in Galois/Counter mode."""
    assert len(key) == 32
    cipher = Cipher(algorithms.AES(key), modes.GCM(sealed[:12], sealed[-16:])).decryptor()
    cipher.authenticate_additional_data(place.encode())
    return cipher.update(sealed[12:-16]) + cipher.finalize()


def test_sec_05_what_is_stored_is_aes_256_gcm_and_opens_in_its_own_place_alone(site: Site) -> None:
    partner = site.partner("support")
    account = f"{partner}-support"
    _, key = enrolled(site, account)
    row = site.w.database.one("SELECT * FROM secret JOIN data_key USING (account_id) WHERE account_id = %s", (account,))
    assert row is not None
    version = str(row["kek_version"])
    kek = base64.b64decode(json.loads(site.w.settings.kek_file.read_text())["keks"][version])
    outer = ["watchword/v1", partner, account, "data_key", "-", version]
    data_key = opened(kek, bytes(row["wrapped"]), "|".join(outer))
    inner = ["watchword/v1", partner, account, "totp", row["secret_ref"], "1"]
    assert opened(data_key, bytes(row["sealed"]), "|".join(inner)).decode() == key
    for by, sealed, place in ((kek, row["wrapped"], outer), (data_key, row["sealed"], inner)):
        for part in range(len(place)):
            elsewhere = "|".join(word + "x" * (number == part) for number, word in enumerate(place))
            with pytest.raises(InvalidTag):
                opened(by, bytes(sealed), elsewhere)
