"""Names of identity providers that people trust: no other issuer may pass for one of them."""

import unicodedata
from urllib.parse import urlsplit

_WELL_KNOWN: dict[str, tuple[str, ...]] = {
    "microsoft": ("microsoftonline.com", "microsoftonline.us", "windows.net", "microsoft.com"),
    "entra": ("microsoftonline.com", "microsoftonline.us", "windows.net", "microsoft.com"),
    "azure": ("microsoftonline.com", "microsoftonline.us", "windows.net", "microsoft.com"),
    "office365": ("microsoftonline.com", "microsoftonline.us", "windows.net", "microsoft.com"),
    "google": ("google.com",),
    "apple": ("apple.com",),
    "okta": ("okta.com", "oktapreview.com", "okta-emea.com"),
    "auth0": ("auth0.com",),
    "amazon": ("amazon.com", "amazonaws.com", "amazoncognito.com"),
    "github": ("github.com", "githubusercontent.com"),
    "facebook": ("facebook.com",),
    "linkedin": ("linkedin.com",),
}
"""Names that people trust, and the domains of their issuers."""
_LOOK_ALIKE = str.maketrans("01345$@|!аеорсхікмтуԁɡ", "oleassaiiaeopcxikmtydg")
"""Letters and digits that are taken for others: some of Unicode's confusables, Cyrillic ones above all."""


def resembles(name: str, issuer: str) -> str | None:
    """Return the well-known name that a provider's name is like, if the issuer is not of that name's domains."""
    folded = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(each for each in folded if each.isalnum() or each in "$@|!")
    spelled = {plain, plain.translate(_LOOK_ALIKE), plain.replace("rn", "m"), plain.replace("vv", "w")}
    host = host_of(issuer)
    for known, domains in _WELL_KNOWN.items():
        ours = any(host == each or host.endswith(f".{each}") for each in domains)
        if not ours and any(known in each or known.translate(_LOOK_ALIKE) in each for each in spelled):
            return known
    return None


def host_of(issuer: str) -> str:
    """Return the host of an issuer's address."""
    return (urlsplit(issuer).hostname or "").lower()
