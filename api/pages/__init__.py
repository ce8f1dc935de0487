"""The pages of the portal: form → command → redirect, or query → template. One file for each place people go."""

from api.frame.page import of_error
from api.pages import audit, coverage, home, identities, links, providers, security, setup, sign_in, users

PLACES = (sign_in, providers, identities, setup, home, security, users, links, audit, coverage)

__all__ = ["PLACES", "of_error"]
