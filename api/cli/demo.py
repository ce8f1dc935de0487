"""The demo directory: two distributors, a reseller, two sub-resellers, and people in every role."""

import json
import os
import secrets
import signal
import sys
import tempfile
import threading
from pathlib import Path

from api.bootstrap import Watchword
from api.children import SUPERVISED, watch_parent
from api.cli.console import operator, plugged
from api.cli.importing import take_file
from api.embedded.processes import EmbeddedError
from api.embedded.provider import EmbeddedProvider
from handlers import identity_providers
from handlers.errands import BACK
from handlers.identity_providers import OPERATOR, DomainLine, ProviderLine

DOMAIN = "example.org"
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "juniper", "kelp", "linden")
_ROLES = ("owner", "super_admin", "admin", "support", "auditor")

PARTNERS = (
    ("north", "North Distribution", "distributor", None),
    ("south", "South Distribution", "distributor", None),
    ("river", "River Reselling", "reseller", None),
    ("brook", "Brook Partners", "sub_reseller", "north"),
    ("creek", "Creek Partners", "sub_reseller", "north"),
)
ORGANIZATIONS = (
    ("harbor-dental", "Harbor Dental", "north"),
    ("summit-law", "Summit Law", "north"),
    ("valley-school", "Valley School", "south"),
    ("stone-bakery", "Stone Bakery", "river"),
    ("meadow-clinic", "Meadow Clinic", "brook"),
    ("orchard-cafe", "Orchard Café", "creek"),
)


def load_demo(watchword: Watchword) -> str:
    """Load the demo directory once, and return who can sign in. The password is random and the same for everybody."""
    words = watchword.settings.data_dir / "demo.txt"
    if words.exists():
        return words.read_text()
    if watchword.database.one("SELECT FROM partner_access LIMIT 1"):
        return "The database has a directory of its own: the demo is left out."
    password = "-".join(secrets.choice(_WORDS) for _ in range(5))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in _lines(password)))
        result = take_file(path, watchword)
    if result.errors:
        raise RuntimeError(f"the demo directory is broken: {result.errors[0]}")
    text = _who_can_sign_in(password)
    words.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    return text


def _lines(password: str) -> list[dict[str, dict[str, str]]]:
    lines: list[dict[str, dict[str, str]]] = []
    for id_, name, kind, parent in PARTNERS:
        lines.append({"partner": {"id": id_, "name": name, "type": kind, **({"parent": parent} if parent else {})}})
    lines += [{"organization": {"id": id_, "name": name, "partner": partner}} for id_, name, partner in ORGANIZATIONS]
    lines += [{"account": {**account, "password": password}} for account in accounts()]
    return lines


def accounts() -> list[dict[str, str]]:
    """Return the demo's accounts: each role at each partner, one person in each organization, and one with three accounts."""
    people = []
    for partner, name, _, _ in PARTNERS:
        for role in _ROLES:
            person = {"id": f"{partner}-{role}", "email": f"{role.replace('_', '-')}@{partner}.{DOMAIN}"}
            people.append(
                {**person, "name": f"{role.replace('_', ' ').title()} of {name}", "partner": partner, "role": role}
            )
    for id_, name, _ in ORGANIZATIONS:
        person = {"id": f"{id_}-user", "email": f"user@{id_}.{DOMAIN}", "name": f"User of {name}"}
        people.append({**person, "organization": id_, "role": "end_user"})
    robin = {"email": f"robin@{DOMAIN}", "name": "Robin Three-Hats"}
    people.append({"id": "robin-north", **robin, "partner": "north", "role": "admin"})
    people.append({"id": "robin-river", **robin, "partner": "river", "role": "owner"})
    people.append({"id": "robin-summit", **robin, "organization": "summit-law", "role": "end_user"})
    return people


def _who_can_sign_in(password: str) -> str:
    names = {id_: name for id_, name, _, _ in PARTNERS}
    lines = ["Partners of the demo directory, and their organizations:", ""]
    for id_, name, kind, parent in PARTNERS:
        place = kind.replace("_", "-") + (f" of {names[parent]}" if parent else "")
        customers = ", ".join(f"{org} ({org_id})" for org_id, org, partner in ORGANIZATIONS if partner == id_)
        lines.append(f"  {id_:8} {name:20} {place:37} {customers}")
    lines += ["", "Who can sign in (the demo directory):", "", f"  password of everybody: {password}", ""]
    for account in accounts():
        place = account.get("partner") or account["organization"]
        lines.append(f"  {account['email']:36} {account['role']:12} of {place}")
    return "\n".join(lines) + "\n"


# ── An identity provider that knows the same people ──

_PARTNER = "north"
_NAME = "the demo provider"


def demo_provider() -> None:
    """Run an identity provider for people of the demo directory, as a part of `watchword run`."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    if supervisor := os.environ.get(SUPERVISED):
        watch_parent(int(supervisor))
    with plugged() as watchword:
        client = {
            "client_id": "watchword",
            "token_endpoint_auth_method": "none",
            "redirect_uris": [f"{watchword.settings.public_url}{BACK}"],
        }
        settings = {"title": "Demo provider", "clients": [client], "people": _known_there(), "second_factor": True}
        provider = EmbeddedProvider(watchword.settings.data_dir, settings)
        try:
            provider.start()
            _offer(provider.url, watchword)
            over.wait()
        except EmbeddedError as error:  # such as no network to fetch it: everything else runs without
            print(f"watchword: no demo provider: {error}", file=sys.stderr, flush=True)
            over.wait()
        finally:
            provider.stop()


def _known_there() -> list[dict[str, object]]:
    return [{"sub": each["id"], "email": each["email"], "email_verified": True} for each in accounts()]


def _offer(issuer: str, watchword: Watchword) -> None:
    """Let people of one demo partner sign in there; a provider of an earlier address is removed."""
    s, provider_id = watchword.sockets, f"demo-{issuer.rpartition(':')[2]}"
    for each in s.identities.providers(_PARTNER):
        if each.name == _NAME and each.issuer != issuer:
            identity_providers.remove(each.provider_id, operator(watchword), s)
    for place in (_PARTNER, *(id_ for id_, _, partner in ORGANIZATIONS if partner == _PARTNER)):
        line = DomainLine(name=f"{place}.{DOMAIN}", partner=_PARTNER)
        identity_providers.set_domain(line, proved=True, origin=operator(watchword), s=s)
    wanted = {"id": provider_id, "partner": _PARTNER, "kind": "openid", "issuer": issuer, "name": _NAME}
    provider = ProviderLine.model_validate({**wanted, "client_id": "watchword"})
    identity_providers.add(provider, OPERATOR, operator(watchword), s)
