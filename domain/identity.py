"""What an identity provider's word is worth: whose word it is, about whom, how fresh, and which accounts it opens."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from domain.directory import RANK
from domain.facts import (
    IdentityProviderAdded,
    IdentityProviderRemoved,
    MfaCredited,
    MfaUncredited,
    ProviderKind,
    Role,
)
from domain.kernel import Fact, Refused
from domain.provider_names import host_of, resembles

SKEW = timedelta(seconds=60)
"""How far a provider's clock may be off. Ours: machines of both sides keep their time by NTP."""
FRESH_FOR = timedelta(minutes=10)
"""How old an answer may be: as long as we wait for one. Ours."""
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
"""Source: OpenID Connect Back-Channel Logout 1.0, section 2.4."""

_METHOD = re.compile(r"[a-z0-9_]{1,20}", re.ASCII)
_METHODS = 10
_CLASS = re.compile(r"[A-Za-z0-9:/._-]{1,100}", re.ASCII)
_NAME = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
"""Source: OpenID Connect Core 1.0, section 2: a subject has at most 255 ASCII characters."""
_MAIL_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+)", re.ASCII
)


class AnswerRefused(Refused):
    """What came back is not the provider's fresh word about this very sign-in."""


class ProviderIsFixed(Refused):
    """Issuer, client and tenant of a provider stay as they are: remove it and add another one."""


class ProviderIsRemoved(Refused):
    """This provider was removed; add another one under a new id."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One identity provider of one partner."""

    provider_id: str
    partner_id: str
    kind: ProviderKind
    name: str
    issuer: str
    client_id: str
    restricted_to: str = ""
    rank: int = 0
    credits_mfa: bool = False

    def shown_name(self) -> str:
        """Return the name for a button: the issuer's host where the name is like that of another, well-known issuer."""
        return f"the provider at {host_of(self.issuer)}" if resembles(self.name, self.issuer) else self.name


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A provider's history: what it is, and whether it still stands."""

    added: IdentityProviderAdded | None = None
    credits_mfa: bool = False
    removed: bool = False

    def add(self, wanted: IdentityProviderAdded) -> list[Fact]:
        """Let people sign in there; said twice it changes nothing."""
        if self.removed:
            raise ProviderIsRemoved
        if self.added is None:
            return [wanted]
        if self.added.model_copy(update={"rank": wanted.rank}) != wanted:
            raise ProviderIsFixed
        return []

    def remove(self) -> list[Fact]:
        """Let nobody sign in there any more."""
        return [IdentityProviderRemoved()] if self.added and not self.removed else []

    def credit(self, *, mfa: bool) -> list[Fact]:
        """Count the provider's own MFA as ours, or no longer."""
        if self.removed:
            raise ProviderIsRemoved
        if self.credits_mfa == mfa:
            return []
        return [MfaCredited() if mfa else MfaUncredited()]


def evolve_provider(state: ProviderState, fact: Fact) -> ProviderState:
    """Apply one fact. No rule, no refusal."""
    match fact:
        case IdentityProviderAdded():
            return replace(state, added=fact)
        case IdentityProviderRemoved():
            return replace(state, removed=True)
        case MfaCredited() | MfaUncredited():
            return replace(state, credits_mfa=isinstance(fact, MfaCredited))
        case _:
            return state


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer has to fit."""

    at: datetime
    nonce: str
    since: datetime | None = None
    """The person has to have signed in at the provider after this, where we asked for that."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Who the person is, by the provider's word."""

    subject: str
    """The provider's lasting name for the person. It is never kept, only its digest."""
    sub: str
    """The name that the provider uses when it signs the person out."""
    sid: str = ""
    """The provider's name for its own session; empty where it said none."""
    amr: str = ""
    acr: str = ""
    mail_address: str = ""
    """An address that the provider has verified; empty where it has not, whatever it says beside that."""

    @property
    def says_mfa(self) -> bool:
        """Say whether the provider claims to have asked for more than one factor (RFC 8176)."""
        return "mfa" in self.amr.split()


