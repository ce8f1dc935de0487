"""The words of each mail, as plain text and as HTML. The same mail built twice is the same to the byte."""

from dataclasses import dataclass
from html import escape

from domain.facts import MailKind, Population
from handlers.ports import AccountEntry, Mail, QueuedMail, Rules


@dataclass(frozen=True, slots=True)
class Words:
    """What one kind of mail says."""

    subject: str
    paragraphs: tuple[str, ...]
    button: str = ""
    """What the link is called; empty for a mail without one."""


_NOT_YOU = "If this was not you, tell the administrator of {place} at once."
_WORDS = {
    MailKind.RESET_REQUESTED: Words(
        "Confirm the reset of your multi-factor authentication",
        (
            (
                "Somebody who knows your password asked to reset the multi-factor authentication (MFA) of your account at"
                " {place}."
            ),
            "Your present authenticator keeps working until you confirm. The link works once, for 60 minutes.",
            "If this was not you, do not follow the link, and change your password.",
        ),
        "Confirm the reset",
    ),
    MailKind.RESET_BY_ADMINISTRATOR: Words(
        "Set up your multi-factor authentication again",
        (
            "An administrator has reset the multi-factor authentication (MFA) of your account at {place}.",
            (
                "Codes of your old authenticator are refused from now on. Follow the link, sign in, and set MFA up again."
                " The link works for 24 hours."
            ),
            "If you did not expect this, ask the administrator before you go on.",
        ),
        "Set up MFA",
    ),
    MailKind.MFA_ACTIVATED: Words(
        "Multi-factor authentication is active",
        (
            (
                "The multi-factor authentication (MFA) of your account at {place} is active. From now on each sign-in asks"
                " for a code of your authenticator app."
            ),
            _NOT_YOU,
        ),
    ),
    MailKind.MFA_SWITCHED_OFF: Words(
        "Multi-factor authentication was switched off",
        ("The multi-factor authentication (MFA) of your account at {place} was switched off.", _NOT_YOU),
    ),
    MailKind.MFA_RESET: Words(
        "Your multi-factor authentication was reset",
        (
            (
                "The multi-factor authentication (MFA) of your account at {place} was reset by the link in an earlier mail."
                " Every session of the account has ended."
            ),
            _NOT_YOU,
        ),
    ),
    MailKind.LOCKED: Words(
        "Sign-in is locked for a while",
        (
            "There were too many wrong passwords or codes for your account at {place}. Sign-in waits for a while.",
            (
                "If that was not you, somebody else is trying: your account is locked against them, and you may ask your"
                " administrator for help."
            ),
        ),
        "Unlock sign-in now",
    ),
    MailKind.ENFORCED: Words(
        "Multi-factor authentication is now mandatory",
        (
            (
                "An administrator of {place} has made multi-factor authentication (MFA) mandatory for all partner users."
                " Whoever has no MFA yet sets it up at the next sign-in, you included."
            ),
            "You can see the policy in Security Settings.",
        ),
    ),
}
_FOR_ORGANIZATIONS = Words(
    "Multi-factor authentication is now mandatory for your organizations",
    (
        (
            "An administrator of {place} has made multi-factor authentication (MFA) mandatory for all users of its"
            " organizations. They set it up at their next sign-in. For your own account nothing changes."
        ),
        "You can see the policy in Security Settings.",
    ),
)
"""Instead of the words about partner users, where organizations alone are concerned."""
_PATH = {MailKind.LOCKED: "unlock"}
"""Where a link leads, if not to ``reset``."""


def letter(
    mail: QueuedMail, account: AccountEntry, secret: str | None, rules: Rules, population: Population | None = None
) -> Mail:
    """Return the mail, ready to go. The secret half of the link stands behind a ``#``: no server ever sees it."""
    words = _FOR_ORGANIZATIONS if population is Population.ORGANIZATIONS else _WORDS[mail.kind]
    place = account.organization_name or account.partner_name
    paragraphs = [paragraph.format(place=place) for paragraph in words.paragraphs]
    link = f"{rules.public_url}/{_PATH.get(mail.kind, 'reset')}/{mail.link_id}#{secret}" if secret else None
    greeting, ending = f"Hello {account.name},", f"{rules.issuer} sends this mail by itself; replies are not read."
    lines = [greeting, *paragraphs, *([f"{words.button}:\n{link}"] if link else []), ending]
    return Mail(
        message_id=f"<{mail.mail_id}@watchword>",
        to=account.mail_address,
        subject=words.subject,
        text="\n\n".join(lines) + "\n",
        html=_html(words, [greeting, *paragraphs], link, ending),
        kind=mail.kind,
        date=mail.owed_at,
    )


def _html(words: Words, paragraphs: list[str], link: str | None, ending: str) -> str:
    body = "".join(f"<p>{escape(paragraph)}</p>\n" for paragraph in paragraphs)
    if link:
        body += f'<p><a href="{escape(link)}">{escape(words.button)}</a></p>\n'
    head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(words.subject)}</title></head>'
    return f"{head}\n<body>\n{body}<p><small>{escape(ending)}</small></p>\n</body></html>\n"
