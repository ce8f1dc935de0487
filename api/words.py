"""Each fact as a sentence for people: what happened, and how it touched the account of which it speaks."""

from domain import facts as f
from domain.kernel import Fact, Unknown

_PURPOSES = {
    f.Purpose.SETUP: "Authenticator app set up: MFA is active",
    f.Purpose.SIGN_IN: "Signed in with a code",
    f.Purpose.STEP_UP: "Confirmed a change with a code",
}
_POPULATIONS = {f.Population.PARTNER_USERS: "all partner users", f.Population.ORGANIZATIONS: "all organizations"}
_MAILS = {
    f.MailKind.RESET_REQUESTED: "with the link of the reset",
    f.MailKind.RESET_BY_ADMINISTRATOR: "with the link to the set-up",
    f.MailKind.MFA_ACTIVATED: "that MFA is active",
    f.MailKind.MFA_SWITCHED_OFF: "that MFA was switched off",
    f.MailKind.MFA_RESET: "that MFA was reset",
    f.MailKind.LOCKED: "about the lock",
    f.MailKind.ENFORCED: "that MFA is mandatory",
}


def sentence(fact: Fact) -> str:
    """Return what happened, in words."""
    for part in (_directory, _identity, _policy, _authenticator, _mail):
        if words := part(fact):
            return words
    if isinstance(fact, Unknown):
        return "Something that only a newer version of Watchword can read"
    return fact.TOPIC.replace("_", " ").replace(".", ": ").capitalize()


def _directory(fact: Fact) -> str:
    match fact:
        case f.PartnerRegistered():
            return f"Partner registered as a {fact.type.value.replace('_', '-')}"
        case f.PartnerRenamed():
            return "Partner renamed"
        case f.OrganizationRegistered():
            return "Organization registered"
        case f.OrganizationRenamed():
            return "Organization renamed"
        case f.AccountRegistered():
            return f"Account registered with the role {_role(fact.role)}"
        case f.AccountMoved():
            return f"Account moved, with the role {_role(fact.role)}"
        case f.RoleChanged():
            return f"Role changed to {_role(fact.role)}"
        case f.AccountRenamed():
            return "Name changed"
        case f.MailAddressChanged():
            return "Mail address changed"
        case f.PasswordChanged():
            return "Password changed"
        case f.AccountDisabled():
            return "Account disabled"
        case f.AccountRestored():
            return "Account restored"
        case f.AccountErased():
            return "Name, address and keys erased"
        case _:
            return ""


def _identity(fact: Fact) -> str:
    match fact:
        case f.DomainProved():
            return f"The mail domain {fact.domain} is the partner's"
        case f.DomainWithdrawn():
            return f"The mail domain {fact.domain} is no longer the partner's"
        case f.IdentityProviderAdded():
            return f"Identity provider added: {fact.name} ({fact.issuer})"
        case f.IdentityProviderRemoved():
            return "Identity provider removed"
        case f.MfaCredited():
            return "The MFA of an identity provider counts as ours"
        case f.MfaUncredited():
            return "The MFA of an identity provider counts no longer as ours"
        case f.IdentityInvited():
            return "Invited to link an identity"
        case f.IdentityLinked():
            return f"Identity linked ({fact.by.value.replace('_', ' ')})"
        case f.IdentityUnlinked():
            return "Identity unlinked"
        case f.IdentityProved():
            how = f" ({fact.amr})" if fact.amr else ""
            signed_in = fact.purpose is f.ProvedFor.SIGN_IN
            return f"{'Signed in' if signed_in else 'Confirmed'} at an identity provider{how}"
        case _:
            return ""


def _policy(fact: Fact) -> str:
    match fact:
        case f.Enforced():
            return f"MFA enforced for {_POPULATIONS[fact.population]}"
        case f.EnforcementLifted():
            return f"MFA no longer enforced for {_POPULATIONS[fact.population]}"
        case f.EveryoneSignedOut():
            return f"Signed out: {_POPULATIONS[fact.population]}"
        case f.AttemptRefused():
            return f"Refused: {fact.action.replace('_', ' ')} ({fact.reason.replace('_', ' ')})"
        case f.AuditRead():
            return f"Looked at records ({fact.what.replace('_', ' ')})"
        case f.AuditExported():
            return f"Exported {fact.facts} facts as {fact.format}"
        case f.SignInLocked():
            return "Sign-in from unknown devices locked after too many wrong passwords"
        case f.SignInUnlocked():
            return "Sign-in opened again by the mailed link"
        case _:
            return ""


def _authenticator(fact: Fact) -> str:
    match fact:
        case f.Enabled():
            return "MFA switched on; the next sign-in leads through the set-up"
        case f.SetupStarted():
            return "Set-up begun: a new key was shown"
        case f.Verified():
            return _PURPOSES[fact.purpose]
        case f.VerificationFailed():
            return (
                "A code that was used before was refused" if fact.reason is f.FailureReason.REPLAYED else "Wrong code"
            )
        case f.Locked():
            return (
                "Locked after too many wrong codes" if fact.until else "Authenticator ended after too many wrong codes"
            )
        case f.Unlocked():
            return "Lock opened by an operator"
        case f.Disabled():
            return "MFA switched off" if fact.was is f.Factor.ACTIVE else "The wish for MFA was taken back"
        case f.ResetRequested():
            return "Reset asked for; the present authenticator works until the link is confirmed"
        case f.ResetConfirmed():
            why = f" ({fact.reason})" if fact.reason else ""
            return f"MFA reset by an administrator{why}" if fact.by is f.Initiator.ADMINISTRATOR else "Reset confirmed"
        case f.ResetMailRepeated():
            return "Reset mail sent again, with a new link"
        case _:
            return ""


def _mail(fact: Fact) -> str:
    match fact:
        case f.MailOwed():
            return f"Mail {_MAILS[fact.kind]}: on its way"
        case f.MailSent():
            return "Mail sent"
        case f.MailGivenUp():
            return f"Mail given up after {fact.tries} tries"
        case f.MailRequeued():
            return "Mail put back into the queue"
        case _:
            return ""


def _role(role: f.Role) -> str:
    return role.value.replace("_", " ")
