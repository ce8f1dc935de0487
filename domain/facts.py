"""Everything that can happen, in the order of the story. Read this first.

Times are aware datetimes in UTC. When a fact happened, who did it and from where stands in its envelope.
"""

from datetime import datetime
from enum import StrEnum

from domain.kernel import Fact

# ── Who exists ──────────────────────────────────────────────────────────────────────────────────────────────────────


class PartnerType(StrEnum):
    """What kind of tenant a partner is. A sub-reseller has a parent."""

    DISTRIBUTOR = "distributor"
    RESELLER = "reseller"
    SUB_RESELLER = "sub_reseller"


class Role(StrEnum):
    """What an account is trusted with."""

    OWNER = "owner"
    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    SUPPORT = "support"
    AUDITOR = "auditor"
    END_USER = "end_user"


class PartnerRegistered(Fact):
    """A tenant joined."""

    TOPIC = "partner.registered"
    name: str
    type: PartnerType
    parent: str | None = None


class PartnerRenamed(Fact):
    """A tenant goes by another name."""

    TOPIC = "partner.renamed"
    name: str


class OrganizationRegistered(Fact):
    """A partner took on a customer."""

    TOPIC = "organization.registered"
    name: str
    partner_id: str


class OrganizationRenamed(Fact):
    """A customer goes by another name."""

    TOPIC = "organization.renamed"
    name: str


class AccountRegistered(Fact):
    """A person got an account at a partner, or at one of its organizations. Name and address are kept elsewhere."""

    TOPIC = "account.registered"
    partner_id: str
    organization_id: str | None = None
    role: Role


class AccountMoved(Fact):
    """The account belongs to another place of the same partner from now on."""

    TOPIC = "account.moved"
    organization_id: str | None
    role: Role


class RoleChanged(Fact):
    """The account is trusted with more, or less."""

    TOPIC = "account.role_changed"
    role: Role


class AccountRenamed(Fact):
    """The person goes by another name; both names are kept outside the log."""

    TOPIC = "account.renamed"


class MailAddressChanged(Fact):
    """Mail to this person goes elsewhere now; both addresses are kept outside the log."""

    TOPIC = "account.mail_address_changed"


class PasswordChanged(Fact):
    """The account has a new password."""

    TOPIC = "account.password_changed"


class AccountDisabled(Fact):
    """The account may not sign in any more."""

    TOPIC = "account.disabled"


class AccountRestored(Fact):
    """A disabled account may sign in again."""

    TOPIC = "account.restored"


class AccountErased(Fact):
    """Name, address, password and keys of this person were destroyed; what happened stays."""

    TOPIC = "account.erased"


class SignInLocked(Fact):
    """Too many wrong passwords from unknown devices: sign-in from such devices has to wait."""

    TOPIC = "account.sign_in_locked"
    until: datetime | None
    """When unknown devices may try again; None: not before the mailed link is used or the password changes."""
    unlock_id: str
    """The mailed link that opens sign-in at once."""


class SignInUnlocked(Fact):
    """Sign-in from unknown devices is open again before its time."""

    TOPIC = "account.sign_in_unlocked"


# ── Who else may say who somebody is ────────────────────────────────────────────────────────────────────────────────


class ProviderKind(StrEnum):
    """How a provider names people."""

    ENTRA = "entra"
    """Microsoft Entra ID, one tenant of it: a person is the tenant's id and the object's."""
    GOOGLE = "google"
    """Google, one hosted domain of it: a person is the subject."""
    OPENID = "openid"
    """Any other OpenID Connect issuer: a person is the subject."""


class LinkedBy(StrEnum):
    """What showed that an identity and an account are the same person's."""

    INVITATION = "invitation"
    """The person held an invitation for the account."""
    VERIFIED_ADDRESS = "verified_address"
    """The provider verified the account's mail address, whose domain the partner has proved."""
    SESSION = "session"
    """The person was signed in, and had just confirmed it."""


class ProvedFor(StrEnum):
    """What the provider was asked for."""

    SIGN_IN = "sign_in"
    CONFIRMATION = "confirmation"
    """Where others give their password again."""


class DomainProved(Fact):
    """A mail domain is the partner's: a provider of the partner may vouch for its addresses."""

    TOPIC = "partner.domain_proved"
    domain: str


