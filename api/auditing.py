"""The log in words and in data, for the JSON door, the page and the console alike."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.bootstrap import Watchword
from api.words import sentence
from domain.kernel import Envelope
from projections import audit_trail

SECRET_NAMES = {"secret_ref", "setup_id", "session", "challenge", "reset_id", "unlock_id", "link_id"}
"""Fields of facts that name a sealed secret, a sign-in or a mailed link: who only reads needs none of them."""


class AuditEntry(BaseModel):
    """One fact: what happened, to whom, by whom, from where, and under which policy."""

    position: int
    at: datetime
    what: str = Field(examples=["MFA reset by an administrator (lost phone)"])
    topic: str = Field(examples=["user_mfa.reset_confirmed"])
    stream: str
    account_id: str | None = Field(None, description="Whom it concerns.")
    account: str | None = Field(None, description="Their name today; none once it was erased.")
    actor: str = Field(examples=["account:acc-7"])
    actor_name: str | None = None
    from_network: str
    policy_version: int | None = Field(None, description="Of the partner's policy when it happened.")
    command_id: str
    correlation_id: str
    data: dict[str, Any]


def entries(watchword: Watchword, wanted: audit_trail.Filter) -> list[AuditEntry]:
    """Return the wanted entries, newest first."""
    with watchword.views.connection() as connection:
        rows = audit_trail.page(connection, wanted)
    envelopes = {each.position: each for each in watchword.store.at([row["position"] for row in rows])}
    names = _names(watchword, rows, list(envelopes.values()))
    return [_entry(row, envelopes[row["position"]], names) for row in rows]


def _names(watchword: Watchword, rows: Sequence[dict[str, Any]], envelopes: Sequence[Envelope]) -> dict[str, str]:
    ids = {row["account_id"] for row in rows if row["account_id"]}
    ids |= {each.actor.removeprefix("account:") for each in envelopes if each.actor.startswith("account:")}
    found = watchword.sockets.people.accounts(sorted(ids)) if ids else ()
    partner_ids = {envelope.tenant for envelope in envelopes}
    return {each.account_id: each.name for each in found if each.name and each.partner_id in partner_ids}


def _entry(row: dict[str, Any], envelope: Envelope, names: dict[str, str]) -> AuditEntry:
    return AuditEntry(
        position=envelope.position,
        at=envelope.at,
        what=sentence(envelope.fact),
        topic=envelope.kind,
        stream=envelope.stream,
        account_id=row["account_id"],
        account=names.get(row["account_id"] or ""),
        actor=envelope.actor,
        actor_name=names.get(envelope.actor.removeprefix("account:")),
        from_network=envelope.ip_prefix,
        policy_version=row["policy_version"],
        command_id=envelope.command_id,
        correlation_id=envelope.correlation_id,
        data=envelope.fact.model_dump(mode="json", exclude=SECRET_NAMES),
    )
