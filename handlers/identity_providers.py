"""Which identity providers a partner has, which mail domains are its own, and who is invited to link an identity."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints, ValidationInfo, field_validator, model_validator

from domain.directory import RANK, Account, Partner, evolve_account, evolve_partner
from domain.facts import IdentityInvited, IdentityProviderAdded, ProviderKind, Role
from domain.identity import Provider, ProviderState, evolve_provider
from domain.kernel import Fact, Refused
from domain.permissions import Action, AnotherTenant, check
from domain.provider_names import resembles
from handlers.callers import Caller, actor_at, decided_again, record_refusal
from handlers.directory import UnknownAccount
from handlers.ports import AccountEntry, Change, Link, Origin, Row, Sockets
from handlers.ports.log import State
from handlers.shapes import Command, Id, Name

INVITATION = timedelta(hours=24)
"""How long an invitation may be used. As long as the link to a set-up; source: product decision D11."""
OPERATOR = RANK[Role.OWNER]
ENTRA_ISSUER = "https://login.microsoftonline.com/{tenant}/v2.0"
GOOGLE_ISSUER = "https://accounts.google.com"


class NoSuchProvider(Refused):
    """There is no such identity provider, or it was removed."""


def _domain(text: str) -> str:
    lowered = text.lower()
    labels = lowered.split(".")
    if len(labels) < 2 or not all(0 < len(each) <= 63 and each.replace("-", "a").isalnum() for each in labels):  # noqa: PLR2004 RFC 1035
        raise ValueError("this is not a mail domain such as example.org")
    return lowered


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    loopback = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if (
        not (parts.scheme == "https" or loopback)
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ValueError("an issuer is an address that begins with https://")
    return text


Domain = Annotated[str, StringConstraints(max_length=253, pattern=r"^[A-Za-z0-9.-]+$"), AfterValidator(_domain)]
Issuer = Annotated[str, StringConstraints(max_length=500, pattern=r"^[\x21-\x7e]*$"), AfterValidator(_issuer)]
Plain = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[\x21-\x7e]+$")]


class ProviderLine(Command):
    """One identity provider of a partner, in an import file, at the console or on the page."""

    id: Id
    partner: Id
    kind: Literal["entra", "google", "openid"]
    issuer: Issuer | None = None
    name: Name | None = None
    client_id: Plain
    client_secret: Plain | None = None
    tenant: Id | None = None
    """The tenant of Entra ID, by its id, or the hosted domain of Google."""
    credits_mfa: bool = False

    @field_validator("name")
    @classmethod
    def _not_anothers(cls, name: str | None, info: ValidationInfo) -> str | None:
        known = {"entra": ENTRA_ISSUER, "google": GOOGLE_ISSUER}
        issuer = info.data.get("issuer") or known.get(info.data.get("kind", ""), "")
        if name and issuer and (other := resembles(name, issuer)):
            raise ValueError(
                f"this reads like {other.capitalize()}, and the issuer is another one: choose another name"
            )
        return name

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if (self.kind == "openid") != (self.tenant is None):
            raise ValueError("entra needs the id of its tenant, google its hosted domain, and openid has none")
        if self.kind == "openid" and (self.issuer is None or self.name is None):
            raise ValueError("openid needs an issuer, and a name for its button")
        return self

    def added(self, rank: int) -> IdentityProviderAdded:
        """Return the fact that this line calls for."""
        known = {
            "entra": ("Microsoft", ENTRA_ISSUER.format(tenant=self.tenant)),
            "google": ("Google", GOOGLE_ISSUER),
            "openid": ("", ""),
        }
        name, issuer = known[self.kind]
        return IdentityProviderAdded(
            partner_id=self.partner,
            kind=ProviderKind(self.kind),
            name=self.name or name,
            issuer=self.issuer or issuer,
            client_id=self.client_id,
            restricted_to=self.tenant or "",
            rank=rank,
        )


class DomainLine(Command):
    """One mail domain that is proved to be a partner's: the operator has looked."""

    name: Domain
    partner: Id

    @property
    def id(self) -> str:
        """Return what tells it from other lines."""
        return f"{self.name} of {self.partner}"


def allowed(partner_id: str, caller: Caller, s: Sockets) -> None:
    """Refuse whoever may not manage the partner's sign-on, and keep what was asked in vain."""
    try:
        check(actor_at(caller, partner_id, s), Action.MANAGE_SIGN_ON, partner_id=partner_id)
    except Refused as refused:
        record_refusal(caller, s, refused, action="manage_sign_on", partner_id=partner_id, account_id=None)
        raise


def rank_of(caller: Caller) -> int:
    """Return up to which rank accounts may be linked by their address at a provider that this person adds."""
    return RANK[caller.person().role]


def add(line: ProviderLine, rank: int, origin: Origin, s: Sockets, rows: Sequence[Row] = ()) -> bool:
    """Let a partner's people sign in at a provider; say whether anything changed."""
    return decided_again(lambda: _add(line, rank, origin, s, rows))


