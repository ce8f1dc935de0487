"""The page that somebody wanted before the sign-in came between: kept in a cookie, and gone back to afterwards.

Only pages of our own that are looked at count. So neither a made-up address nor a planted cookie leads anywhere else.
"""

import base64
import binascii
import re
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response

from api.bootstrap import Watchword
from api.cookies import cookie_name, one_cookie, set_cookie
from api.routes import Door

_COOKIE = "watchword-wanted"
_KEPT_SECONDS = 3600
"""As long as a sign-in form may lie open."""
_LONGEST = 380
"""Characters of an address that fit into one cookie of ours."""
_PATH = re.compile(r"/(?:[A-Za-z0-9._-]+/)*[A-Za-z0-9._-]*", re.ASCII)
"""A path of a page: no second slash, nothing encoded, no backslash."""
_QUERY = re.compile(r"[A-Za-z0-9._~!$'()*+,:@/?%=&-]*", re.ASCII)
_PART_OF_SIGN_IN = "/mfa/setup"
"""A page that the sign-in itself leads to where it is needed."""
_NEVER = ("/api/", "/sign-in", "/sign-out", "/sso/", "/healthz", "/readyz")


def page_of(app: FastAPI, address: str) -> str | None:
    """Return the address if it is one of a page that can be looked at, without its query where that is odd or long."""
    path, _, query = address.partition("?")
    if not _PATH.fullmatch(path) or any(part in {".", ".."} for part in path.split("/")) or path.startswith(_NEVER):
        return None
    if not any(isinstance(r, Door) and "GET" in (r.methods or ()) and r.path_regex.fullmatch(path) for r in app.routes):
        return None
    found = f"{path}?{query}" if query and _QUERY.fullmatch(query) else path
    return found if len(found) <= _LONGEST else path if len(path) <= _LONGEST else None


def address_of(request: Request) -> str:
    """Return path and query of a request, as they came."""
    query = request.scope["query_string"].decode("latin-1")
    return f"{request.scope['path']}?{query}" if query else str(request.scope["path"])


def page_of_form(request: Request) -> str:
    """Return the page on which a form stood: the one it was sent from, or the one of the same address; else the first page."""
    app, referer = request.app, urlsplit(request.headers.get("referer", ""))
    own = f"{referer.scheme}://{referer.netloc}" in app.state.watchword.settings.origins
    sent_from = page_of(app, f"{referer.path}?{referer.query}") if own else None
    return sent_from or page_of(app, request.scope["path"]) or "/"


def keep_wanted(request: Request, response: Response, page: str | None) -> None:
    """Remember the newest page that was wanted until the sign-in is done. For the first page nothing is remembered."""
    watchword = request.app.state.watchword
    if page == "/" and wanted(request):
        forget_wanted(response, watchword)
    elif page and page != "/" and not page.startswith(_PART_OF_SIGN_IN):
        text = base64.urlsafe_b64encode(page.encode()).rstrip(b"=").decode()
        set_cookie(response, watchword, _COOKIE, text, max_age=_KEPT_SECONDS)


def wanted(request: Request) -> str | None:
    """Return the page that was wanted before the sign-in, if it is one."""
    text = one_cookie(request, cookie_name(request.app.state.watchword, _COOKIE)) or ""
    try:
        address = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return None if address.startswith(_PART_OF_SIGN_IN) else page_of(request.app, address)


def forget_wanted(response: Response, watchword: Watchword) -> None:
    """Forget the page: it was gone to, or somebody signed out."""
    set_cookie(response, watchword, _COOKIE, "", max_age=0)
