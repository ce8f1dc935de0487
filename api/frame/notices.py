"""What a page says after a command has led to it: lasting names and sentences, so that no link can put words there."""

from typing import NamedTuple


class Notice(NamedTuple):
    """One banner."""

    sentence: str
    kind: str = "success"


SAID = {
    "mfa_wanted": Notice(
        "Multi-factor authentication is switched on. Sign out and in again to finish: the next sign-in leads through"
        " the set-up."
    ),
    "mfa_off": Notice("Multi-factor authentication is switched off for your account."),
    "mfa_not_now": Notice("The set-up was left. You can switch MFA on at any time.", "info"),
    "mfa_active": Notice(
        "Multi-factor authentication is active. From now on each sign-in asks for a code of your app."
    ),
    "reset_mailed": Notice(
        "We have sent you a mail. Your present authenticator works until you follow its link and confirm. No mail? Look"
        " in the spam folder, wait a few minutes, then ask support."
    ),
    "reset_confirmed": Notice("Your multi-factor authentication was reset. Sign in again."),
    "policy_saved": Notice("The policy is saved. It works from each person's next sign-in on."),
    "policy_saved_signed_out": Notice("The policy is saved, and everybody it touches was signed out."),
    "nothing_changed": Notice("Nothing has changed: everything is already as you chose.", "info"),
    "user_reset": Notice("The MFA was reset: old codes are refused from now on, and a mail is on its way."),
    "mail_again": Notice("The mail is on its way again, with a new link. The older link no longer works."),
    "too_many_tries": Notice("Too many wrong codes or passwords: sign in again.", "problem"),
    "sign_in_unlocked": Notice("Sign-in is open again."),
    "identity_linked": Notice("The identity is linked: from now on you can sign in with it."),
    "identity_unlinked": Notice(
        "The identity is unlinked, and every session of your account has ended. Sign in again."
    ),
    "provider_added": Notice("The identity provider is added. Try it in a private window before you tell others."),
    "provider_changed": Notice("The identity provider is changed."),
    "provider_removed": Notice("The identity provider is removed, and the sessions that it opened have ended."),
    "signed_out": Notice("You are signed out.", "info"),
    "form_too_old": Notice("That page had lain open for too long. Please try again.", "problem"),
    "signed_in_already": Notice("You are signed in already, so that form was not needed.", "info"),
    "session_ended": Notice("Please sign in to go on.", "info"),
}
"""By the name that travels in a cookie for one page."""
