"""X20, X21: positions that were drawn in vain, and a mail whose facts cannot be read, hold up no other work."""

import asyncio
from dataclasses import replace

import psycopg
import pytest

from api import bootstrap
from api.bootstrap import Watchword
from domain.facts import Enabled, MailSent
from handlers import mailing
from projections.views import VIEWS
from tests.delivery.steps import (
    Post,
    append,
    ask_reset,
    connected,
    in_the_log,
    messages,
    positions,
    publish_all,
    react,
    relay_for,
    serving,
    until,
)
from tests.posting import send_due

_UNKNOWN = """
    INSERT INTO stored_events (originator_id, originator_version, topic, state)
    SELECT originator_id, originator_version + 1, 'mail.snoozed.v1', state FROM stored_events
    WHERE originator_id = %s ORDER BY originator_version DESC LIMIT 1"""


def _owner(watchword: Watchword) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(watchword.settings.need("admin_database_url"), autocommit=True)


async def _send_all(watchword: Watchword, post: Post) -> None:
    mailer = bootstrap.mailer(replace(watchword.settings, smtp_url=post.url))
    try:
        await send_due(watchword, mailer)
    finally:
        await mailer.close()


def _sent(watchword: Watchword, mail_id: str) -> int:
    return sum(isinstance(each.fact, MailSent) for each in watchword.store.history(f"mail:{mail_id}"))


@pytest.mark.parametrize("first", [True, False])
def test_x21_a_mail_whose_stream_cannot_be_read_holds_up_no_other_mail(watchword: Watchword, *, first: bool) -> None:
    for account in ("dist-owner", "dist-admin", "dist-support"):
        react(watchword, ask_reset(watchword, account, minutes=60))
    due = mailing.take(watchword.sockets, watchword.queue, 10)
    mail_ids = [each.queued.mail_id for each in due]
    watchword.queue.give_back(mail_ids, watchword.sockets.clock.now())
    parked = mail_ids[0 if first else -1]
    with _owner(watchword) as owner:
        owner.execute(_UNKNOWN, (f"mail:{parked}",))
    with serving(Post()) as post:
        asyncio.run(_send_all(watchword, post))
    others = [each for each in mail_ids if each != parked]
    assert [_sent(watchword, each) for each in others] == [1, 1]
    assert _sent(watchword, parked) == 0, "nothing is decided on a stream that cannot be read"
    row = watchword.database.one("SELECT state, last_error, next_try FROM mail_queue WHERE mail_id = %s", (parked,))
    assert row is not None
    assert (row["state"], row["last_error"]) == ("pending", "stream_unreadable")
    assert row["next_try"] > watchword.sockets.clock.now() + mailing.DELAYS[-1], "it is not sent again and again"


@pytest.mark.parametrize("gap", [999, 1_001, 1_000_000])
def test_x20_views_ledger_and_relay_read_on_after_a_gap_at_the_end_and_in_the_middle(
    watchword: Watchword, nats_url: str, gap: int
) -> None:
    projector, ledger = bootstrap.projector(watchword), bootstrap.ledger(watchword)

    def draw_in_vain() -> None:
        with _owner(watchword) as owner:
            owner.execute("SELECT setval(pg_get_serial_sequence('stored_events', 'notification_id'), last_value + %s)"
                          " FROM stored_events_notification_id_seq", (gap,))  # fmt: skip

    def stands(end: int) -> bool:
        projector.step()
        ledger.extend()
        return ledger.tree.tip()[1] == end and {projector.position(name) for name in VIEWS} == {end}

    async def story() -> None:
        async with connected(watchword, nats_url) as (client, broker):
            relay = relay_for(watchword, broker)
            for account in ("dist-owner", "dist-admin", "dist-support"):
                fact = append(watchword, f"user_mfa:{account}", Enabled())
                until(lambda end=fact.position: stands(end))  # type: ignore[misc]
                await publish_all(relay, watchword)
                draw_in_vain()
                assert stands(fact.position), "a gap at the end is no fact"
            assert positions(await messages(client)) == in_the_log(watchword)

    try:
        asyncio.run(story())
    finally:
        projector.close()
