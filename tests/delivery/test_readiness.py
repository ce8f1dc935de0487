"""X90: readiness names a relay that stands still and mail that is not sent, and neither an idle relay nor a busy one."""

import asyncio
from datetime import timedelta

import pytest

from api import readiness
from api.bootstrap import Watchword
from domain.facts import Enabled
from handlers import mailing
from handlers.ports import Postponed
from tests.delivery.steps import Post, append, ask_reset, react, send
from tests.delivery.test_sending import send_until
from tests.services import SetClock


def _unfit(watchword: Watchword, name: str) -> str:
    return asyncio.run(readiness.unfit(watchword)).get(name, "")


def _pass(watchword: Watchword, **span: float) -> None:
    """Let time pass for this deployment: its clock, and the moment of the last look at the relay."""
    clock = watchword.sockets.clock
    assert isinstance(clock, SetClock)
    clock.ahead += timedelta(**span)
    for key, (position, at) in readiness._RELAY_AT.items():
        readiness._RELAY_AT[key] = (position, at - timedelta(**span).total_seconds())


@pytest.fixture
def relayed(watchword: Watchword) -> Watchword:
    watchword.relay_position.set(watchword.store.last_position())
    return watchword


def test_x90_an_idle_relay_that_is_seldom_looked_at_is_ready_when_a_fact_was_just_stored(relayed: Watchword) -> None:
    assert _unfit(relayed, "relay") == ""
    _pass(relayed, hours=1)
    append(relayed, "user_mfa:dist-owner", Enabled())
    assert _unfit(relayed, "relay") == ""


def test_x90_a_relay_that_stands_still_is_named_and_one_that_moves_is_not(relayed: Watchword) -> None:
    first, second = (append(relayed, f"user_mfa:{each}", Enabled()) for each in ("dist-owner", "dist-admin"))
    assert _unfit(relayed, "relay") == "", "nobody knows yet whether it moves"
    _pass(relayed, seconds=readiness.BEHIND_SECONDS + 1)
    assert "stands still" in _unfit(relayed, "relay")
    relayed.relay_position.set(first.position)
    assert _unfit(relayed, "relay") == "", "it is behind, and busy"
    relayed.relay_position.set(second.position)
    assert _unfit(relayed, "relay") == ""


def test_x90_mail_that_nobody_takes_or_that_the_server_refuses_is_named(watchword: Watchword) -> None:
    assert react(watchword, ask_reset(watchword, "dist-owner", minutes=600)) == 1
    assert _unfit(watchword, "mail") == ""
    _pass(watchword, minutes=6)
    assert "no worker takes them" in _unfit(watchword, "mail")
    assert send(watchword, Post()) == "postponed"
    assert "the mail server takes none" in _unfit(watchword, "mail")


def test_x21_a_mail_that_is_put_aside_blames_no_mail_server(watchword: Watchword) -> None:
    react(watchword, ask_reset(watchword, "dist-owner", minutes=600))
    now = watchword.sockets.clock.now()
    (taken,) = mailing.take(watchword.sockets, watchword.queue, 1)
    aside = Postponed(taken.queued.mail_id, 1, now + mailing.PARKED, mailing.UNREADABLE)
    watchword.queue.postpone([aside], now)
    _pass(watchword, minutes=6)
    assert _unfit(watchword, "mail") == ""


def test_x90_the_worker_warns_of_a_mail_server_that_is_down_once_and_names_nobody(
    watchword: Watchword, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = ("dist-owner", "dist-admin", "dist-support")
    for account in accounts:
        react(watchword, ask_reset(watchword, account, minutes=600))
    nobody = Post()

    def postponed() -> bool:
        row = watchword.database.one("SELECT count(*) AS mails FROM mail_queue WHERE tries > 0")
        return row is not None and row["mails"] == len(accounts)

    with caplog.at_level("WARNING", "watchword.worker"):
        send_until(watchword, nobody, postponed, connections=1)
    (said,) = [each.getMessage() for each in caplog.records if each.name == "watchword.worker"]
    assert "SMTPConnectError" in said
    assert "@" not in said
    assert str(nobody.port) not in said
    assert not any(account in said for account in accounts)
