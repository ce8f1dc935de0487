"""``watchword audit log | account | as-of``: what happened, and how it stood, in words or as JSON."""

from typing import Annotated, Any

import typer
from fastapi.exceptions import RequestValidationError

from api.auditing import entries
from api.bootstrap import Watchword
from api.cli.audit import audit
from api.cli.console import Json, answer, operator, plugged
from api.past import because, position_of, required_under
from domain.permissions import Action
from handlers.callers import record_read
from projections import audit_trail, status_history, user_status

Partner = Annotated[str, typer.Option(help="The partner's id.")]
Moment = Annotated[str, typer.Option(help="A position, an instant such as 2026-11-01T12:00:00Z, or a day.")]
SHOWN = 1_000


def add_to(_: typer.Typer) -> None:
    """Add these commands: importing this file has put them into the group ``audit``."""


def _position(text: str, watchword: Watchword, field: str, *, begins: bool = False) -> int | None:
    try:
        return position_of(text, watchword, watchword.sockets.clock.now(), field, begins=begins)
    except RequestValidationError as error:
        raise typer.BadParameter(f"--{field}: {error.errors()[0]['msg']}") from None


def _looked(watchword: Watchword, partner: str) -> None:
    if watchword.sockets.people.partner_type(partner) is None:
        raise typer.BadParameter(f"there is no partner {partner}")
    record_read(operator(watchword), watchword.sockets, what=Action.SEE_AUDIT.value, partner_id=partner)


@audit.command()
def log(
    *,
    partner: Partner,
    account: Annotated[str | None, typer.Option(help="Whom it concerns.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who did it, such as account:acc-7.")] = None,
    topic: Annotated[str | None, typer.Option(help="A fact's topic, or its first part with the dot.")] = None,
    since: Annotated[str, typer.Option("--from", help="A position, an instant or a day.")] = "",
    to: Annotated[str, typer.Option(help="A position, an instant or a day.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    as_json: Json = False,
) -> None:
    """Print what happened at a partner, newest first."""
    with plugged() as watchword:
        _looked(watchword, partner)
        span = {"after": _position(since, watchword, "from", begins=True) or 0, "until": _position(to, watchword, "to")}
        wanted = audit_trail.Filter(partner, account_id=account, actor=actor, topic=topic, limit=limit, **span)  # type: ignore[arg-type]
        found = entries(watchword, wanted)
    lines = [
        f"{each.position:>8}  {each.at:%Y-%m-%d %H:%M:%S}  {each.what:60}  {each.account or each.account_id or '-':24}"
        f"  by {each.actor_name or each.actor}"
        for each in found
    ]
    answer({"items": [each.model_dump(mode="json") for each in found]}, "\n".join(lines), as_json=as_json)


@audit.command()
def account(account_id: str, as_of: Moment = "", *, as_json: Json = False) -> None:
    """Print how it stands or stood with one account, and the facts behind that."""
    with plugged() as watchword:
        entry = watchword.sockets.people.account(account_id)
        if entry is None:
            raise typer.BadParameter(f"there is no account {account_id}")
        _looked(watchword, entry.partner_id)
        asked_for = _position(as_of, watchword, "as-of")
        position = watchword.store.last_position() if asked_for is None else asked_for
        with watchword.database.connection() as connection:
            found = status_history.status_at(connection, entry.partner_id, account_id, position)
            demands = status_history.policy_at(connection, entry.partner_id, position)
            if found is None or demands is None:
                raise typer.BadParameter(f"at position {position} the account was not there yet")
            reasons = because(watchword, status_history.reasons_at(connection, found, demands, position))
    needed = required_under(demands, found["organization_id"])
    content: dict[str, Any] = {"position": position, **found, "required": needed.required, "why": needed.why.value}
    content |= {"policy_version": needed.policy_version, "because": [each.model_dump(mode="json") for each in reasons]}
    status = "Active" if found["factor"] == "active" else "Inactive"
    required = "required" if needed.required else "not required"
    words = [
        f"position {position}: {status} ({found['factor']}), {required} by version {needed.policy_version} of the policy",
        *(f"  {each.position:>8}  {each.at:%Y-%m-%d %H:%M:%S}  {each.what}" for each in reasons),
    ]
    answer(content, "\n".join(words), as_json=as_json)


@audit.command("as-of")
def as_of(
    moment: Annotated[str, typer.Argument(help=Moment.__metadata__[0].help)], partner: Partner, *, as_json: Json = False
) -> None:
    """Print User Management as it stood, under the names of today."""
    with plugged() as watchword:
        _looked(watchword, partner)
        position = _position(moment, watchword, "as-of") or 0
        wanted = user_status.Filter(partner, as_of=position, limit=SHOWN)
        with watchword.database.connection() as connection:
            rows = user_status.page(connection, wanted)
            sums = status_history.sums(connection, partner, position)
            demands = status_history.policy_at(connection, partner, position)
    kept = ("account_id", "name", "role", "organization", "account_state", "mfa_status", "factor", "required", "since")
    users = [{name: row[name] for name in kept} for row in rows]
    lines = [f"{row['account_id']:24} {row['role']:12} {row['mfa_status']:8} {row['name']}" for row in users]
    lines += [f"{each['population']}: {each['active']} of {each['accounts']} active" for each in sums]
    lines += [f"the first {SHOWN} are shown"] if len(rows) == SHOWN else []
    content = {"position": position, "policy": demands, "sums": sums, "users": users}
    answer(content, "\n".join([f"as of position {position}", *lines]), as_json=as_json)
