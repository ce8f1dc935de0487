"""One page of a partner's users, for the JSON door and for the page alike."""

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from api.doors import Asked
from api.past import Moment, bad
from projections import partner_policy, status_history, user_status
from projections.views import ask_how_far

VIEWS = (user_status.NAME, partner_policy.NAME)
Sort = Literal["name", "-name", "email", "-email"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which users are asked for."""

    partner_id: str
    mfa_status: str | None = None
    organization: str | None = None
    role: str | None = None
    q: str | None = None
    sort: Sort = "name"
    cursor: str | None = None
    limit: int = 50
    moment: Moment | None = None
    """None: as it stands now."""
    menu: int = 0
    """So many organizations are listed too, where the partner has no more."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of users, and how current it is."""

    rows: list[dict[str, Any]]
    next_cursor: str | None
    position: int
    lag_ms: int
    organizations: list[list[str]] | None
    """Id and name of each, None where there are more than the menu takes."""


def listed(wanted: Wanted, come: Callable[..., tuple[int, int]], asked: Asked, least: int = 0) -> Listed:
    """Return the page. Whoever calls has checked that the caller may see it.

    All of it is asked at once, and as a rule the views have come to the newest fact, and to the position that the caller
    wants at least. Otherwise ``come`` lets them come as far as they shall, and returns how far they have come, and how
    old that is in ms; then the rows are asked for once more.
    """
    about, watchword = f"{wanted.partner_id}|{wanted.sort}", asked.watchword
    chosen = _filter(wanted, about, asked)
    views = (status_history.NAME,) if wanted.moment else (*VIEWS, "mail_state")
    # A replica does not know where the log ends.
    last = 0 if watchword.views is watchword.database else watchword.store.last_position()
    with watchword.views.connection() as connection:
        with connection.pipeline():  # the rows are asked for after the position: they are at least as new
            place = ask_how_far(connection, *views)
            page = user_status.ask_page(connection, chosen)
            menu = user_status.ask_organizations(connection, wanted.partner_id, wanted.menu) if wanted.menu else None
        at: Any = place.fetchone()
        rows = page.fetchall()
        organizations = menu.fetchone()["found"] if menu else None  # type: ignore[index]
    position, lag = asked.at(at["position"]), 0
    if position < max(last, at["newest"], least):
        position, lag = come(*views)
        with watchword.views.connection() as connection:
            rows = user_status.page(connection, chosen)
    more = len(rows) > wanted.limit
    following = _cursor(rows[wanted.limit - 1], about, asked) if more else None
    return Listed(rows[: wanted.limit], following, position, lag, organizations)


def _filter(wanted: Wanted, about: str, asked: Asked) -> user_status.Filter:
    return user_status.Filter(
        partner_id=wanted.partner_id,
        mfa_status=wanted.mfa_status,
        organization_id=wanted.organization,
        role=wanted.role,
        words=wanted.q,
        by_address=wanted.sort.endswith("email"),
        descending=wanted.sort.startswith("-"),
        after=_after(wanted.cursor, about, asked),
        limit=wanted.limit + 1,
        as_of=wanted.moment.position if wanted.moment else None,
    )


def _cursor(row: dict[str, Any], about: str, asked: Asked) -> str:
    """Return where the next page begins, sealed so that nobody can make one up."""
    place = json.dumps([row["sort_key"], row["account_id"]], separators=(",", ":"))
    seal = asked.s.keys.digest("cursor", f"{about}|{place}")
    return base64.urlsafe_b64encode(f"{seal}{place}".encode()).decode().rstrip("=")


def _after(cursor: str | None, about: str, asked: Asked) -> tuple[str, str] | None:
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    seal, place = text[:43], text[43:]
    if not hmac.compare_digest(seal.encode(), asked.s.keys.digest("cursor", f"{about}|{place}").encode()):
        raise bad("query", "cursor", "take the next_cursor of the page before, with the same sort")
    key, account_id = json.loads(place)
    return key, account_id
