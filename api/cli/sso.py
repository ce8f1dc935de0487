"""``watchword sso``: identity providers of partners, the mail domains that are theirs, and invitations."""

from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from api.cli.console import Json, answer, operator, plugged
from handlers import identity_providers
from handlers.identity_providers import OPERATOR, DomainLine, ProviderLine, known

Shape = TypeVar("Shape", bound=BaseModel)
sso = typer.Typer(help="Sign-in with Microsoft, Google and other identity providers.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(sso, name="sso")


@sso.command()
def add(  # noqa: PLR0917 typer reads options by name
    provider_id: Annotated[str, typer.Argument(help="A lasting id for the provider.")],
    partner: Annotated[str, typer.Option(help="Whose people may sign in there.")],
    kind: Annotated[str, typer.Option(help="entra, google or openid.")],
    client_id: Annotated[str, typer.Option(help="The name by which the provider knows us.")],
    tenant: Annotated[str | None, typer.Option(help="Tenant id of Entra ID, or hosted domain of Google.")] = None,
    issuer: Annotated[str | None, typer.Option(help="The issuer's address, for kind openid.")] = None,
    name: Annotated[str | None, typer.Option(help="What its button says.")] = None,
    *,
    public: Annotated[bool, typer.Option("--public", help="The provider knows us without a secret.")] = False,
    credits_mfa: Annotated[bool, typer.Option("--credits-mfa", help="Its own MFA counts as ours.")] = False,
    as_json: Json = False,
) -> None:
    """Let a partner's people sign in at a provider. The client secret is asked for, or read from standard input."""
    secret = None if public else typer.prompt("Client secret", hide_input=True)
    fields = {"id": provider_id, "partner": partner, "kind": kind, "client_id": client_id, "client_secret": secret}
    more = {"tenant": tenant, "issuer": issuer, "name": name, "credits_mfa": credits_mfa}
    line = _checked(ProviderLine, fields | more)
    with plugged() as watchword:
        changed = identity_providers.add(line, OPERATOR, operator(watchword), watchword.sockets)
    answer({"changed": changed}, f"{provider_id} is set up" if changed else "nothing has changed", as_json=as_json)


def _checked(shape: type[Shape], fields: dict[str, object]) -> Shape:
    try:
        return shape.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "options"
        raise typer.BadParameter(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None


@sso.command("list")
def list_(
    partner: Annotated[str | None, typer.Option(help="Of this partner alone.")] = None, *, as_json: Json = False
) -> None:
    """List identity providers and proved mail domains."""
    with plugged() as watchword:
        found = watchword.sockets.identities.providers(partner)
        domains = {p: sorted(watchword.sockets.identities.domains(p)) for p in sorted({e.partner_id for e in found})}
    lines = [
        f"{each.provider_id:24} {each.partner_id:16} {each.kind.value:7} {each.issuer} {each.restricted_to}"
        f"{' (its MFA counts as ours)' if each.credits_mfa else ''}"
        for each in found
    ]
    lines += [f"{whose}: {', '.join(names) or 'no mail domain is proved'}" for whose, names in domains.items()]
    content = [
        {
            "provider_id": each.provider_id,
            "partner_id": each.partner_id,
            "kind": each.kind.value,
            "name": each.name,
            "issuer": each.issuer,
            "client_id": each.client_id,
            "restricted_to": each.restricted_to,
            "credits_mfa": each.credits_mfa,
        }
        for each in found
    ]
    answer({"providers": content, "domains": domains}, "\n".join(lines) or "there is no provider", as_json=as_json)


@sso.command()
def remove(provider_id: str, *, as_json: Json = False) -> None:
    """Let nobody sign in at a provider any more; its links and the sessions that it opened end."""
    with plugged() as watchword:
        position = identity_providers.remove(provider_id, operator(watchword), watchword.sockets)
    answer({"position": position}, f"{provider_id} is removed", as_json=as_json)


@sso.command()
def credit(
    provider_id: str,
    *,
    mfa: Annotated[bool, typer.Option("--mfa/--no-mfa", help="Whether the provider's MFA counts as ours.")],
    as_json: Json = False,
) -> None:
    """Count the provider's own MFA as ours, or no longer."""
    with plugged() as watchword:
        origin = operator(watchword)
        position = identity_providers.credit(provider_id, mfa=mfa, origin=origin, s=watchword.sockets)
    answer({"position": position}, f"its MFA {'counts as ours' if mfa else 'changes nothing here'}", as_json=as_json)


@sso.command()
def secret(provider_id: str, *, as_json: Json = False) -> None:
    """Give a provider another client secret, read from the terminal or from standard input."""
    new = typer.prompt("Client secret", hide_input=True)
    with plugged() as watchword:
        identity_providers.set_secret(provider_id, new, watchword.sockets)
    answer({"provider_id": provider_id}, f"{provider_id} has a new client secret", as_json=as_json)


@sso.command("test")
def try_out(provider_id: str, *, as_json: Json = False) -> None:
    """Fetch a provider's discovery document and keys, and say what there is to say about them."""
    with plugged() as watchword:
        said = watchword.sockets.providers.trial(known(provider_id, watchword.sockets))
    answer({"said": list(said)}, "\n".join(said), as_json=as_json)


@sso.command()
def domains(
    partner: str,
    domain: str,
    *,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="It is the partner's no longer.")] = False,
    as_json: Json = False,
) -> None:
    """State that a mail domain is a partner's: look first, such as at a DNS record that the partner was asked to make."""
    line = _checked(DomainLine, {"name": domain, "partner": partner})
    with plugged() as watchword:
        origin = operator(watchword)
        changed = identity_providers.set_domain(line, proved=not withdraw, origin=origin, s=watchword.sockets)
    words = f"{line.name} is {'no longer ' if withdraw else ''}of {partner}"
    answer({"changed": changed}, words if changed else "nothing has changed", as_json=as_json)


@sso.command()
def invite(account_id: str, provider_id: str, *, as_json: Json = False) -> None:
    """Print a link by which one person, once, within a day, links an identity of the provider to an account."""
    with plugged() as watchword:
        link = identity_providers.invite(account_id, provider_id, operator(watchword), watchword.sockets)
    answer({"link": link}, link, as_json=as_json)
