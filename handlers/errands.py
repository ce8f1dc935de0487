"""What somebody goes to an identity provider for: the buttons, the address there, and what has to come back with them."""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

from domain.directory import Account, evolve_account
from domain.facts import ProviderKind
from domain.identity import Provider, domain_of
from handlers.callers import Caller, reserved
from handlers.identity_providers import NoSuchProvider, known
from handlers.limits import PROVIDER_TRIPS
from handlers.ports import Asking, AuthorizationAsked, Sockets
from handlers.sessions import State
from handlers.sign_in import open_link

AWAY_FOR = timedelta(minutes=10)
"""How long a sign-in may be away at a provider. Ours: time to find a phone there."""
BACK = "/sign-in/back"
"""Where every provider sends people back to, below PUBLIC_URL."""


class Errand(StrEnum):
    """What somebody goes to a provider for."""

    SIGN_IN = "sign_in"
    CONFIRM = "confirm"
    LINK = "link"
    INVITATION = "invitation"


def choices(email: str, kind: str, s: Sockets) -> Sequence[Provider]:
    """Return the providers that a person may mean: of the address's domain where one was given, of a kind, or of all."""
    domain = domain_of(email)
    found = s.identities.providers_for(domain) if email else s.identities.providers()
    return [each for each in found if kind in {"", each.kind.value}]


def buttons(s: Sockets) -> dict[str, str]:
    """Return the kinds of providers that there are, each with the name on its button.

    Where several others stand behind one button it names none of them: whose they are is nobody's business here.
    """
    providers = s.identities.providers()
    others = [each for each in providers if each.kind is ProviderKind.OPENID]
    kinds = {each.kind for each in providers}
    names = {ProviderKind.ENTRA: "Microsoft", ProviderKind.GOOGLE: "Google"}
    found = {kind.value: name for kind, name in names.items() if kind in kinds}
    if others:
        found[ProviderKind.OPENID.value] = others[0].name if len(others) == 1 else "your organization"
    return found


def begin(provider_id: str, errand: Errand, caller: Caller, s: Sockets, *, link_id: str = "", back: str = "") -> str:
    """Return the address at the provider to which the browser goes. What comes back counts in this browser alone, once."""
    provider, session = known(provider_id, s), caller.browser()
    if errand in {Errand.LINK, Errand.CONFIRM}:
        if session.state != State.SIGNED_IN or caller.person().partner_id != provider.partner_id:
            raise NoSuchProvider
        if errand is Errand.LINK:
            caller.require_step_up()
    else:
        reserved((PROVIDER_TRIPS, caller.network), caller=caller, s=s)
    state = s.chance.token()
    address = s.providers.authorization_url(provider, asking_for(state, errand, s))
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


def asking_for(state: str, errand: Errand, s: Sockets) -> Asking:
    """Return what goes along. Nonce and verifier are derived from the state, so that nothing secret is kept meanwhile."""
    return Asking(
        state=state,
        nonce=s.keys.digest("sso nonce", state),
        verifier=s.keys.digest("sso verifier", state),
        redirect_uri=f"{s.rules.public_url}{BACK}",
        again=errand is Errand.CONFIRM,
    )


def begin_invited(link_id: str, secret: str, caller: Caller, s: Sockets) -> tuple[Provider, str]:
    """Return the provider, and the address there, for somebody who holds an invitation."""
    link = open_link(link_id, secret, caller, s)
    account, _ = s.store.load(f"account:{link.account_id}", evolve_account, Account())
    invitation = account.invited(link_id, caller.at)
    address = begin(invitation.provider_id, Errand.INVITATION, caller, s, link_id=link_id)
    return known(invitation.provider_id, s), address