def proof_of(provider: Provider, claims: Mapping[str, object], expected: Expected) -> Proof:
    """Return who the person is, from claims whose signature was right. Anything that does not fit is refused."""
    _from_provider_to_us(provider, claims, expected.at)
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), expected.nonce.encode()):
        raise AnswerRefused(cause="nonce")
    if expected.since is not None and _moment(claims, "auth_time") < expected.since - SKEW:
        raise AnswerRefused(cause="auth_time")
    methods = claims.get("amr")
    words = [str(each) for each in methods[:_METHODS]] if isinstance(methods, list) else []
    level = str(claims.get("acr", ""))
    return Proof(
        subject=_subject(provider, claims),
        sub=_named(claims, "sub"),
        sid=str(claims.get("sid", ""))[:255],
        amr=" ".join(word for word in words if _METHOD.fullmatch(word)),
        acr=level if _CLASS.fullmatch(level) else "",
        mail_address=_verified_address(provider, claims),
    )


def _from_provider_to_us(provider: Provider, claims: Mapping[str, object], at: datetime) -> None:
    if claims.get("iss") != provider.issuer:
        raise AnswerRefused(cause="issuer")
    given = claims.get("aud")
    audience = given if isinstance(given, list) else [given]
    if provider.client_id not in audience or (len(audience) > 1 and "azp" not in claims):
        raise AnswerRefused(cause="audience")
    if claims.get("azp", provider.client_id) != provider.client_id:
        raise AnswerRefused(cause="audience")
    if _moment(claims, "exp") <= at - SKEW:
        raise AnswerRefused(cause="expired")
    if not at - FRESH_FOR - SKEW <= _moment(claims, "iat") <= at + SKEW:
        raise AnswerRefused(cause="issued_at")
    if "nbf" in claims and _moment(claims, "nbf") > at + SKEW:
        raise AnswerRefused(cause="not_before")


def _moment(claims: Mapping[str, object], name: str) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**34:
        raise AnswerRefused(cause=name)
    return datetime.fromtimestamp(value, tz=UTC)


def _named(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise AnswerRefused(cause=name)
    return value


def _subject(provider: Provider, claims: Mapping[str, object]) -> str:
    """Return the name that lasts: never the mail address, which a provider may give to somebody else."""
    match provider.kind:
        case ProviderKind.ENTRA:
            if _named(claims, "tid") != provider.restricted_to:
                raise AnswerRefused(cause="tenant")
            return f"{provider.restricted_to}|{_named(claims, 'oid')}"
        case ProviderKind.GOOGLE:
            if claims.get("hd") != provider.restricted_to:
                raise AnswerRefused(cause="hosted_domain")
            return _named(claims, "sub")
        case ProviderKind.OPENID:
            return _named(claims, "sub")


def _verified_address(provider: Provider, claims: Mapping[str, object]) -> str:
    """Return the address that the provider vouches for. Entra ID says so by `xms_edov`, all others by `email_verified`."""
    entra = provider.kind is ProviderKind.ENTRA and claims.get("xms_edov") in (True, 1, "1", "true")
    address = claims.get("email")
    if not (entra or claims.get("email_verified") is True) or not isinstance(address, str):
        return ""
    return address if _MAIL_ADDRESS.fullmatch(address) else ""


def domain_of(mail_address: str) -> str:
    """Return the domain of an address as proved domains are compared; empty for what is no address."""
    found = _MAIL_ADDRESS.fullmatch(mail_address)
    return found[1].lower() if found else ""


def may_link(provider: Provider, proof: Proof, *, partner_id: str, role: Role, domains: frozenset[str]) -> bool:
    """Say whether the provider's verified address is enough to link an account that has it.

    The domain has to be proved by the partner, the account has to be the partner's, and nobody rises by it.
    """
    domain = domain_of(proof.mail_address)
    proved = bool(domain) and domain in domains
    return proved and partner_id == provider.partner_id and RANK[role] <= provider.rank


@dataclass(frozen=True, slots=True)
class SignedOutThere:
    """The provider says that a session of its own, or all of a person's, ended."""

    sub: str
    sid: str
    jti: str


def signed_out(provider: Provider, claims: Mapping[str, object], at: datetime) -> SignedOutThere:
    """Return who was signed out, from claims of a logout token whose signature was right.

    Source: OpenID Connect Back-Channel Logout 1.0, section 2.6.
    """
    _from_provider_to_us(provider, claims, at)
    events = claims.get("events")
    if not isinstance(events, Mapping) or not isinstance(events.get(LOGOUT), Mapping):
        raise AnswerRefused(cause="events")
    if "nonce" in claims:
        raise AnswerRefused(cause="nonce")
    sub = _named(claims, "sub") if "sub" in claims else ""
    sid = _named(claims, "sid") if "sid" in claims else ""
    if not sub and not sid:
        raise AnswerRefused(cause="sub")
    return SignedOutThere(sub, sid, _named(claims, "jti"))
