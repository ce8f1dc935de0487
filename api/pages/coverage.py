"""The coverage certificate as a page, which prints well: totals, a picture, every gap, and how to check it."""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from tempfile import TemporaryFile
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.certificate import SHOWN, Issued
from api.doors import SIGNED_IN, Admit, Asked
from api.frame.files import HERE
from api.frame.page import page
from api.past import bad
from api.rest.coverage import issued, span_of
from api.routes import Door
from domain.permissions import Action
from handlers import policy

router = APIRouter(route_class=Door, include_in_schema=False)
PATH = "/audit/certificate"
_WIDTH, _HEIGHT = 640, 200
_DAY = timedelta(days=1)


@router.get(PATH)
def show(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> Response:
    """Show the certificate of a span; without one, the question which span is meant."""
    account = asked.caller.person()
    policy.allowed(account.partner_id, Action.SEE_AUDIT, asked.caller, asked.s)
    given = {name: asked.request.query_params.get(name, "").strip() for name in ("from", "to")}
    for name, text in given.items():
        if len(text) > 40 or not text.isprintable():  # noqa: PLR2004 as in the JSON door
            raise bad("query", name, "give a position, an instant such as 2026-11-01T12:00:00Z, or a day")
    made = None
    if any(given.values()):
        span = span_of(account.partner_id, given["from"], given["to"], asked.watchword, asked.caller.at)
        with TemporaryFile() as file:
            made = issued(asked.watchword, span, (given["from"], given["to"]), asked.caller.at, file)
    return form(asked, account.partner_id, made, given)


def form(asked: Asked, partner_id: str, made: Issued | None, given: dict[str, str]) -> Response:
    """Return the page, with a certificate if one was made."""
    query = made.content["query"] if made else {}
    asked_for = urlencode({name: query[name] for name in ("from", "to")}) if made else ""
    return page(
        asked,
        "audit/certificate.html",
        given=given,
        today=asked.caller.at.date().isoformat(),
        c=made.content if made else None,
        gaps=made.gaps if made else [],
        gap_count=sum(each["count"] for each in made.content["totals"]["gaps"].values()) if made else 0,
        shown=SHOWN,
        lines=lines(made.content) if made else [],
        json=f"/api/v1/partners/{partner_id}/certificate?{asked_for}",
        short=short,
        lasting=lasting,
    )


def standing_alone(answer: Response) -> str:
    """Return a page as a file that needs nothing beside it: the content without the frame, with the style inside."""
    text = bytes(answer.body).decode()
    content = text.partition("<main")[2].partition(">")[2].partition("</main>")[0]
    content = re.sub(r"<search.*?</search>|</?a\b[^>]*>", "", content, flags=re.DOTALL)
    style = "\n".join((HERE / "static" / name).read_text() for name in ("pico.min.css", "app.css"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Coverage certificate</title>\n'
        f'<style>{style}</style>\n</head>\n<body>\n<main class="container">'
        f"{content}</main>\n</body>\n</html>\n"
    )


def lines(content: dict[str, Any]) -> list[str]:
    """Return the share of each day as lines of the picture: a step for each day, broken where nothing was demanded."""
    first = _moment(content["span"]["from"])
    last = _moment(content["span"]["to"])
    width = _WIDTH / (((last - timedelta(microseconds=1)).date() - first.date()).days + 1)
    found: list[list[str]] = []
    following = None
    for each in content["days"]:
        day = date.fromisoformat(each["day"])
        if day != following:
            found.append([])
        left, following = (day - first.date()).days * width, day + _DAY
        height = _HEIGHT - float(each["percent_covered"]) / 100 * _HEIGHT
        found[-1] += [f"{left:.1f},{height:.1f}", f"{left + width:.1f},{height:.1f}"]
    return [" ".join(points) for points in found]


def short(instant: str | None) -> str:
    """Return an instant as people read it, to the second."""
    return _moment(instant).strftime("%Y-%m-%d %H:%M:%S") if instant else ""


def lasting(seconds: str) -> str:
    """Return a time as days, hours, minutes and seconds."""
    whole = int(Decimal(seconds))
    days, rest = divmod(whole, 86_400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


def _moment(instant: str) -> datetime:
    return datetime.fromisoformat(instant)
