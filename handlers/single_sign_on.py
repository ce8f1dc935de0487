"""Signing in at an identity provider, and again where others give their password. Our own MFA is asked all the same."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from domain.directory import Account, InvitationOver, evolve_account
from domain.facts import LinkedBy, ProvedFor, ProviderKind
from domain.identity import AnswerRefused, Expected, Proof, Provider, domain_of, may_link, proof_of, signed_out
from domain.kernel import Refused
from handlers.callers import Caller, TooManyTries
from handlers.identity_providers import NoSuchProvider, append_to, known
from handlers.limits import PROVIDER_ANSWERS
from handlers.ports import (
    AccountEntry,
    Asking,
    AuthorizationAsked,
    LinkUsed,
    ProviderSession,
    SessionEnded,
    Sockets,
    StillAllowed,
)
from handlers.sessions import SIGNED_IN_FOR, STEPPED_UP_FOR, Progress, State
from handlers.shapes import mail_key
from handlers.sign_in import enter_one_of, open_link, proved

AWAY_FOR = timedelta(minutes=10)
"""How long a sign-in may be away at a provider. Ours: time to find a phone there."""
LOGOUTS_KEPT_FOR = timedelta(minutes=15)
"""How long a logout token is remembered: longer than one counts as fresh."""
BACK = "/sign-in/back"
"""Where every provider sends people back to, below PUBLIC_URL."""


class Errand(StrEnum):
    """What somebody goes to a provider for."""

    SIGN_IN = "sign_in"
    CONFIRM = "confirm"
    LINK = "link"
    INVITATION = "invitation"


class NotAskedHere(Refused):
    """This browser did not ask for that answer, or too long ago, or has had it already."""


class NotFinishedThere(Refused):
    """The provider says that the sign-in was not finished."""


class NobodyLinked(Refused):
    """The identity is right, and opens no account here."""


class AnotherPerson(Refused):
    """The identity that came back is not the one that is linked to this account."""


def choices(email: str, kind: str, s: Sockets) -> Sequence[Provider]:
    """Return the providers that a person may mean: of the address's domain where one was given, of a kind, or of all."""
    domain = domain_of(email)
    found = s.identities.providers_for(domain) if email else s.identities.providers()
    return [each for each in found if kind in {"", each.kind.value}]


def buttons(s: Sockets) -> dict[str, str]:
    """Return the kinds of providers that there are, each with the name on its button.

    Where several others stand behind one button it names none of them: whose they are is nobody's business here.
    """
    others = [each for each in s.identities.providers() if each.kind is ProviderKind.OPENID]
    kinds = {each.kind for each in s.identities.providers()}
    names = {ProviderKind.ENTRA: "Microsoft", ProviderKind.GOOGLE: "Google"}
    found = {kind.value: name for kind, name in names.items() if kind in kinds}
    if others:
        found[ProviderKind.OPENID.value] = others[0].name if len(others) == 1 else "your organization"
    return found


def begin(provider_id: str, errand: Errand, caller: Caller, s: Sockets, *, link_id: str = "", back: str = "") -> str:
    """Return the address at the provider to which the browser goes. What comes back counts in this browser alone, once."""
    provider, (_, session) = known(provider_id, s), caller.sign_in()
    if errand in {Errand.LINK, Errand.CONFIRM}:
        if session.state != State.SIGNED_IN or caller.person().partner_id != provider.partner_id:
            raise NoSuchProvider
        if errand is Errand.LINK:
            caller.require_step_up()
    state = s.chance.token()
    address = s.providers.authorization_url(provider, _asking(state, errand, s))
    asked = AuthorizationAsked(
        state_hash=s.keys.digest("sso state", state),
        handle=session.handle,
        provider_id=provider_id,
        purpose=errand.value,
        link_id=link_id,
        back=back,
        asked_at=caller.at,
        expires_at=caller.at + AWAY_FOR,
    )
    s.identities.save(asked)
    return address


