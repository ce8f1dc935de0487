"""Cookies: bound to this host, out of reach of scripts, and nobody's when they come twice."""

from fastapi import Request, Response

from api.bootstrap import Watchword


def cookie_name(watchword: Watchword, name: str) -> str:
    """Return the cookie's name; the prefix binds it to this host and to encrypted connections."""
    return f"__Host-{name}" if watchword.settings.cookies_are_secure else name


def one_cookie(request: Request, name: str) -> str | None:
    """Return a cookie that was sent exactly once. Sent twice, it is nobody's: which of the two counts is not guessed."""
    parts = [part.strip() for header in request.headers.getlist("cookie") for part in header.split(";")]
    values = [part[len(name) + 1 :] for part in parts if part.startswith(f"{name}=")]
    return values[0] if len(values) == 1 and 0 < len(values[0]) <= 512 and values[0].isascii() else None  # noqa: PLR2004


def set_cookie(response: Response, watchword: Watchword, name: str, value: str, *, max_age: int | None = None) -> None:
    """Set a cookie that no script reads; without an age it ends with the browser."""
    response.set_cookie(
        cookie_name(watchword, name),
        value,
        max_age=max_age,
        path="/",
        secure=watchword.settings.cookies_are_secure,
        httponly=True,
        samesite="lax",
    )


def clear_cookie(response: Response, watchword: Watchword) -> None:
    """Take the session cookie back."""
    set_cookie(response, watchword, "watchword", "", max_age=0)
