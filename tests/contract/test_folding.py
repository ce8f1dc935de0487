"""What the views hold depends on the facts alone: not on the pages they came in, on a kill, or on a rebuild meanwhile."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import bootstrap
from domain import facts as f
from domain.kernel import Envelope
from handlers.ports import Change
from projections import rebuilding, tables
from projections.runner import Projector
from projections.views import VIEWS, position
from tests.contract.pasts import Past, Writer, envelopes
from tests.contract.plugs import origin
from tests.servers import Servers
from tests.services import settings_for

FACTS = 300
MAILS = 40
FOLLOWER = """
import sys, threading
from handlers.adapters.postgres.event_store import PostgresEventStore
from projections.runner import Projector
url = sys.argv[1]
Projector(url, PostgresEventStore(url, pool_size=2).read).follow(url, threading.Event())
"""


@pytest.fixture(scope="module")
def past(servers: Servers, empty_template: str) -> Iterator[Past]:
    """A history by chance that nobody has followed, with mails in it."""
    with servers.lent(empty_template) as database:
        watchword = bootstrap.build(settings_for(servers.folder, database))
        writer = Writer(watchword.store, random.Random(5))
        writer.begin()
        mails: dict[str, str] = {}
        while writer.written < FACTS:
            writer.step()
            if writer.chance.random() < 0.3:
                write_mail(writer, mails)
        with watchword.database.connection() as connection:
            yield Past(database.app_url, watchword.store, envelopes(watchword.store), connection, random.Random(0))
        watchword.close()


def write_mail(writer: Writer, mails: dict[str, str]) -> None:
    """Owe a mail, or let something become of one that is owed. ``mails``: the partner of each."""
    account, chance = writer.chance.choice(sorted(writer.places)), writer.chance
    if not mails or (len(mails) < MAILS and chance.random() < 0.5):
        mail, partner = f"mail:m-{len(mails)}", writer.places[account]
        mails[mail] = partner
        writer.add(mail, f.MailOwed(kind=f.MailKind.MFA_RESET, account_id=account, because=writer.written), partner)
    else:
        became = (f.MailSent(tries=1), f.MailGivenUp(tries=9, error="Timeout"), f.MailRequeued())
        mail, partner = chance.choice(sorted(mails.items()))
        writer.add(mail, chance.choice(became), partner)


def folded(past: Past, pages: Sequence[Sequence[Envelope]]) -> dict[str, list[Any]]:
    """Return the rows of all views after these pages, each written by itself."""
    found = {}
    with psycopg.connect(past.url, autocommit=True) as connection:
        for view in VIEWS.values():
            rebuilding.shadow(connection, view)
            for page in pages:
                fold = view.Fold(connection)
                for half in (page[: len(page) // 2], page[len(page) // 2 :]):
                    fold.add(half)
                with connection.transaction():
                    fold.write()
            for table in view.TABLES:
                found[table] = connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall()  # noqa: S608 our own names
    return found


@pytest.fixture(scope="module")
def one_by_one(past: Past) -> dict[str, list[Any]]:
    return folded(past, [[each] for each in past.log])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lengths=st.lists(st.integers(5, 150), min_size=1), few=st.sampled_from([0, 3, 20, 1000]))
def test_the_same_facts_in_any_pages_give_the_same_rows(
    past: Past, one_by_one: dict[str, list[Any]], lengths: list[int], few: int
) -> None:
    pages: list[list[Envelope]] = []
    rest = past.log
    while rest:
        length = lengths[len(pages) % len(lengths)]
        pages, rest = [*pages, rest[:length]], rest[length:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "FEW", few)
        found = folded(past, pages)
    assert all(found.values()), "every table has rows"
    assert found == one_by_one


@pytest.mark.parametrize("table", ["user_status", "status_interval", "audit_entry"])
def test_a_projector_that_is_killed_while_it_writes_loses_nothing_and_repeats_nothing(past: Past, table: str) -> None:
    forget(past)
    with psycopg.connect(past.url) as holding:
        holding.execute(f"LOCK TABLE {table} IN SHARE MODE")
        with subprocess.Popen([sys.executable, "-c", FOLLOWER, past.url]) as follower:
            until(lambda: waits_for(past, table))
            follower.kill()
    assert min(positions(past).values()) < past.log[-1].position, "it was killed before it was done"
    follow(past)
    assert differing(past) == []


def test_a_view_is_rebuilt_while_it_is_read_and_followed_and_is_never_seen_empty(past: Past) -> None:
    follow(past)
    stop, seen = threading.Event(), []
    projector = Projector(past.url, past.store.read)
    following = threading.Thread(target=projector.follow, args=(past.url, stop))

    def look() -> None:
        with psycopg.connect(past.url, autocommit=True) as connection:
            while not stop.is_set():
                seen.append(connection.execute("SELECT count(*) FROM user_status").fetchone())

    looking = threading.Thread(target=look)
    following.start()
    looking.start()
    try:
        past.connection.execute("UPDATE user_status SET factor = 'none', role = 'owner'")
        for number in range(30):
            write_more(past, number)
            name = list(VIEWS)[number % len(VIEWS)]
            assert rebuilding.rebuild(past.url, past.store.read, name) > 0
        until(lambda: set(positions(past).values()) == {past.store.last_position()})
    finally:
        stop.set()
        following.join()
        looking.join()
        projector.close()
    assert differing(past) == []
    assert set(seen) == {(len(past.accounts),)}


def write_more(past: Past, number: int) -> None:
    """Let somebody be disabled or restored, and so change what three of the views say."""
    account, partner = past.chance.choice(sorted(past.accounts.items()))
    stream = f"account:{account}"
    kind = past.chance.choice([f.AccountDisabled, f.AccountRestored])
    change = Change(stream, len(past.store.history(stream)), [kind()], partner)
    past.store.append(change, origin=origin(f"more-{number}"))


def forget(past: Past) -> None:
    """Forget every view, as if none had ever been folded."""
    for table in ("notification_tracking", *(table for view in VIEWS.values() for table in view.TABLES)):
        past.connection.execute(f"DELETE FROM {table}")  # noqa: S608 our own names


def follow(past: Past) -> None:
    projector = Projector(past.url, past.store.read)
    until(lambda: projector.step() == 0 and set(positions(past).values()) == {past.store.last_position()})
    projector.close()


def differing(past: Past) -> list[rebuilding.Compared]:
    found = [rebuilding.verify(past.url, past.store.read, name) for name in VIEWS]
    return [each for each in found if not each.equal]


def positions(past: Past) -> dict[str, int]:
    return {
        name: position(lambda query, values: past.connection.execute(query, values).fetchone(), name) for name in VIEWS
    }


def waits_for(past: Past, table: str) -> bool:
    query = "SELECT FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
    return past.connection.execute(query, (table,)).fetchone() is not None


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_what_cannot_be_read_yet_is_waited_for_and_what_never_comes_is_an_error(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may hold back what the live view has folded; a rebuild without it would take rows away."""
    follow(past)
    begun = time.monotonic()

    def late(after: int, limit: int) -> Sequence[Envelope]:
        found = past.store.read(after, min(limit, 100))
        return found if time.monotonic() > begun + 1 else [each for each in found if each.position <= 150]

    assert rebuilding.verify(past.url, late, "user_status").equal
    monkeypatch.setattr(rebuilding, "RETRY_SECONDS", 0.1)
    with pytest.raises(TimeoutError, match="the log ends at 150"):
        rebuilding.verify(
            past.url, lambda after, _: past.store.read(after, 150 - after) if after < 150 else [], "audit_trail"
        )