def _asking(state: str, errand: Errand, s: Sockets) -> Asking:
    """Return what goes along. Nonce and verifier are derived from the state, so that nothing secret is kept meanwhile."""
    return Asking(
        state=state,
        nonce=s.keys.digest("sso nonce", state),
        verifier=s.keys.digest("sso verifier", state),
        redirect_uri=f"{s.rules.public_url}{BACK}",
        again=errand is Errand.CONFIRM,
    )


def begin_invited(link_id: str, secret: str, caller: Caller, s: Sockets) -> str:
    """Return the address at the provider for somebody who holds an invitation."""
    link = open_link(link_id, secret, caller, s)
    account, _ = s.store.load(f"account:{link.account_id}", evolve_account, Account())
    invitation = account.invited(link_id, caller.at)
    return begin(invitation.provider_id, Errand.INVITATION, caller, s, link_id=link_id)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back with the browser."""

    state: str
    code: str
    iss: str | None
    error: str


@dataclass(frozen=True, slots=True)
class Returned:
    """Where it goes on."""

    errand: Errand
    progress: Progress
    back: str


def finish(answer: Answer, caller: Caller, s: Sockets) -> Returned:
    """Judge what came back, and go on as whom it shows. Each try is counted before anything is compared."""
    tries = (PROVIDER_ANSWERS, caller.network)
    if not s.throttle.reserve(tries, now=caller.at).admitted:
        raise TooManyTries
    asked = s.identities.take(s.keys.digest("sso state", answer.state), caller.at) if answer.state else None
    if asked is None or caller.session is None or caller.session.handle != asked.handle:
        raise NotAskedHere
    provider, errand = known(asked.provider_id, s), Errand(asked.purpose)
    if answer.error or not answer.code:
        raise NotFinishedThere
    proof = _proof(provider, answer, asked, caller, s)
    said = _said(provider, proof, caller, s)
    s.throttle.refund(tries)
    return Returned(errand, _go_on(errand, asked, provider, proof, said, caller, s), asked.back)


def _go_on(
    errand: Errand,
    asked: AuthorizationAsked,
    provider: Provider,
    proof: Proof,
    said: ProviderSession,
    caller: Caller,
    s: Sockets,
) -> Progress:
    match errand:
        case Errand.SIGN_IN:
            return _sign_in(provider, proof, said, caller, s)
        case Errand.INVITATION:
            return _invited(asked, provider, said, caller, s)
        case Errand.LINK:
            return _link(provider, said, caller, s)
        case Errand.CONFIRM:
            return _confirm(said, caller, s)


def _proof(provider: Provider, answer: Answer, asked: AuthorizationAsked, caller: Caller, s: Sockets) -> Proof:
    asking = _asking(answer.state, Errand(asked.purpose), s)
    secret = s.vault.client_secret(tenant=provider.partner_id, provider_id=provider.provider_id)
    try:
        claims = s.providers.claims(provider, secret, answer.code, answer.iss, asking)
        since = asked.asked_at if asking.again else None
        return proof_of(provider, claims, Expected(s.clock.now(), asking.nonce, since))
    except AnswerRefused as refused:
        digest = s.keys.digest("identity provider", provider.provider_id)
        outcome = f"provider_{refused.because['cause']}"
        s.sign_in_log.note(caller.at, digest, caller.ip_prefix, known_device=False, outcome=outcome)
        raise


def _digest(kind: str, text: str, provider: Provider, s: Sockets) -> str:
    return s.keys.digest(f"sso {kind}", f"{provider.provider_id}|{provider.issuer}|{text}") if text else ""


def _said(provider: Provider, proof: Proof, caller: Caller, s: Sockets) -> ProviderSession:
    """Return what is kept of a proof: digests, and the provider's words about how it knew the person."""
    return ProviderSession(
        handle=caller.sign_in()[1].handle,
        provider_id=provider.provider_id,
        subject_digest=_digest("subject", proof.subject, provider, s),
        sub_digest=_digest("sub", proof.sub, provider, s),
        sid_digest=_digest("sid", proof.sid, provider, s),
        amr=proof.amr,
        acr=proof.acr,
        credited=provider.credits_mfa and proof.says_mfa,
        opened_at=caller.at,
        expires_at=caller.at + SIGNED_IN_FOR + AWAY_FOR,
    )


