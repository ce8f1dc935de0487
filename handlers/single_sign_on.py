"""Signing in at an identity provider, and again where others give their password. Our own MFA is asked all the same."""

from dataclasses import dataclass, replace
from datetime import timedelta

from domain.directory import Account, InvitationOver, evolve_account
from domain.facts import LinkedBy, ProvedFor
from domain.identity import AnswerRefused, Expected, Proof, Provider, domain_of, may_link, proof_of, signed_out
from domain.kernel import Refused
from handlers.callers import Caller, reserved
from handlers.errands import AWAY_FOR, Errand, asking_for
from handlers.identity_providers import append_to, known, unlink
from handlers.limits import PROVIDER_ANSWERS, PROVIDER_TRIPS
from handlers.ports import (
    AccountEntry,
    AuthorizationAsked,
    LinkUsed,
    ProviderSession,
    SessionEnded,
    Sockets,
    StillAllowed,
)
from handlers.sessions import SIGNED_IN_FOR, STEPPED_UP_FOR, Progress, State
from handlers.shapes import mail_key
from handlers.sign_in import enter_one_of, proved

LOGOUTS_KEPT_FOR = timedelta(minutes=15)
"""How long a logout token is remembered: longer than one counts as fresh."""


class NotAskedHere(Refused):
    """This browser did not ask for that answer, or too long ago, or has had it already."""


class NotFinishedThere(Refused):
    """The provider says that the sign-in was not finished."""


class NobodyLinked(Refused):
    """The identity is right, and opens no account here."""


class LastWayIn(Refused):
    """Without a password this identity is the only way into the account."""


class AnotherPerson(Refused):
    """The identity that came back is not the one that is linked to this account."""


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


@dataclass(frozen=True, slots=True)
class _Came:
    """What came back, once it was judged."""

    provider: Provider
    asked: AuthorizationAsked
    proof: Proof
    said: ProviderSession


def finish(answer: Answer, caller: Caller, s: Sockets) -> Returned:
    """Judge what came back, and go on as whom it shows. Each try is counted before anything is compared."""
    tries = (PROVIDER_ANSWERS, caller.network)
    reserved(tries, caller=caller, s=s)
    asked = s.identities.take(s.keys.digest("sso state", answer.state), caller.at) if answer.state else None
    if asked is None or caller.session is None or caller.session.handle != asked.handle:
        raise NotAskedHere
    provider, errand = known(asked.provider_id, s), Errand(asked.purpose)
    if answer.error or not answer.code:
        raise NotFinishedThere
    proof = _proof(provider, answer, asked, caller, s)
    said = _said(provider, proof, caller, s)
    was_counted = errand in {Errand.SIGN_IN, Errand.INVITATION}
    s.throttle.refund(tries, *([(PROVIDER_TRIPS, caller.network)] if was_counted else []))
    came = _Came(provider, asked, proof, said)
    match errand:
        case Errand.SIGN_IN:
            progress = _sign_in(came, caller, s)
        case Errand.INVITATION:
            progress = _invited(came, caller, s)
        case Errand.LINK:
            progress = _link(came, caller, s)
        case _:
            progress = _confirm(came, caller, s)
    return Returned(errand, progress, asked.back)


def _proof(provider: Provider, answer: Answer, asked: AuthorizationAsked, caller: Caller, s: Sockets) -> Proof:
    asking = asking_for(answer.state, Errand(asked.purpose), s)
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
        handle=caller.browser().handle,
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


def _sign_in(came: _Came, caller: Caller, s: Sockets) -> Progress:
    _link_by_address(came.provider, came.proof, came.said, caller, s)
    accounts = s.identities.linked(came.said.provider_id, came.said.subject_digest)
    if not accounts:
        raise NobodyLinked
    return enter_one_of(accounts, replace(caller, session=None), s, came.said)


def _link_by_address(provider: Provider, proof: Proof, said: ProviderSession, caller: Caller, s: Sockets) -> None:
    """Link the accounts of the partner whose address the provider has verified, in a domain that is the partner's own."""
    domains = s.identities.domains(provider.partner_id) if proof.mail_address else frozenset()
    if domain_of(proof.mail_address) not in domains:
        return
    linked = s.identities.linked(said.provider_id, said.subject_digest)
    if linked and mail_key(proof.mail_address) not in {mail_key(each.mail_address) for each in linked}:
        return  # whoever takes another's address at the provider later does not get that person's account with it
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


def _invited(came: _Came, caller: Caller, s: Sockets) -> Progress:
    link = s.links.find(came.asked.link_id)
    account = s.people.account(link.account_id) if link else None
    if account is None or account.disabled or account.partner_id != came.provider.partner_id:
        raise InvitationOver
    state, _ = s.store.load(f"account:{account.account_id}", evolve_account, Account())
    state.invited(came.asked.link_id, caller.at)
    _linked(account, came.said, LinkedBy.INVITATION, caller, s, came.asked.link_id)
    return enter_one_of([account], replace(caller, session=None, account=None), s, came.said)


def _link(came: _Came, caller: Caller, s: Sockets) -> Progress:
    """Link the identity to the account that is signed in, and has just confirmed a wish of this kind."""
    account, (_, session) = caller.person(), caller.sign_in()
    if session.state != State.SIGNED_IN or account.partner_id != came.provider.partner_id:
        raise SessionEnded
    caller.require_step_up()
    position = _linked(account, came.said, LinkedBy.SESSION, caller, s)
    return Progress(session, account, position=position)


def _confirm(came: _Came, caller: Caller, s: Sockets) -> Progress:
    """Let the provider's fresh word stand where others give their password, for a few minutes, in this sign-in alone."""
    account, (_, session) = caller.person(), caller.sign_in()
    if s.identities.links(account.account_id).get(came.said.provider_id) != came.said.subject_digest:
        raise AnotherPerson
    fresh = replace(came.said, confirmed_until=caller.at + STEPPED_UP_FOR)
    rows = [*caller.guards(), fresh]
    position = append_to(account, lambda _: [proved(fresh, ProvedFor.CONFIRMATION)], caller.origin(), s, rows)
    return Progress(session, account, position=position)


def unlink_own(provider_id: str, caller: Caller, s: Sockets) -> int:
    """Let an identity open the own account no longer; its sessions end."""
    account = caller.person()
    caller.require_step_up()
    if account.credential_id is None and set(s.identities.links(account.account_id)) <= {provider_id}:
        raise LastWayIn
    return unlink(account, provider_id, caller.origin(), s, caller.guards())


def sign_out_by_provider(provider_id: str, token: str, caller: Caller, s: Sockets) -> int:
    """End the sign-ins of a session, or a person, that the provider signed out; return how many."""
    tries = (PROVIDER_ANSWERS, caller.network)
    reserved(tries, caller=caller, s=s)
    provider = known(provider_id, s)
    over = signed_out(provider, s.providers.logout_claims(provider, token), caller.at)
    jti = s.keys.digest("sso jti", f"{provider_id}|{over.jti}")
    if not s.identities.remember_logout(jti, caller.at + LOGOUTS_KEPT_FOR):
        raise AnswerRefused(cause="jti")
    s.throttle.refund(tries)
    return s.identities.end_sessions(
        provider_id, sub_digest=_digest("sub", over.sub, provider, s), sid_digest=_digest("sid", over.sid, provider, s)
    )
