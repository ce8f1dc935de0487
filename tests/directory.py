"""The test directory: each partner type in every role, organizations, and one address with three accounts."""

import json
from pathlib import Path

PASSWORD = "correct horse battery staple"
ROLES = ("owner", "super_admin", "admin", "support", "auditor")
PARTNERS = {"dist": "distributor", "dist2": "distributor", "resell": "reseller", "sub": "sub_reseller"}
ORGANIZATIONS = {"dist-org": "dist", "dist2-org": "dist2", "resell-org": "resell", "sub-org": "sub"}
THREE = "three@accounts.example"
"""The address of three accounts: ``three-dist``, ``three-resell``, ``three-org``."""


def address(account: str) -> str:
    """Return the address of an account of this directory, such as ``dist-owner`` or ``dist-org-user``."""
    return THREE if account.startswith("three-") else f"{account}@mail.example"


def lines() -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = []
    for partner, kind in PARTNERS.items():
        parent = {"parent": "dist"} if kind == "sub_reseller" else {}
        found.append({"partner": {"id": partner, "name": f"{partner.title()} Inc", "type": kind, **parent}})
    found += [{"organization": {"id": o, "name": o.title(), "partner": p}} for o, p in ORGANIZATIONS.items()]
    people = [(f"{p}-{role}", {"partner": p, "role": role}) for p in PARTNERS for role in ROLES]
    people.append(("dist-admin2", {"partner": "dist", "role": "admin"}))
    people += [(f"{o}-user", {"organization": o, "role": "end_user"}) for o in ORGANIZATIONS]
    people += [
        ("three-dist", {"partner": "dist", "role": "support"}),
        ("three-resell", {"partner": "resell", "role": "admin"}),
        ("three-org", {"organization": "dist-org", "role": "end_user"}),
    ]
    for account, place in people:
        person = {"id": account, "email": address(account), "name": account.replace("-", " ").title()}
        found.append({"account": {**person, **place, "password": PASSWORD}})
    return found


def write_directory(folder: Path) -> Path:
    path = folder / "directory.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines()))
    return path