def _add(line: ProviderLine, rank: int, origin: Origin, s: Sockets, rows: Sequence[Row]) -> bool:
    if s.people.partner_type(line.partner) is None:
        raise AnotherTenant
    sealed: list[Row] = []
    if line.client_secret is not None:
        kept = s.vault.client_secret(tenant=line.partner, provider_id=line.id)
        if kept != line.client_secret:
            sealed.append(_sealed(line.id, line.partner, line.client_secret, s))
    stream = f"identity_provider:{line.id}"
    state, version = s.store.load(stream, evolve_provider, ProviderState())
    facts = state.add(line.added(rank))
    if facts or state.credits_mfa != line.credits_mfa:
        facts = [*facts, *state.credit(mfa=line.credits_mfa)]
        s.store.append(Change(stream, version, facts, line.partner), origin=origin, rows=[*rows, *sealed])
    elif sealed:
        s.identities.save(*sealed)
    return bool(facts or sealed)


def _sealed(provider_id: str, tenant: str, secret: str, s: Sockets) -> Row:
    return s.vault.seal_client_secret(tenant=tenant, provider_id=provider_id, secret=secret)


def set_secret(provider_id: str, secret: str, s: Sockets) -> None:
    """Give a provider another client secret."""
    provider = known(provider_id, s)
    s.identities.save(_sealed(provider_id, provider.partner_id, secret, s))


def known(provider_id: str, s: Sockets) -> Provider:
    """Return a provider that stands."""
    provider = s.identities.provider(provider_id)
    if provider is None:
        raise NoSuchProvider
    return provider


def remove(provider_id: str, origin: Origin, s: Sockets, rows: Sequence[Row] = ()) -> int:
    """Let nobody sign in at a provider any more; the sessions that it opened end."""
    return _change(known(provider_id, s), lambda state: state.remove(), origin, s, rows)


def credit(provider_id: str, *, mfa: bool, origin: Origin, s: Sockets, rows: Sequence[Row] = ()) -> int:
    """Count the provider's own MFA as ours, or no longer."""
    return _change(known(provider_id, s), lambda state: state.credit(mfa=mfa), origin, s, rows)


def _change(
    provider: Provider, wish: Callable[[ProviderState], list[Fact]], origin: Origin, s: Sockets, rows: Sequence[Row]
) -> int:
    stream = f"identity_provider:{provider.provider_id}"
    return _decided(stream, provider.partner_id, (evolve_provider, ProviderState()), wish, origin, s, rows=rows)


def _decided(
    stream: str,
    tenant: str,
    fold: tuple[Callable[[State, Fact], State], State],
    wish: Callable[[State], list[Fact]],
    origin: Origin,
    s: Sockets,
    *,
    rows: Sequence[Row],
) -> int:
    """Decide on a history, and store what came of it with the rows; return the position."""

    def decide() -> int:
        state, version = s.store.load(stream, *fold)
        facts = wish(state)
        if not facts:
            return s.store.last_position()
        return s.store.append(Change(stream, version, facts, tenant), origin=origin, rows=rows)

    return decided_again(decide)


def set_domain(line: DomainLine, *, proved: bool, origin: Origin, s: Sockets) -> bool:
    """Take a mail domain as a partner's, or no longer; say whether anything changed. Only operators say so."""
    if s.people.partner_type(line.partner) is None:
        raise AnotherTenant
    stream = f"partner:{line.partner}"

    def decide() -> bool:
        partner, version = s.store.load(stream, evolve_partner, Partner())
        facts = partner.prove(line.name) if proved else partner.withdraw(line.name)
        return bool(facts and s.store.append(Change(stream, version, facts, line.partner), origin=origin))

    return decided_again(decide)


def invite(account_id: str, provider_id: str, origin: Origin, s: Sockets) -> str:
    """Return an invitation to link an identity of the provider to an account: a link that works once, for a day."""
    provider, account = known(provider_id, s), s.people.account(account_id)
    if account is None or account.disabled or account.partner_id != provider.partner_id:
        raise UnknownAccount
    link_id = s.chance.new_id()
    invitation = IdentityInvited(provider_id=provider_id, invitation_id=link_id, expires_at=origin.at + INVITATION)
    append_to(account, lambda state: state.invite(invitation), origin, s)
    secret = s.keys.link_secret(account_id, link_id)
    s.links.keep([Link(link_id, account_id, s.keys.digest("link hash", secret), 0)])
    return f"{s.rules.public_url}/invited/{link_id}#{secret}"


def append_to(
    account: AccountEntry,
    wish: Callable[[Account], list[Fact]],
    origin: Origin,
    s: Sockets,
    rows: Sequence[Row] = (),
) -> int:
    """Decide on an account's history, and store what came of it, with rows or alone."""
    stream = f"account:{account.account_id}"
    return _decided(stream, account.partner_id, (evolve_account, Account()), wish, origin, s, rows=rows)


def unlink(account: AccountEntry, provider_id: str, origin: Origin, s: Sockets, rows: Sequence[Row] = ()) -> int:
    """Let the identity of a provider open an account no longer; the account's sessions end."""
    return append_to(account, lambda state: state.unlink(provider_id), origin, s, rows)
