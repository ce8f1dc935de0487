"""Refused → status and sentence: one table, for every door."""

from typing import NamedTuple

from domain import directory, guessing, identity, partner_policy, permissions, user_mfa
from domain.kernel import Refused
from handlers import callers, confirming, identity_providers, reset, sessions, sign_in, single_sign_on
from handlers import directory as wishes
from handlers.ports import SessionEnded


class Said(NamedTuple):
    """What a door answers to a refusal."""

    status: int
    sentence: str


class NotYet(Refused):
    """This sign-in has not come far enough for that."""


class NotAmongThese(Refused):
    """Such a door is not for this kind of caller."""


class CrossSite(Refused):
    """The request did not come from a page of ours."""


class KeyReused(Refused):
    """The idempotency key was used for another request."""


class ViewBehind(Refused):
    """The view has not come to the position that was waited for."""


TABLE: dict[type[Refused], Said] = {
    sign_in.WrongCredentials: Said(401, "The e-mail address or the password is not right."),
    sign_in.NoSuchChoice: Said(404, "That account is not one of yours: choose one from the list."),
    sign_in.LinkRefused: Said(410, "This link is no longer valid: ask for a new mail."),
    confirming.WrongPassword: Said(401, "The password is not right; nothing has changed."),
    sessions.CodeNotAccepted: Said(
        401,
        "The code was not accepted. Wait for the next one, and check that the phone sets its clock by itself;"
        " if it goes on, ask your administrator or support.",
    ),
    confirming.CodeNeeded: Said(401, "Give the code of your authenticator app beside the password."),
    SessionEnded: Said(401, "You are not signed in, or your session has ended: sign in again."),
    NotYet: Said(403, "Finish your sign-in first."),
    NotAmongThese: Said(403, "This token or session may not do that."),
    CrossSite: Said(403, "The request did not come from this site, or its CSRF token is missing or old."),
    KeyReused: Said(422, "This Idempotency-Key was used for another request: take a new one."),
    ViewBehind: Said(503, "The view has not caught up with that position yet: ask again."),
    guessing.ChallengeEnded: Said(401, "Too many wrong codes: sign in again with your password."),
    guessing.CodesLocked: Said(429, "Too many wrong codes: codes are looked at again when the lock ends."),
    guessing.AuthenticatorDead: Said(403, "Too many wrong codes: ask your administrator to reset your MFA."),
    callers.TooManyTries: Said(429, "That was tried too often: wait before you try again."),
    callers.StepUpRequired: Said(403, "Give your password again first (POST /session/step-up)."),
    user_mfa.EnforcedByPartner: Said(403, "MFA is enforced here, so it cannot be switched off. A reset is possible."),
    user_mfa.AdministratorResetOpen: Said(409, "An administrator reset this MFA: set it up again first."),
    user_mfa.NothingToReset: Said(409, "There is no active MFA to reset."),
    user_mfa.NoOpenReset: Said(409, "No reset is waiting for its mail."),
    user_mfa.NotActive: Said(409, "MFA is not active for this account."),
    user_mfa.NoSetup: Said(409, "No set-up is open in this sign-in: begin with POST /me/mfa/setup."),
    user_mfa.SetupExpired: Said(409, "The shown key is too old: begin the set-up again."),
    user_mfa.LinkNoLongerValid: Said(410, "This link is no longer valid: ask for a new mail."),
    user_mfa.MailedTokenNeeded: Said(
        403,
        "After an administrator's reset the set-up opens with the link that was mailed; you may have it sent again.",
    ),
    reset.AccountDisabled: Said(409, "This account is disabled: restore it first."),
    reset.PasswordNeeded: Said(401, "Sign in, or give the password together with the link."),
    partner_policy.PolicyChangedMeanwhile: Said(412, "The policy was changed meanwhile: read it again."),
    permissions.AnotherTenant: Said(404, "There is nothing with this id."),
    permissions.PartnerTypeHasNoPolicy: Said(403, "Enforcement exists for distributors and sub-resellers alone."),
    permissions.RoleNotAllowed: Said(403, "Your role may not do that; an owner, super admin or admin may."),
    permissions.OutranksYou: Said(403, "That account stands above yours: ask somebody of its rank."),
    permissions.OwnAccount: Said(403, "Reset your own MFA in Security Settings."),
    directory.PartnerIsFixed: Said(409, "Partner, type and parent cannot change: register a new one."),
    directory.RoleDoesNotFit: Said(422, "End users belong to an organization, all other roles to a partner."),
    directory.ParentDoesNotFit: Said(422, "A sub-reseller has a parent; a distributor or reseller has none."),
    directory.AccountIsErased: Said(409, "This account was erased: register a new one under another id."),
    directory.AnotherIdentityLinked: Said(409, "Another identity of this provider is linked to the account already."),
    directory.InvitationOver: Said(410, "This invitation was used, replaced, or has run out: ask for a new one."),
    identity.AnswerRefused: Said(401, "The answer of the identity provider was not accepted. Start again."),
    identity.ProviderIsFixed: Said(409, "Issuer, client and tenant cannot change: remove the provider, add another."),
    identity.ProviderIsRemoved: Said(409, "This provider was removed: add another one under a new id."),
    identity_providers.NoSuchProvider: Said(404, "There is no such identity provider."),
    single_sign_on.NotAskedHere: Said(401, "This sign-in was not begun in this browser, or too long ago. Start again."),
    single_sign_on.NotFinishedThere: Said(401, "The sign-in was not finished at the identity provider. Start again."),
    single_sign_on.NobodyLinked: Said(
        403,
        "You are known there, but no account here belongs to you yet. Ask your administrator for an invitation, or sign"
        " in with your password and link it in Security Settings.",
    ),
    single_sign_on.AnotherPerson: Said(403, "That identity is not the one that is linked to your account."),
    single_sign_on.LastWayIn: Said(409, "Without a password this is your only way in: ask for a password first."),
    confirming.ProviderNeeded: Said(
        401, "Give your password; or, where you have none, sign in again at your identity provider first."
    ),
    wishes.UnknownAccount: Said(404, "There is nothing with this id."),
}
"""Every refusal that can reach a door. A test finds the ones that are missing."""