class DomainWithdrawn(Fact):
    """A mail domain is no longer the partner's. Links that were made by it stay."""

    TOPIC = "partner.domain_withdrawn"
    domain: str


class IdentityProviderAdded(Fact):
    """People of a partner may sign in at an identity provider."""

    TOPIC = "identity_provider.added"
    partner_id: str
    kind: ProviderKind
    name: str
    issuer: str
    client_id: str
    restricted_to: str
    """The tenant of Entra ID or the hosted domain of Google that alone is let in; empty for another issuer."""
    rank: int
    """Accounts above this rank are not linked by their address: nobody becomes an owner by adding a provider."""


class IdentityProviderRemoved(Fact):
    """Nobody signs in at this provider any more; its links, its secret and the sessions that it opened ended."""

    TOPIC = "identity_provider.removed"


class MfaCredited(Fact):
    """The provider's own MFA counts as ours from now on, where it says that it asked for one."""

    TOPIC = "identity_provider.mfa_credited"


class MfaUncredited(Fact):
    """The provider's own MFA changes nothing again: both are asked."""

    TOPIC = "identity_provider.mfa_uncredited"


class IdentityInvited(Fact):
    """Whoever holds the invitation may link an identity of the provider to this account, once."""

    TOPIC = "account.identity_invited"
    provider_id: str
    invitation_id: str
    """The invitation's public half."""
    expires_at: datetime


class IdentityLinked(Fact):
    """The person behind an identity of a provider is the person of this account."""

    TOPIC = "account.identity_linked"
    provider_id: str
    subject_digest: str
    """A keyed digest of the provider's name for the person, of no use elsewhere."""
    by: LinkedBy


class IdentityUnlinked(Fact):
    """That identity opens this account no longer, and the account's sessions ended."""

    TOPIC = "account.identity_unlinked"
    provider_id: str
    subject_digest: str


class IdentityProved(Fact):
    """The provider said who the person is: for a sign-in, or again where others give their password."""

    TOPIC = "account.identity_proved"
    provider_id: str
    subject_digest: str
    purpose: ProvedFor
    amr: str
    """How the provider says it knew the person, its words with spaces between (RFC 8176); it proves nothing to us."""
    acr: str
    """The provider's own name for how sure it is; empty where it said none."""
    credits_mfa: bool
    """Whether the provider's MFA counted as ours at that moment, by the provider's setting."""


# ── What a partner demands ──────────────────────────────────────────────────────────────────────────────────────────


class Population(StrEnum):
    """Whom one option of the policy touches."""

    PARTNER_USERS = "partner_users"
    """Everyone who can open the Partner Portal."""
    ORGANIZATIONS = "organizations"
    """Every user of every organization of the partner."""


class Enforced(Fact):
    """The partner demands MFA of a population, from each person's next login on."""

    TOPIC = "partner_policy.enforced"
    population: Population


class EnforcementLifted(Fact):
    """The partner demands MFA of a population no longer."""

    TOPIC = "partner_policy.enforcement_lifted"
    population: Population


class EveryoneSignedOut(Fact):
    """All sessions of a population ended at once."""

    TOPIC = "partner_policy.everyone_signed_out"
    population: Population


# ── One account's authenticator, from wish to reset ─────────────────────────────────────────────────────────────────


class Factor(StrEnum):
    """How far an account has come with its authenticator."""

    NONE = "none"
    PENDING = "pending"
    """Wanted, or owed after an administrator's reset, and not proved."""
    ACTIVE = "active"


class Initiator(StrEnum):
    """Who started a reset."""

    PERSON = "person"
    ADMINISTRATOR = "administrator"


class Purpose(StrEnum):
    """What a code was entered for."""

    SETUP = "setup"
    SIGN_IN = "sign_in"
    STEP_UP = "step_up"


class FailureReason(StrEnum):
    """Why a code was not accepted; the person is told neither."""

    WRONG = "wrong"
    REPLAYED = "replayed"


class Enabled(Fact):
    """The person switched MFA on; the next login leads through the set-up."""

    TOPIC = "user_mfa.enabled"


class SetupStarted(Fact):
    """A new shared secret was shown to the person. It counts once a code of it is verified."""

    TOPIC = "user_mfa.setup_started"
    setup_id: str
    secret_ref: str
    """Names the sealed shared secret, which is kept outside the log."""
    session: str
    """The sign-in that alone may finish this set-up."""
    expires_at: datetime


