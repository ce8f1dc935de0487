"""The MFA page: it explains, shows the new key, and takes the code that proves the app."""

import io
import re
from typing import Annotated, Any

import segno
from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.doors import SETTING_UP, Admit, Asked, form_of
from api.frame.forms import Wrong, command, stepped_up
from api.frame.page import go, page, tried
from api.pages.sign_in import went_on
from api.routes import Door
from handlers import mfa, reset
from handlers.sessions import State

router = APIRouter(route_class=Door, include_in_schema=False)
_LINK = re.compile(r"[^\s#]*#(.+)")


def picture(otpauth_uri: str) -> str:
    """Return the QR code as an SVG element that reads on dark pages too."""
    out = io.BytesIO()
    segno.make(otpauth_uri, error="m", micro=False).save(
        out, kind="svg", scale=5, border=4, xmldecl=False, svgns=False, light="#fff", omitsize=True, svgclass="qr"
    )
    return out.getvalue().decode()


def mailed_secret(text: str) -> str:
    """Return the secret of a mailed link, whether the whole link was pasted or only what stands behind its ``#``."""
    found = _LINK.fullmatch(text.strip())
    return found[1] if found else text.strip()


@router.get("/mfa/setup")
def show_setup(asked: Annotated[Asked, Depends(Admit(SETTING_UP))]) -> Response:
    """Explain the set-up, or show the key of the one that is open in this sign-in."""
    return _setup(asked)


def _setup(asked: Asked, wrong: Wrong | None = None) -> Response:
    status, shown = mfa.status(asked.caller, asked.s), mfa.shown_again(asked.caller, asked.s)
    signed_in = asked.caller.sign_in()[1].state == State.SIGNED_IN
    owed = status.mfa.owed_to_administrator()
    context: dict[str, Any] = {
        "account": asked.caller.person(),
        "required": status.needed.required,
        "needs_mail": owed and asked.s.rules.reset_setup_needs_mail,
        "owed": owed,
        "not_now": not signed_in and status.can_switch_off,
        "setting_up_signed_in": signed_in,
        "replaces": status.mfa.secret_ref is not None,
    }
    if shown is None:
        return page(asked, "setup/begin.html", wrong=wrong, **context)
    groups = [shown.setup_key[at : at + 4] for at in range(0, len(shown.setup_key), 4)]
    seen: dict[str, Any] = {"groups": groups, "uri": shown.otpauth_uri, "qr": picture(shown.otpauth_uri)}
    return page(asked, "setup/confirm.html", wrong=wrong, **context, **seen)


@router.post("/mfa/setup")
def begin(asked: Annotated[Asked, Depends(Admit(SETTING_UP))]) -> Response:
    """Make a new key and show it."""

    def wish() -> Response:
        stepped_up(asked)
        token = mailed_secret(form_of(asked.request).get("mailed_token", "")) or None
        mfa.start_setup(command(mfa.StartSetup, asked, mailed_token=token), asked.caller, asked.s)
        return go(asked, "/mfa/setup")

    return tried(asked, wish, lambda wrong: _setup(asked, wrong))


@router.post("/mfa/setup/confirm")
def confirm(asked: Annotated[Asked, Depends(Admit(SETTING_UP))]) -> Response:
    """Judge the first code of the new app."""

    def wish() -> Response:
        progress = mfa.confirm_setup(command(mfa.ConfirmSetup, asked), asked.caller, asked.s)
        return went_on(asked, progress, "mfa_active")

    return tried(asked, wish, lambda wrong: _setup(asked, wrong))


@router.post("/mfa/setup/leave")
def leave(asked: Annotated[Asked, Depends(Admit(SETTING_UP))]) -> Response:
    """Leave a set-up that nobody demands."""
    return tried(
        asked,
        lambda: went_on(asked, mfa.disable(asked.caller, asked.s), "mfa_not_now"),
        lambda wrong: _setup(asked, wrong),
    )


@router.post("/mfa/setup/mail")
def mail_again(asked: Annotated[Asked, Depends(Admit(SETTING_UP))]) -> Response:
    """Have the mail with the link to the set-up sent again."""

    def wish() -> Response:
        position = reset.repeat_own_setup_mail(asked.caller, asked.s)
        return go(asked, "/mfa/setup", "mail_again", position)

    return tried(asked, wish, lambda wrong: _setup(asked, wrong))
