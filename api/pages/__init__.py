"""The pages of the portal: form → command → redirect, or query → template. One file for each place people go."""

from fastapi import APIRouter

from api.frame.page import of_error
from api.pages import audit, coverage, home, identities, links, mail, providers, security, setup, sign_in, users

router = APIRouter(include_in_schema=False)
for _each in (sign_in, providers, identities, setup, home, security, users, links, audit, coverage):
    router.include_router(_each.router)

mail_router = mail.router
"""The inbox of the mail catcher; only where that catcher runs."""

__all__ = ["mail_router", "of_error", "router"]