class Verified(Fact):
    """A right code was entered. With the purpose set-up, the authenticator is active from now on."""

    TOPIC = "user_mfa.verified"
    purpose: Purpose
    time_step: int
    """RFC 6238 T, in 30 s periods since 1970. It rises strictly from one verified code of a secret to the next."""
    gives_back: int
    """How many earlier failures this success forgives, 0 or 1."""


class VerificationFailed(Fact):
    """A code was entered that is wrong, or was used before."""

    TOPIC = "user_mfa.verification_failed"
    purpose: Purpose
    reason: FailureReason
    challenge: str
    """The sign-in in which it was entered."""


class Locked(Fact):
    """Too many codes failed: no code is looked at for a while."""

    TOPIC = "user_mfa.locked"
    until: datetime | None
    """When codes are looked at again; None: the authenticator is dead, and only a reset helps."""


class Unlocked(Fact):
    """An operator ended a lock before its time."""

    TOPIC = "user_mfa.unlocked"


class Disabled(Fact):
    """The person switched MFA off, or took the wish for it back."""

    TOPIC = "user_mfa.disabled"
    was: Factor


class ResetRequested(Fact):
    """The person asked to reset the own MFA; until the mailed link is confirmed, the old one stays in force."""

    TOPIC = "user_mfa.reset_requested"
    reset_id: str
    """The mailed link's public half."""
    expires_at: datetime


class ResetConfirmed(Fact):
    """The old authenticator ended: the person confirmed, or an administrator decided."""

    TOPIC = "user_mfa.reset_confirmed"
    by: Initiator
    reset_id: str
    """The link that was confirmed; after an administrator's reset, the mailed link that lets the set-up begin."""
    expires_at: datetime | None = None
    """When the link to the set-up stops working; None when the person confirmed."""
    reason: str | None = None
    """What the administrator wrote."""


class ResetMailRepeated(Fact):
    """The mail of an open reset is sent again, with a new link; the older link ended."""

    TOPIC = "user_mfa.reset_mail_repeated"
    by: Initiator
    """Who had started the reset that is still open."""
    reset_id: str
    expires_at: datetime


# ── What was refused ────────────────────────────────────────────────────────────────────────────────────────────────


class AttemptRefused(Fact):
    """Somebody asked for what is not theirs to do; nothing else changed."""

    TOPIC = "account.attempt_refused"
    action: str
    reason: str
    partner_id: str | None = None
    account_id: str | None = None
    """Whom it would have touched."""


# ── Who looked ──────────────────────────────────────────────────────────────────────────────────────────────────────


class AuditRead(Fact):
    """Somebody looked at what is recorded about a partner and its people; kept once a minute for each kind of look."""

    TOPIC = "audit.read"
    what: str
    """The action of the table of rights, such as ``see_audit``."""


class AuditExported(Fact):
    """What is recorded about a partner was written into files and handed over."""

    TOPIC = "audit.exported"
    format: str
    after: int
    """Positions after this one."""
    until: int
    """Positions up to this one."""
    facts: int
    manifest_sha256: str
    """Of the signed list of the files, in hexadecimal."""


# ── What people are told ────────────────────────────────────────────────────────────────────────────────────────────


class MailKind(StrEnum):
    """Each mail that Watchword sends."""

    RESET_REQUESTED = "reset_requested"
    RESET_BY_ADMINISTRATOR = "reset_by_administrator"
    MFA_ACTIVATED = "mfa_activated"
    MFA_SWITCHED_OFF = "mfa_switched_off"
    MFA_RESET = "mfa_reset"
    LOCKED = "locked"
    ENFORCED = "enforced"


class MailOwed(Fact):
    """A fact that somebody has to hear of: a mail is on its way."""

    TOPIC = "mail.owed"
    kind: MailKind
    account_id: str
    because: int
    """The position of the fact behind the mail."""
    link_id: str | None = None
    expires_at: datetime | None = None
    """When the link stops working."""


class MailSent(Fact):
    """The mail server took the mail."""

    TOPIC = "mail.sent"
    tries: int


class MailGivenUp(Fact):
    """The mail could not be delivered and is not tried again by itself."""

    TOPIC = "mail.given_up"
    tries: int
    error: str
    """The class of the error and the server's code, never its text."""


class MailRequeued(Fact):
    """An operator put a given-up mail back into the queue."""

    TOPIC = "mail.requeued"
