"""What most requests take: a short way to their door, and the facts of a code together with its sign-in."""

import re
from dataclasses import replace
from functools import partial

import pytest
from starlette.routing import Match
from starlette.types import Scope

from api.routes import Door, ShortWay
from api.web import create_app
from handlers.callers import Caller, mfa_of
from handlers.sessions import CodeNotAccepted, State, token_hash
from handlers.sign_in import EnterCode, enter_code
from tests.directory import PASSWORD, address
from tests.flows.steps import enrolled, next_code, wrong_code
from tests.portal import Browser
from tests.services import Portal


def test_the_short_way_leads_to_the_door_that_the_framework_would_find(portal: Portal) -> None:
    app = create_app(portal.watchword)
    short, seen = ShortWay(app, app, hashing=1), 0
    for door in (each for each in app.routes if isinstance(each, Door)):
        for method in door.methods or ():
            path = re.sub(r"\{[^}]+\}", "a b", door.path)
            scope: Scope = {"type": "http", "method": method, "path": path, "headers": []}
            first = next(each for each in app.routes if each.matches(dict(scope))[0] is Match.FULL)
            expected = first.matches(dict(scope))[1]["path_params"]
            assert (short.door(scope), scope["path_params"]) == (first, expected), (method, path)
            seen += 1
    assert seen > 50
    for method, path in (("GET", "/none"), ("HEAD", "/api/v1/session"), ("PUT", "/sign-in"), ("GET", "/sign-in/")):
        assert short.door({"type": "http", "method": method, "path": path}) is None


def waiting(portal: Portal, browser: Browser) -> Caller:
    """Return who asks in a browser whose sign-in waits for its code."""
    s = portal.watchword.sockets
    browser.sign_in(address("dist-admin"), PASSWORD)
    hashed = token_hash(browser.http.cookies["watchword"], s)
    found = s.sessions.find(hashed, s.clock.now())
    assert found is not None
    caller = Caller(s.clock.now(), s.chance.new_id(), "127.0.0.1", token_hash=hashed, session=found.session)
    return replace(caller, account=found.account, ahead=found.ahead)


def test_a_sign_in_that_waits_for_its_code_is_read_with_what_the_code_is_judged_by(portal: Portal) -> None:
    s = portal.watchword.sockets
    browser, _ = enrolled(portal, "dist-admin")
    signed_in = s.sessions.find(token_hash(browser.http.cookies["watchword"], s), s.clock.now())
    assert signed_in is not None
    assert signed_in.ahead is None, "no code is waited for"
    caller = waiting(portal, portal.browser())
    assert caller.ahead is not None
    state, version = mfa_of("dist-admin", s)
    assert mfa_of("dist-admin", s, caller.ahead) == (state, version)
    assert state.secret_ref is not None
    opened = partial(s.vault.open, tenant="dist", account_id="dist-admin", secret_ref=state.secret_ref)
    assert opened(ahead=caller.ahead) == opened()


def test_what_was_read_ahead_counts_once(portal: Portal) -> None:
    """A wrong code comes in between: the next one is judged by a history that holds it."""
    s = portal.watchword.sockets
    _, key = enrolled(portal, "dist-admin")
    caller = waiting(portal, portal.browser())
    wrong = EnterCode(code=wrong_code(portal, key))
    for _ in range(3):
        with pytest.raises(CodeNotAccepted):
            enter_code(wrong, replace(caller, command_id=s.chance.new_id()), s)
    caller = replace(caller, at=s.clock.now(), command_id=s.chance.new_id())
    assert mfa_of("dist-admin", s)[0].guesses.net == 3
    code = next_code(portal, key)
    progress = enter_code(EnterCode(code=code), replace(caller, at=s.clock.now()), s)
    assert progress.session is not None
    assert progress.session.state == State.SIGNED_IN
    assert mfa_of("dist-admin", s)[0].guesses.net == 2
