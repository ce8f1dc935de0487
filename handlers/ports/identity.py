"""Identity providers: who may vouch for whom, what is away at one, and the way to one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.identity import Provider
from handlers.ports.log import Row, Unavailable
from handlers.ports.people import AccountEntry


class ProviderDown(Unavailable):
    """The identity provider does not answer, or not as one should. Nobody was let in."""


@dataclass(frozen=True, slots=True)
class ClientSecretKept(Row):
    """A provider's client secret, sealed."""

    provider_id: str
    sealed: bytes
    wrapped_key: bytes
    kek_version: int


@dataclass(frozen=True, slots=True)
class AuthorizationAsked(Row):
    """A sign-in went away to a provider, from the browser with this handle."""

    state_hash: str
    handle: str
    provider_id: str
    purpose: str
    link_id: str
    """The invitation that is to be used; empty without one."""
    back: str
    """Where it goes on: a name of ours, never an address."""
    asked_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ProviderSession(Row):
    """What a provider said at a sign-in; written over when it says more."""

    handle: str
    provider_id: str
    subject_digest: str
    sub_digest: str
    sid_digest: str
    amr: str
    acr: str
    credited: bool
    """Whether the provider's MFA counts as ours in this sign-in."""
    opened_at: datetime
    expires_at: datetime
    confirmed_until: datetime | None = None
    """Until then the provider's fresh word stands where others give their password."""


@dataclass(frozen=True, slots=True)
class Unconfirmed(Row):
    """The provider's fresh word was used up."""

    handle: str


class Identities(Protocol):
    """Providers, domains and links, never older than the newest fact; and the sign-ins that are away."""

    def provider(self, provider_id: str) -> Provider | None:
        """Return one provider that stands."""

    def providers(self, partner_id: str | None = None) -> Sequence[Provider]:
        """Return the providers of a partner, or of all, in the order of their names."""

    def providers_for(self, domain: str) -> Sequence[Provider]:
        """Return the providers of every partner whose this mail domain is."""

    def domains(self, partner_id: str) -> frozenset[str]:
        """Return the mail domains that are proved to be the partner's."""

    def linked(self, provider_id: str, subject_digest: str) -> Sequence[AccountEntry]:
        """Return the open accounts that the identity opens, in the order of their names."""

    def unlinked_with(self, mail_key: str, provider: Provider) -> Sequence[AccountEntry]:
        """Return the open accounts of the provider's partner with this address and no identity of the provider."""

    def links(self, account_id: str) -> Mapping[str, str]:
        """Return, by provider, the digest of the identity that is linked to an account."""

    def take(self, state_hash: str, now: datetime) -> AuthorizationAsked | None:
        """Return what was asked under this state, once; None when it is over or was taken."""

    def session(self, handle: str, now: datetime) -> ProviderSession | None:
        """Return what a provider said at a sign-in."""

    def end_sessions(self, provider_id: str, *, sub_digest: str, sid_digest: str) -> int:
        """End the sign-ins that a provider's session, or a person's, has opened; return how many."""

    def remember_logout(self, jti_digest: str, until: datetime) -> bool:
        """Say whether this logout token is new."""

    def save(self, *rows: Row) -> None:
        """Write without a fact."""

    def forget_old(self, now: datetime) -> int:
        """Delete what has run out, and return how many rows."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What is sent along to the provider."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    again: bool = False
    """The person has to prove there anew who they are."""


class Providers(Protocol):
    """The way to identity providers. Every method raises ProviderDown when there is no fit answer in time."""

    def authorization_url(self, provider: Provider, asking: Asking) -> str:
        """Return where the browser goes."""

    def claims(
        self, provider: Provider, secret: str | None, code: str, iss: str | None, asking: Asking
    ) -> Mapping[str, object]:
        """Trade a code in, and return the claims of the ID token, whose signature was right; else AnswerRefused.

        ``iss`` is what came back with the code (RFC 9207), None where nothing did.
        """

    def logout_claims(self, provider: Provider, token: str) -> Mapping[str, object]:
        """Return the claims of a logout token, whose signature was right; else AnswerRefused."""

    def close(self) -> None:
        """Let the connections go."""

    def trial(self, provider: Provider) -> Sequence[str]:
        """Return what there is to say about a provider's discovery document and keys."""
