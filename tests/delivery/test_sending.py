"""Several mails at once, over connections that are kept: what one mail or connection suffers, no other does."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from api import bootstrap
from api.bootstrap import Watchword
from api.sending import Sending
from domain.facts import Enabled, Locked, MailGivenUp, MailOwed, MailSent
from handlers import mailing
from handlers.mailing import LEASE
from handlers.ports import Unavailable
from tests import posting
from tests.delivery.steps import SECONDS, Post, append, append_several, requeue_all, serving
from tests.directory import address

PEOPLE = ("dist-owner", "dist-admin", "dist-support", "dist-super_admin", "dist-admin2")


@dataclass
class Counting(Post):
    """An SMTP server that counts connections, and treats the mails to some people as the test says."""

    by_person: dict[str, list[str]] = field(default_factory=dict)
    connections: set[int] = field(default_factory=set)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        self.connections.add(id(session))
        self.kept.append(session)
        self.answers = self.by_person.get(envelope.rcpt_tos[0], [])
        return await super().handle_DATA(server, session, envelope)

    async def handle_RCPT(  # noqa: N802 aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, to: str, options: list[str]
    ) -> str:
        del server, session, options
        if to == self.unknown:
            return "550 no such box"
        envelope.rcpt_tos.append(to)
        return "250 ok"

    unknown: str = ""
    """Nobody has this address."""
    kept: list[Session] = field(default_factory=list)
    """So that no two sessions have one id."""


def owe(watchword: Watchword, count: int) -> None:
    """Let so many mails be owed, to each of the people in turn."""
    for number in range(count):
        append(watchword, f"user_mfa:{PEOPLE[number % len(PEOPLE)]}", Locked(until=None))
    posting.react_after(watchword, 0)


def send_until(watchword: Watchword, post: Post, holds: Callable[[], bool], *, connections: int = 4) -> None:
    """Send as the worker does, until what is awaited holds."""
    settings = replace(watchword.settings, smtp_url=post.url)

    async def story() -> None:
        ways = [bootstrap.mailer(settings) for _ in range(connections)]
        sending = Sending(watchword, ways, asyncio.Event())
        task = asyncio.create_task(sending.run())
        async with asyncio.timeout(SECONDS):
            while not holds():
                assert not task.done()
                await asyncio.sleep(0.01)
        sending.end()
        await task

    asyncio.run(story())


def states(watchword: Watchword) -> Counter[str]:
    return Counter(row["state"] for row in watchword.database.all("SELECT state FROM mail_queue"))


def told(watchword: Watchword, kind: type) -> int:
    return sum(isinstance(envelope.fact, kind) for envelope in watchword.store.read(0, 10_000))


def tries(watchword: Watchword) -> Counter[int]:
    return Counter(row["tries"] for row in watchword.database.all("SELECT tries FROM mail_queue WHERE state = 'sent'"))


def copies(post: Post) -> Counter[str]:
    return Counter(str(mail["Message-ID"]) for mail in post.mails)


def test_many_mails_go_over_few_connections_each_once(watchword: Watchword) -> None:
    owe(watchword, 50)
    with serving(Counting()) as post:
        assert isinstance(post, Counting)
        send_until(watchword, post, lambda: states(watchword)["sent"] == 50)
        assert len(post.connections) == 4
    assert set(copies(post).values()) == {1}
    assert (len(post.taken), told(watchword, MailSent)) == (50, 50)


def test_a_refused_and_a_delayed_mail_hurt_no_other(watchword: Watchword) -> None:
    owe(watchword, 20)
    refused, delayed = address(PEOPLE[0]), address(PEOPLE[1])
    by_person = {refused: ["550 no"] * 9, delayed: ["451 later"] * 9}
    with serving(Counting(by_person=by_person, unknown=address(PEOPLE[4]))) as post:
        send_until(
            watchword, post, lambda: states(watchword) == {"sent": 8, "dead": 8, "pending": 4} and _tried(4, watchword)
        )
    assert len(post.taken) == 8
    assert (told(watchword, MailSent), told(watchword, MailGivenUp)) == (8, 8)


def _tried(count: int, watchword: Watchword) -> bool:
    row = watchword.database.one("SELECT count(*) AS tried FROM mail_queue WHERE state = 'pending' AND tries = 1")
    return row == {"tried": count}


@pytest.mark.parametrize("connections", [1, 4])
def test_a_connection_that_breaks_in_the_middle_of_several_is_replaced(watchword: Watchword, connections: int) -> None:
    """The server takes a mail, and is gone before it says so: that one mail may come twice, under one Message-ID."""
    owe(watchword, 20)
    with serving(Counting(by_person={address(PEOPLE[3]): ["250 ok", "lost"]})) as post:
        assert isinstance(post, Counting)
        send_until(watchword, post, lambda: states(watchword)["sent"] == 20, connections=connections)
        assert len(post.connections) == connections + 1
    assert sorted(copies(post).values()) == [1] * 19 + [2]
    assert len(set(post.taken)) == 20
    assert tries(watchword) == {1: 20}


def test_a_server_that_says_it_is_closing_gets_the_mail_on_a_new_connection(watchword: Watchword) -> None:
    owe(watchword, 5)
    with serving(Counting(by_person={address(PEOPLE[2]): ["421 too many mails on one connection"]})) as post:
        assert isinstance(post, Counting)
        send_until(watchword, post, lambda: states(watchword)["sent"] == 5, connections=1)
        assert len(post.connections) == 2
    assert sorted(copies(post).values()) == [1] * 5
    assert tries(watchword) == {1: 5}


def test_what_one_worker_settled_before_keeps_no_other_mail_from_being_settled(watchword: Watchword) -> None:
    """A mail that was put back has a longer story, and one that another worker settled is over; both among others."""
    owe(watchword, 4)
    again, twice, *_ = mailing.take(watchword.sockets, watchword.queue, 4)
    for each in (again, twice):
        mailing.settle(
            [mailing.Tried(each.queued, MailGivenUp(tries=1, error="x"))], watchword.sockets, watchword.queue
        )
    requeue_all(watchword, [again.queued])
    watchword.queue.give_back([each.queued.mail_id for each in _], watchword.sockets.clock.now())
    rest = mailing.take(watchword.sockets, watchword.queue, 4)
    assert [each.queued.mail_id for each in rest] == [again.queued.mail_id, *(each.queued.mail_id for each in _)]
    tried = [mailing.Tried(each.queued, MailSent(tries=1)) for each in (twice, *rest)]
    mailing.settle(tried, watchword.sockets, watchword.queue)
    assert states(watchword) == {"sent": 3, "dead": 1}
    assert (told(watchword, MailSent), told(watchword, MailGivenUp)) == (3, 2)


def test_messages_of_one_batch_of_which_some_had_their_effect_owe_each_mail_once(watchword: Watchword) -> None:
    facts = [Locked(until=None)] * 6
    last = append_several(watchword, "user_mfa:dist-owner", facts)
    batch = watchword.store.read(last - 6, 6)
    assert posting.react(watchword, [batch[1], batch[4], batch[4]]) == 2
    assert posting.react(watchword, batch) == 4
    assert posting.react(watchword, batch) == 0
    owed = [each for each in watchword.store.read(0, 10_000) if isinstance(each.fact, MailOwed)]
    causes = {each.position: each.correlation_id for each in batch}
    assert {each.fact.because: each.correlation_id for each in owed} == causes  # type: ignore[attr-defined]
    assert len(owed) == 6


def test_a_message_that_another_worker_takes_meanwhile_leaves_the_rest_of_the_batch(
    watchword: Watchword, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what was processed and the commit: the batch is a Conflict, and each by itself is not."""
    last = append_several(watchword, "user_mfa:dist-owner", [Locked(until=None), Enabled(), Locked(until=None)])
    batch, look = watchword.store.read(last - 3, 3), watchword.queue.processed

    def overtaken(consumer: str, message_ids: list[str]) -> set[str]:
        seen = look(consumer, message_ids)
        monkeypatch.undo()
        assert posting.react(watchword, [batch[0]]) == 1
        return seen

    monkeypatch.setattr(type(watchword.queue), "processed", lambda _, *asked: overtaken(*asked))
    assert posting.react(watchword, batch) == 1
    assert states(watchword) == {"pending": 2}


def test_a_worker_that_ends_gives_back_what_it_did_not_send(watchword: Watchword) -> None:
    owe(watchword, 30)
    with serving(Slow()) as post:
        send_until(watchword, post, lambda: len(post.taken) >= 2, connections=2)
    assert states(watchword)["sent"] == len(post.taken) < 30
    due = watchword.queue.due(watchword.sockets.clock.now(), LEASE, 100)
    assert len(due) == states(watchword)["pending"] == 30 - len(post.taken)


@dataclass
class Slow(Post):
    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        await asyncio.sleep(0.1)
        return await super().handle_DATA(server, session, envelope)


def test_what_was_sent_while_the_database_was_away_is_settled_when_it_is_back(
    watchword: Watchword, monkeypatch: pytest.MonkeyPatch
) -> None:
    owe(watchword, 3)
    settle, away = mailing.settle, [True, True]

    def settle_later(*given: object) -> None:
        if away:
            away.pop()
            raise Unavailable
        settle(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(mailing, "settle", settle_later)
    monkeypatch.setattr("api.sending._AWAY_SECONDS", 0.01)
    with serving(Post()) as post:
        send_until(watchword, post, lambda: states(watchword)["sent"] == 3)
    assert sorted(copies(post).values()) == [1, 1, 1]
