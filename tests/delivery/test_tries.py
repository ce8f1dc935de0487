"""The tries at one mail: taken, put off, refused, or nobody knows; and what is kept about it."""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from api.bootstrap import Watchword
from domain.facts import MailGivenUp, MailOwed, MailRequeued, MailSent
from domain.kernel import Fact
from handlers.mailing import DELAYS, LEASE
from tests.contract.plugs import at_once
from tests.delivery.steps import Post, ask_reset, react, requeue_all, send, serving
from tests.directory import address
from tests.services import SetClock

_JITTER = 0.11
"""A try comes a tenth sooner or later than the schedule says; a little more is allowed for the time that passes."""


def owe(watchword: Watchword, account_id: str = "dist-owner", *, minutes: float = 60) -> None:
    assert react(watchword, ask_reset(watchword, account_id, minutes=minutes)) == 1


def story_of_the_mail(watchword: Watchword) -> list[Fact]:
    row = watchword.database.one("SELECT mail_id FROM mail_queue")
    assert row is not None
    return [envelope.fact for envelope in watchword.store.history(f"mail:{row['mail_id']}")]


def queued(watchword: Watchword) -> tuple[str, int, str, datetime]:
    row = watchword.database.one("SELECT state, tries, last_error, next_try FROM mail_queue")
    assert row is not None
    return row["state"], row["tries"], row["last_error"], row["next_try"]


def clock_of(watchword: Watchword) -> SetClock:
    clock = watchword.sockets.clock
    assert isinstance(clock, SetClock)
    return clock


def test_a_mail_that_is_taken_is_a_fact_and_is_not_sent_again(watchword: Watchword) -> None:
    owe(watchword)
    with serving(Post()) as post:
        assert [send(watchword, post) for _ in range(3)] == ["sent", None, None]
    owed, sent = story_of_the_mail(watchword)
    assert isinstance(owed, MailOwed)
    assert sent == MailSent(tries=1)
    assert queued(watchword)[:3] == ("sent", 1, "")
    (mail,) = post.mails
    assert (mail["To"], mail["Watchword-Kind"]) == (address("dist-owner"), "reset_requested")
    owed_at = watchword.store.read(owed.because - 1, 1)[0].at
    assert parsedate_to_datetime(mail["Date"]) == owed_at.replace(microsecond=0)


def test_a_mail_that_is_put_off_waits_by_the_schedule_and_is_the_same_to_the_byte(watchword: Watchword) -> None:
    owe(watchword)
    clock = clock_of(watchword)
    with serving(Post(["lost", "451 greylisted", "421 closing"])) as post:
        for tries, delay in enumerate(DELAYS[:3], start=1):
            before = clock.now()
            assert send(watchword, post) == "postponed"
            state, counted, _, next_try = queued(watchword)
            assert (state, counted) == ("pending", tries)
            assert abs(next_try - before - delay) <= delay * _JITTER + timedelta(seconds=2)
            assert send(watchword, post) is None, "not before its time"
            clock.ahead += next_try - clock.now()
        assert send(watchword, post) == "sent"
    first, last = post.taken
    assert first == last
    assert story_of_the_mail(watchword)[1:] == [MailSent(tries=4)]


def test_a_server_that_is_down_puts_the_mail_off(watchword: Watchword) -> None:
    owe(watchword)
    assert send(watchword, Post()) == "postponed"
    assert queued(watchword)[:3] == ("pending", 1, "SMTPConnectError")


def test_a_mail_that_is_refused_is_given_up_at_once_and_may_be_sent_again(watchword: Watchword) -> None:
    owe(watchword)
    with serving(Post(["550 5.1.1 dist-owner@mail.example unknown"])) as post:
        assert [send(watchword, post) for _ in range(2)] == ["given_up", None]
        (dead,) = watchword.queue.dead()
        assert dead.account_id == "dist-owner"
        assert queued(watchword)[:3] == ("dead", 1, "SMTPDataError 550")
        requeue_all(watchword)
        assert watchword.queue.dead() == []
        assert [send(watchword, post) for _ in range(2)] == ["sent", None]
    refused = MailGivenUp(tries=1, error="SMTPDataError 550")
    assert story_of_the_mail(watchword)[1:] == [refused, MailRequeued(), MailSent(tries=1)]


