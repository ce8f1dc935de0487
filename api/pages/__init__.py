"""The pages of the portal: form → command → redirect, or query → template. One file for each place people go."""

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from api.frame.outdated import of_outdated_form
from api.frame.page import of_error as _of_error
from api.pages import audit, coverage, home, identities, links, providers, security, setup, sign_in, users

PLACES = (sign_in, providers, identities, setup, home, security, users, links, audit, coverage)


def of_error(request: Request, error: Exception, answer: JSONResponse) -> Response:
    """Return a page for an error: the way on for a form of an earlier sign-in, else what went wrong."""
    return of_outdated_form(request, error) or _of_error(request, error, answer)


__all__ = ["PLACES", "of_error"]
