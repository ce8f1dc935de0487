"""Five tenants of ten people each. A tenant's name is part of every id, name and address, so that a leak is seen."""

import json
from pathlib import Path

from tests.directory import PASSWORD, address

TENANTS = ("quokka", "wombat", "lemur", "ocelot", "tapir")
SEATS = ("owner", "admin", "support1", "support2", "support3", "user1", "user2", "user3", "user4", "user5")
"""One person each; `user` is an end user of the tenant's one organization."""


def account_of(tenant: str, seat: str) -> str:
    return f"{tenant}-{seat}"


def tenant_of(text: str) -> str:
    """Return the tenant of an account or partner id."""
    return text.partition("-")[0]


def write_tenants(folder: Path) -> Path:
    lines: list[dict[str, dict[str, str]]] = []
    for tenant in TENANTS:
        partner, organization = f"{tenant}-partner", f"{tenant}-organization"
        lines.append({"partner": {"id": partner, "name": f"{tenant}-partner", "type": "distributor"}})
        lines.append({"organization": {"id": organization, "name": organization, "partner": partner}})
        for seat in (*SEATS, "pending", "setup", "revoked"):
            account, role = account_of(tenant, seat), seat.rstrip("0123456789")
            inside = {"partner": partner, "role": role if role in {"owner", "admin"} else "support"}
            place = {"organization": organization, "role": "end_user"} if role == "user" else inside
            person = {"id": account, "email": address(account), "name": account, "password": PASSWORD}
            lines.append({"account": {**person, **place}})
    path = folder / "tenants.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path
