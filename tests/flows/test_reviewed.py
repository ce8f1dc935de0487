"""What a reviewer once got past: each hole stays mended."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from faststream.exceptions import RejectMessage

from api.intake import Intake
from api.settings import BadSetting, read
from handlers.adapters.postgres.rows import check_row, write_rows
from handlers.policy import SetPolicy
from handlers.ports import AccountEntry, SessionOpened, StillAllowed
from handlers.sessions import State, session_for
from tests.directory import PASSWORD, address
from tests.flows.steps import Mailbox, enrolled, link_in, reason, signed_in
from tests.services import Portal


def test_a_login_does_not_slip_past_signing_everyone_out(portal: Portal) -> None:
    """Between the look at the account and the new session nobody can sign everyone out; the session falls with the others."""
    w, s = portal.watchword, portal.watchword.sockets
    owner = signed_in(portal, "dist-owner")
    account = s.people.account("dist-support")
    assert isinstance(account, AccountEntry)
    body = SetPolicy(enforce_partner_users=True, enforce_organizations=False, sign_everyone_out=True).model_dump()
    answers: list[Any] = []
    policy = threading.Thread(target=lambda: answers.append(owner.put("/partners/dist/mfa-policy", body)))
    caller: Any = SimpleNamespace(session=None, at=s.clock.now())
    row = SessionOpened(b"a hash", session_for(State.SIGNED_IN, account, caller, s), replaces=None)
    with w.database.transaction() as connection:
        check_row(connection, StillAllowed(account.account_id, account.generations))
        policy.start()
        policy.join(0.5)
        write_rows(connection, [row], s.keys)
    policy.join(10)
    assert answers[0].status_code == 200
    assert s.sessions.find(b"a hash", s.clock.now()) is None


def test_an_unlock_link_works_once_and_no_other_link_unlocks(portal: Portal) -> None:
    box, stranger = Mailbox(), portal.browser()
    browser, _ = enrolled(portal, "dist-support")
    browser.post("/me/mfa/reset", {"password": PASSWORD})
    other_link, other_secret = link_in(next(mail for mail in box.deliver(portal) if mail.kind == "reset_requested"))
    stranger.session()
    for _ in range(10):
        stranger.post("/sign-in", {"email": address("dist-support"), "password": "not it"})
    link, secret = link_in(box.deliver(portal)[0])
    wrong_kind = stranger.post(f"/unlock/{other_link}/confirm", {"secret": other_secret})
    assert reason(wrong_kind) == (410, "link_refused")
    assert stranger.post(f"/unlock/{link}/confirm", {"secret": secret}).status_code == 200
    assert reason(stranger.post(f"/unlock/{link}/confirm", {"secret": secret})) == (410, "link_refused")


def test_a_message_that_the_log_does_not_hold_has_no_effect(portal: Portal) -> None:
    """Who can publish can forge no mail: the worker reads the fact again by its position."""
    w = portal.watchword
    before = w.store.last_position()
    for position in (1, before + 7):
        headers = {
            "ce-type": "watchword.user_mfa.reset_requested.v1",
            "ce-subject": "user_mfa:dist-owner",
            "ce-version": "1",
            "ce-time": "2026-03-02T12:00:00+00:00",
            "ce-actor": "account:dist-owner",
            "ce-tenant": "dist",
            "ce-sequence": str(position),
        }
        body = b'{"reset_id": "victims-link", "expires_at": "2030-03-02T13:00:00Z"}'
        message: Any = SimpleNamespace(headers=headers, body=body)
        with pytest.raises(RejectMessage):
            asyncio.run(Intake(w).react_to(message))
    assert w.store.last_position() == before


def test_what_is_typed_in_vain_does_not_reach_the_log(portal: Portal) -> None:
    """An unknown id may be anything; an id or a reason that is a mail address is refused with the remedy."""
    owner = signed_in(portal, "dist-owner")
    owner.post("/accounts/no-such-account/mfa/reset", {})
    owner.get("/partners/no-such-partner/users")
    history = portal.watchword.store.history("attempts:account:dist-owner")
    assert [fact.fact.model_dump(include={"account_id", "partner_id"}) for fact in history] == [
        {"account_id": None, "partner_id": None}
    ] * 2
    by_address = owner.post(f"/accounts/{address('dist-support')}/mfa/reset", {})
    assert (by_address.status_code, by_address.json()["errors"][0]["field"]) == (422, "account_id")
    by_reason = owner.post("/accounts/dist-support/mfa/reset", {"reason": f"asked by {address('dist-support')}"})
    assert (by_reason.status_code, by_reason.json()["errors"][0]["field"]) == (422, "reason")
    assert "for ever" in by_reason.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1.example.com", "http://example.com", "ftp://127.0.0.1", "https://a/b"]
)
def test_plain_http_is_for_loopback_alone(url: str) -> None:
    with pytest.raises(BadSetting, match="PUBLIC_URL"):
        read({"PUBLIC_URL": url}, ask_running=False)
