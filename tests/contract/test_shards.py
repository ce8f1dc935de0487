"""Several projectors share the views by shards of tenants: the rows are one projector's, whoever comes, goes or is killed."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest

from api import bootstrap
from domain.kernel import Envelope
from handlers.adapters.postgres import migrate
from projections import rebuilding, shares
from projections.runner import Projector
from projections.views import SHARDS, UNDIVIDED, VIEWS, of_shards, parts, position, shard_of, wait_for
from tests.contract.pasts import Past, Writer, envelopes
from tests.contract.test_folding import (
    FOLLOWER,
    differing,
    folded,
    follow,
    forget,
    positions,
    until,
    waits_for,
    write_mail,
)
from tests.servers import Servers
from tests.services import settings_for

PARTNERS = tuple(f"p-{number}" for number in range(24))
ORGANIZATIONS = {f"o-{number}": partner for number, partner in enumerate(PARTNERS)}
FACTS = 400
MORE = 200
"""Facts that are written while projectors are at work."""
TAKEN_OVER_SECONDS = 1.5
"""Two looks of the others, 0.5 s apart, and the machine's own slowness."""


@pytest.fixture(scope="module")
def written(servers: Servers, empty_template: str) -> Iterator[tuple[Past, Writer, str]]:
    """A history by chance of many partners, who writes it, and the address of the owner of its tables."""
    with servers.lent(empty_template) as database:
        watchword = bootstrap.build(settings_for(servers.folder, database))
        writer = Writer(watchword.store, random.Random(11), PARTNERS, ORGANIZATIONS, accounts=60)
        writer.begin()
        mails: dict[str, str] = {}
        while writer.written < FACTS:
            writer.step()
            if writer.chance.random() < 0.2:
                write_mail(writer, mails)
        with watchword.database.connection() as connection:
            past = Past(database.app_url, watchword.store, envelopes(watchword.store), connection, random.Random(0))
            yield past, writer, database.owner_url
        watchword.close()


@pytest.fixture
def past(written: tuple[Past, Writer, str]) -> Past:
    forget(written[0])
    return written[0]


@pytest.fixture
def writer(written: tuple[Past, Writer, str]) -> Writer:
    return written[1]


