"""The inbox of the mail catcher, so that a newcomer can follow the links by clicking. Only where that catcher runs."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import Response

from api.doors import ANYBODY, Admit, Asked
from api.embedded.mail import list_mails, read_mail
from api.frame.page import page
from api.routes import Door

router = APIRouter(route_class=Door, include_in_schema=False)
SHOWN = 50
_LINK = re.compile(r"(https?://[^\s<>\"'\]]+)")


@router.get("/dev/mail")
def inbox(asked: Annotated[Asked, Depends(Admit(ANYBODY))], to: str = "") -> Response:
    """Show the newest mails, of everybody or to one address."""
    folder = asked.watchword.settings.mail_dir
    return page(
        asked, "mail/inbox.html", mails_found=list_mails(folder, to=to.strip() or None, limit=SHOWN), to=to, shown=SHOWN
    )


@router.get("/dev/mail/{mail_id}")
def letter(mail_id: str, asked: Annotated[Asked, Depends(Admit(ANYBODY))]) -> Response:
    """Show one mail, its links to be clicked."""
    try:
        mail = read_mail(asked.watchword.settings.mail_dir, mail_id)
    except KeyError:
        raise HTTPException(404, "There is no such mail.") from None
    return page(asked, "mail/letter.html", mail=mail, parts=_LINK.split(mail.text))