def _sign_in(provider: Provider, proof: Proof, said: ProviderSession, caller: Caller, s: Sockets) -> Progress:
    _link_by_address(provider, proof, said, caller, s)
    accounts = s.identities.linked(provider.provider_id, said.subject_digest)
    if not accounts:
        raise NobodyLinked
    return enter_one_of(accounts, replace(caller, session=None), s, said)


def _link_by_address(provider: Provider, proof: Proof, said: ProviderSession, caller: Caller, s: Sockets) -> None:
    """Link the accounts of the partner whose address the provider has verified, in a domain that is the partner's own."""
    domains = s.identities.domains(provider.partner_id) if proof.mail_address else frozenset()
    if domain_of(proof.mail_address) not in domains:
        return
    for account in s.identities.unlinked_with(mail_key(proof.mail_address), provider):
        if may_link(provider, proof, partner_id=account.partner_id, role=account.role, domains=domains):
            _linked(account, said, LinkedBy.VERIFIED_ADDRESS, caller, s)


def _linked(
    account: AccountEntry, said: ProviderSession, by: LinkedBy, caller: Caller, s: Sockets, link: str = ""
) -> int:
    origin = replace(caller.on(account).origin(), command_id=s.chance.new_id())
    rows = [StillAllowed(account.account_id, account.generations), *([LinkUsed(link)] if link else [])]
    wish = (said.provider_id, said.subject_digest, by)
    return append_to(account, lambda state: state.link(*wish), origin, s, rows)


def _invited(
    asked: AuthorizationAsked, provider: Provider, said: ProviderSession, caller: Caller, s: Sockets
) -> Progress:
    link = s.links.find(asked.link_id)
    account = s.people.account(link.account_id) if link else None
    if account is None or account.disabled or account.partner_id != provider.partner_id:
        raise InvitationOver
    state, _ = s.store.load(f"account:{account.account_id}", evolve_account, Account())
    state.invited(asked.link_id, caller.at)
    _linked(account, said, LinkedBy.INVITATION, caller, s, asked.link_id)
    return enter_one_of([account], replace(caller, session=None, account=None), s, said)


def _link(provider: Provider, said: ProviderSession, caller: Caller, s: Sockets) -> Progress:
    """Link the identity to the account that is signed in, and has just confirmed a wish of this kind."""
    account, (_, session) = caller.person(), caller.sign_in()
    if session.state != State.SIGNED_IN or account.partner_id != provider.partner_id:
        raise SessionEnded
    caller.require_step_up()
    position = _linked(account, said, LinkedBy.SESSION, caller, s)
    return Progress(session, account, position=position)


def _confirm(said: ProviderSession, caller: Caller, s: Sockets) -> Progress:
    """Let the provider's fresh word stand where others give their password, for a few minutes, in this sign-in alone."""
    account, (_, session) = caller.person(), caller.sign_in()
    if s.identities.links(account.account_id).get(said.provider_id) != said.subject_digest:
        raise AnotherPerson
    fresh = replace(said, confirmed_until=caller.at + STEPPED_UP_FOR)
    rows = [*caller.guards(), fresh]
    position = append_to(account, lambda _: [proved(fresh, ProvedFor.CONFIRMATION)], caller.origin(), s, rows)
    return Progress(session, account, position=position)


def sign_out_by_provider(provider_id: str, token: str, caller: Caller, s: Sockets) -> int:
    """End the sign-ins of a session, or a person, that the provider signed out; return how many."""
    tries = (PROVIDER_ANSWERS, caller.network)
    if not s.throttle.reserve(tries, now=caller.at).admitted:
        raise TooManyTries
    provider = known(provider_id, s)
    over = signed_out(provider, s.providers.logout_claims(provider, token), caller.at)
    jti = s.keys.digest("sso jti", f"{provider_id}|{over.jti}")
    if not s.identities.remember_logout(jti, caller.at + LOGOUTS_KEPT_FOR):
        raise AnswerRefused(cause="jti")
    s.throttle.refund(tries)
    return s.identities.end_sessions(
        provider_id, sub_digest=_digest("sub", over.sub, provider, s), sid_digest=_digest("sid", over.sid, provider, s)
    )
