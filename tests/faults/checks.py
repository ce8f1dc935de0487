"""Asks the running deployment what the checker needs, once it has come to rest: log, rows, views, mails, messages, ledger."""

import asyncio
from collections.abc import Sequence

from api import bootstrap
from domain.kernel import Envelope, replay
from domain.user_mfa import UserMFA, evolve
from handlers.adapters.postgres.access import ends_sessions
from handlers.ledger_check import LedgerCheck
from projections import rebuilding
from projections.views import VIEWS
from tests.delivery.steps import connected, messages, whole_log
from tests.faults.checker import Findings, check_log, check_mails, check_messages, check_operations
from tests.faults.deployment import Deployment
from tests.faults.history import History, foreign
from tests.faults.people import TENANTS, tenant_of


def check(deployment: Deployment, history: History) -> Findings:
    """Check everything that has happened in this deployment so far, and the operations of the newest load."""
    found, log, w = Findings(), whole_log(deployment.watchword), deployment.watchword
    check_operations(history.operations, log, found)
    check_log(log, found)
    _rows(deployment, log, found)
    rows = w.database.all("SELECT message_id FROM processed_message")
    check_mails(log, deployment.inbox.letters, {int(row["message_id"]) for row in rows}, found)
    _messages(deployment, log, found)
    for name in VIEWS:
        compared = rebuilding.verify(w.settings.need("database_url"), w.store.read, name)
        if not compared.equal:
            found.add("I6", f"{name}: {compared.missing} rows missing, {compared.extra} too many of {compared.rows}")
    for finding in LedgerCheck(bootstrap.ledger(w).tree, bootstrap.ledger(w).notes).run(full=True).findings.values():
        found.add("I9", finding.what)
    for leak in history.leaks:
        found.add("I10", leak)
    return found


def _rows(deployment: Deployment, log: Sequence[Envelope], found: Findings) -> None:
    """I2: what is written beside the facts, in their transaction, is what the facts say: commands, access, secrets."""
    commands = {row["command_id"] for row in deployment.watchword.database.all("SELECT command_id FROM command")}
    if commands != {envelope.command_id for envelope in log}:
        found.add("I2", "the table of commands differs from the log")
    streams: dict[str, list[Envelope]] = {}
    ended: dict[str, int] = {}
    for envelope in log:
        streams.setdefault(envelope.stream, []).append(envelope)
        if ends_sessions(envelope.fact):
            ended[envelope.subject_id] = ended.get(envelope.subject_id, 0) + 1
    for row in deployment.watchword.database.all("SELECT account_id, generation FROM account_access"):
        if row["generation"] != ended.get(row["account_id"], 0):
            found.add("I2", f"{row['account_id']} has generation {row['generation']}, the facts say otherwise")
    secrets = {row["secret_ref"] for row in deployment.watchword.database.all("SELECT secret_ref FROM secret")}
    kept: set[str] = set()
    for stream, envelopes in streams.items():
        if stream.startswith("user_mfa:"):
            mfa = replay(evolve, UserMFA(), [envelope.fact for envelope in envelopes])
            kept |= {ref for ref in (mfa.secret_ref, mfa.setup and mfa.setup.secret_ref) if ref}
    if secrets != kept:
        found.add("I2", f"{len(kept - secrets)} secrets are missing, {len(secrets - kept)} outlived their end")


def _messages(deployment: Deployment, log: Sequence[Envelope], found: Findings) -> None:
    async def read() -> list[int]:
        url = deployment.watchword.settings.need("nats_url")
        async with connected(deployment.watchword, url) as (client, _):
            taken = await messages(client)
        for message in taken:
            headers = dict(message.headers or {})
            tenant = tenant_of(headers.get("ce-tenant", ""))
            if tenant in TENANTS and (leak := foreign(tenant, message.data.decode() + repr(headers))):
                found.add("I10", f"a message of {tenant} holds {leak}")
        return [int((message.headers or {}).get("ce-sequence", -1)) for message in taken]

    check_messages(log, asyncio.run(read()), found)