def test_a_mail_that_was_not_given_up_is_not_put_back(watchword: Watchword) -> None:
    owe(watchword)
    with serving(Post(["554 no"])) as post:
        assert send(watchword, post) == "given_up"
        (dead,) = watchword.queue.dead()
        requeue_all(watchword)
        requeue_all(watchword, [dead])
        assert [send(watchword, post) for _ in range(2)] == ["sent", None]
        requeue_all(watchword, [dead])
        assert send(watchword, post) is None
    assert len(post.taken) == 1


def test_when_the_reply_is_lost_there_are_two_copies_with_one_message_id(watchword: Watchword) -> None:
    owe(watchword)
    with serving(Post(["lost"])) as post:
        assert send(watchword, post) == "postponed"
        clock_of(watchword).advance(seconds=12)
        assert send(watchword, post) == "sent"
    assert len(post.taken) == 2
    assert len(set(post.taken)) == len({mail["Message-ID"] for mail in post.mails}) == 1


def test_a_mail_whose_schedule_is_used_up_is_given_up(watchword: Watchword) -> None:
    owe(watchword, minutes=24 * 60)
    with serving(Post(["451 later"] * 9)) as post:
        outcomes = []
        while (outcome := send(watchword, post)) is not None:
            outcomes.append(outcome)
            clock_of(watchword).advance(hours=2.25)
    assert outcomes == ["postponed"] * len(DELAYS) + ["given_up"]
    tries = len(DELAYS) + 1
    assert queued(watchword)[:3] == ("dead", tries, "SMTPDataError 451")
    assert story_of_the_mail(watchword)[1:] == [MailGivenUp(tries=tries, error="SMTPDataError 451")]


def test_a_link_that_has_expired_is_not_sent(watchword: Watchword) -> None:
    owe(watchword, minutes=60)
    with serving(Post(["451 later"])) as post:
        assert send(watchword, post) == "postponed"
        clock_of(watchword).advance(minutes=60)
        assert send(watchword, post) == "given_up"
    assert story_of_the_mail(watchword)[1:] == [MailGivenUp(tries=2, error="link_expired")]
    assert post.taken == []


def test_a_worker_that_died_while_it_sent_leaves_the_mail_to_another(watchword: Watchword) -> None:
    """The lease holds the mail for as long as the dead worker might still send; then it goes out, the same to the byte."""
    owe(watchword)
    clock = clock_of(watchword)
    assert len(watchword.queue.due(clock.now(), LEASE, 5)) == 1
    with serving(Post()) as post:
        assert send(watchword, post) is None
        clock.ahead += LEASE
        assert send(watchword, post) == "sent"
    assert len(post.taken) == 1


def test_a_due_mail_goes_to_one_of_many_workers(watchword: Watchword) -> None:
    owe(watchword)
    owe(watchword, "dist-admin")
    now = clock_of(watchword).now()
    taken = at_once(8, lambda _: watchword.queue.due(now, LEASE, 1))
    assert sorted(mail.account_id for mails in taken for mail in mails) == ["dist-admin", "dist-owner"]


@pytest.mark.parametrize("unusable", ["dist..owner@mail.example", ".owner@mail.example", "owner@mail..example"])
def test_an_address_that_no_mail_can_carry_is_given_up_and_holds_nobody_else_up(
    watchword: Watchword, unusable: str
) -> None:
    """The first two pass the door, as they pass the HTML standard's check of addresses."""
    watchword.database.run("UPDATE person SET mail_address = %s WHERE account_id = 'dist-owner'", (unusable,))
    owe(watchword)
    owe(watchword, "dist-admin")
    with serving(Post()) as post:
        assert [send(watchword, post) for _ in range(3)] == ["given_up", "sent", None]
    assert [mail.account_id for mail in watchword.queue.dead()] == ["dist-owner"]
    assert unusable not in repr(watchword.database.all("SELECT last_error FROM mail_queue"))