@contextmanager
def followers(past: Past, number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many projectors, each a process, once each has its share."""
    running = [subprocess.Popen([sys.executable, "-c", FOLLOWER, past.url]) for _ in range(number)]
    try:
        until(lambda: sorted(held(past).values()) == [SHARDS // number] * number)
        yield running
    finally:
        for each in running:
            each.kill()
            each.wait()
        until(lambda: not held(past))


def held(past: Past) -> Counter[int]:
    """Return how many shards each session holds."""
    query = """
        SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = hashtext('shard')::oid
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    return Counter(row["pid"] for row in past.connection.execute(query).fetchall())


def caught_up(past: Past) -> bool:
    return set(positions(past).values()) == {past.store.last_position()}


def test_a_tenant_has_one_shard_for_ever_and_tenants_are_spread() -> None:
    assert [shard_of(each) for each in ("dist", "p-1", "p-2", "ä")] == [7, 7, 5, 3]
    assert {shard_of(each) for each in PARTNERS} == set(range(SHARDS))


def test_of_a_view_that_is_divided_a_tenants_facts_touch_no_row_of_another_shard(past: Past) -> None:
    shuffled = random.Random(3).sample(range(SHARDS), SHARDS)
    log: Sequence[Envelope] = envelopes(past.store)
    whole, by_shard = folded(past, [log]), folded(past, [of_shards(log, {shard}) for shard in shuffled])
    differ = {view for view, module in VIEWS.items() if any(whole[table] != by_shard[table] for table in module.TABLES)}
    assert all(whole.values())
    assert differ == UNDIVIDED


@pytest.mark.parametrize("number", [1, 2, 4])
def test_several_projectors_at_once_leave_the_rows_that_one_leaves(past: Past, writer: Writer, number: int) -> None:
    with followers(past, number):
        end = writer.written + MORE
        while writer.written < end:
            writer.step()
        until(lambda: caught_up(past))
        assert sorted(held(past).values()) == [SHARDS // number] * number
    assert differing(past) == []


@pytest.mark.parametrize("table", ["user_status", "adoption", "audit_entry"])
def test_the_shards_of_one_that_is_killed_while_it_writes_are_taken_over_within_a_second(
    past: Past, writer: Writer, table: str
) -> None:
    with followers(past, 2) as running, psycopg.connect(past.url) as holding:
        until(lambda: caught_up(past))
        holding.execute(f"LOCK TABLE {table} IN SHARE MODE")
        end = writer.written + MORE
        while writer.written < end:
            writer.step()
        until(lambda: waits_for(past, table))
        running[0].kill()
        killed = time.monotonic()
        holding.rollback()
        until(lambda: sorted(held(past).values()) == [SHARDS])
        assert time.monotonic() - killed < TAKEN_OVER_SECONDS
        until(lambda: caught_up(past))
    assert differing(past) == []


def test_a_third_projector_gets_a_share_and_leaves_it_to_the_others_when_it_goes(past: Past) -> None:
    with followers(past, 2):
        third = Projector(past.url, past.store.read)
        until(lambda: third.step() == 0 and sorted(held(past).values()) == [2, 3, 3])
        third.close()
        until(lambda: sorted(held(past).values()) == [4, 4])


def test_a_view_has_come_as_far_as_the_last_of_its_shards(past: Past) -> None:
    def one(query: str, values: tuple[object, ...]) -> object:
        return past.connection.execute(query, values).fetchone()

    assert position(one, *VIEWS) == 0, "nothing is tracked yet"
    follow(past)
    end = past.store.last_position()
    assert position(one, "user_status", "mail_state") == end
    track = "UPDATE notification_tracking SET notification_id = %s WHERE application_name = %s"
    past.connection.execute(track, (end - 7, "user_status/3"))
    assert [position(one, name) for name in ("user_status", "mail_state")] == [end - 7, end]
    assert position(one, "mail_state", "user_status") == end - 7
    assert wait_for(one, ["mail_state", "user_status"], end - 7, 0)
    assert not wait_for(one, ["mail_state", "user_status"], end - 6, 0.05)
    past.connection.execute("DELETE FROM notification_tracking WHERE application_name = 'mail_state/7'")
    assert position(one, "mail_state") == 0


def test_one_projector_reads_a_page_once_for_all_views_and_shards(past: Past) -> None:
    asked: list[int] = []

    def read(after: int, limit: int) -> Sequence[Envelope]:
        asked.append(after)
        return past.store.read(after, limit)

    projector = Projector(past.url, read)
    assert projector.step() > 0
    projector.close()
    assert asked == [0]
    assert caught_up(past)


def test_shards_that_were_behind_are_one_with_the_others_soon_though_the_log_grows_at_each_look(
    past: Past, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "ASK_SECONDS", 0.0)
    first, second = (Projector(past.url, past.store.read) for _ in range(2))
    until(lambda: first.step() + second.step() == 0 and sorted(held(past).values()) == [4, 4])
    writer.step()
    first.step()
    second.close()

    def read(after: int, limit: int) -> Sequence[Envelope]:
        writer.step()
        return past.store.read(after, limit)

    first._read = read
    until(lambda: first.step() > 0 and sorted(held(past).values()) == [SHARDS])
    for _ in range(2):
        first.step()
    query = "SELECT count(DISTINCT notification_id) AS places FROM notification_tracking"
    assert past.connection.execute(query).fetchone() == {"places": 1}
    first.close()


def test_a_fact_that_cannot_be_folded_stops_its_own_shard_alone_and_views_are_proved_and_rebuilt_meanwhile(
    written: tuple[Past, Writer, str], past: Past
) -> None:
    stuck = shard_of("p-1")
    with psycopg.connect(written[2], autocommit=True) as owner:
        owner.execute("ALTER TABLE partner_policy ADD CONSTRAINT poison CHECK (partner_id <> 'p-1')")
        projector = Projector(past.url, past.store.read)
        names = {each.name for each in parts(*VIEWS)} - {f"partner_policy/{stuck}"}
        query = "SELECT count(*) AS many FROM notification_tracking WHERE notification_id = %s AND application_name = ANY(%s)"

        def others_come() -> bool:
            projector.step()
            values = (past.store.last_position(), list(names))
            return past.connection.execute(query, values).fetchone() == {"many": len(names)}

        until(others_come)
        assert 0 < projector.position("partner_policy") < past.store.last_position()
        rows = past.connection.execute("SELECT partner_id FROM partner_policy").fetchall()
        there = {row["partner_id"] for row in rows}
        assert {each for each in PARTNERS if shard_of(each) != stuck} <= there < set(PARTNERS)
        assert differing(past) == []
        past.connection.execute("DELETE FROM partner_policy WHERE partner_id = 'p-0'")
        assert [each.view for each in differing(past)] == ["partner_policy"]
        rebuilding.rebuild(past.url, past.store.read, "partner_policy")
        assert differing(past) == []
        projector.close()
        owner.execute("ALTER TABLE partner_policy DROP CONSTRAINT poison")
    follow(past)
    assert differing(past) == []


def test_a_database_of_before_goes_on_in_all_shards_where_its_views_stood(
    written: tuple[Past, Writer, str], past: Past
) -> None:
    follow(past)
    end = past.store.last_position()
    with psycopg.connect(written[2], autocommit=True) as owner:
        owner.execute("DELETE FROM notification_tracking")
        before = [name for name in VIEWS if name not in UNDIVIDED]
        track = "INSERT INTO notification_tracking (application_name, notification_id) VALUES (%s, %s)"
        owner.cursor().executemany(track, [(name, end) for name in before])
        owner.execute("DELETE FROM schema_migration WHERE name = '0011_shards.sql'")
        assert migrate.apply(owner, app_role=None) == ["0011_shards.sql"]
        found = owner.execute("SELECT application_name, notification_id FROM notification_tracking").fetchall()
    assert dict(found) == {each.name: end for each in parts(*VIEWS)}
    assert differing(past) == []
