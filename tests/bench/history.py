"""Reviewers' questions at any length of history: folding, proving, looking back, beside bare SQL in the same run."""

import random
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg.rows import dict_row

from api import bootstrap
from api.embedded.postgres import EmbeddedPostgres
from api.exporting import Export, Wanted
from api.settings import read
from domain import facts as f
from domain.kernel import Envelope, Fact, replay
from domain.user_mfa import UserMFA
from domain.user_mfa import evolve as evolve_mfa
from handlers.ledger import Ledger
from handlers.ledger_check import LedgerCheck
from handlers.ports import Origin
from projections import rebuilding, status_history, user_status
from projections.views import VIEWS

Answer = TypeVar("Answer")
SEED = 20_261_124
START = datetime(2025, 1, 1, tzinfo=UTC)
FACTS_OF_AN_ACCOUNT = 20
PARTNER = "big"
PAIRS = 10_000
ROUNDS = 200
FORMATS = ("jsonl", "csv", "parquet", "ocsf")


@dataclass(frozen=True)
class Rate:
    """So many facts in so many seconds, beside reading them all."""

    what: str
    facts: int
    seconds: float
    floor: float
    """Seconds of one bare sequential read of the same facts."""
    memory: int = field(default_factory=lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    """MB that this process has had at most, up to the end of it."""


@dataclass(frozen=True)
class Looked:
    """How long a question about the past takes at one length of history; seconds."""

    facts: int
    page: float
    account: float
    proof: float
    now: float
    """The same page as it stands now."""


def envelopes(facts: int) -> Iterator[Envelope]:
    """Return a log of so many facts of one partner: people join, enrol, sign in, are reset, leave, in any order."""
    chance = random.Random(SEED)
    versions: dict[str, int] = defaultdict(int)
    accounts = max(50, facts // FACTS_OF_AN_ACCOUNT)
    at = START

    def next_of(stream: str, fact: Fact) -> Envelope:
        nonlocal at
        at += timedelta(seconds=chance.random() * 20)
        versions[stream] += 1
        return Envelope(
            fact=fact, stream=stream, version=versions[stream], at=at, actor="system", tenant=PARTNER, command_id=""
        )

    yield next_of(f"partner:{PARTNER}", f.PartnerRegistered(name="Big", type=f.PartnerType.DISTRIBUTOR))
    for number in range(accounts):
        yield next_of(f"account:acc-{number}", f.AccountRegistered(partner_id=PARTNER, role=f.Role.SUPPORT))
    for _ in range(facts - accounts - 1):
        if chance.random() < 0.0005:
            kind = chance.choice((f.Enforced, f.EnforcementLifted))
            yield next_of(f"partner_policy:{PARTNER}", kind(population=f.Population.PARTNER_USERS))
        else:
            stream = f"user_mfa:acc-{chance.randrange(accounts)}"
            yield from (next_of(stream, fact) for fact in _of_mfa(chance))


def _of_mfa(chance: random.Random) -> tuple[Fact, ...]:
    sign_in = f.Verified(purpose=f.Purpose.SIGN_IN, time_step=1, gives_back=0)
    rare: tuple[tuple[Fact, ...], ...] = (
        (f.Enabled(),),
        (
            f.SetupStarted(setup_id="s", secret_ref="x", session="h", expires_at=START),
            f.Verified(purpose=f.Purpose.SETUP, time_step=1, gives_back=0),
        ),
        (f.ResetConfirmed(by=f.Initiator.ADMINISTRATOR, reset_id="r", expires_at=START),),
        (f.ResetConfirmed(by=f.Initiator.PERSON, reset_id="r"),),
        (f.Disabled(was=f.Factor.ACTIVE),),
        (f.Locked(until=START),),
    )
    return (sign_in,) if chance.random() < 0.6 else chance.choice(rare)


def measure(folder: Path, facts: int) -> tuple[list[Rate], Looked, int]:
    """Return rates, times of questions, and how many of the sampled answers differ from a fold of the log."""
    postgres = EmbeddedPostgres(folder / "data", durable=True)
    postgres.start()
    try:
        settings = read({"DATA_DIR": str(folder), "DATABASE_URL": postgres.app_url}, ask_running=False)
        settings = replace(settings, admin_database_url=postgres.owner_url)
        bootstrap.ensure_kek(settings.kek_file)
        bootstrap.migrate(settings)
        watchword = bootstrap.build(settings)
        try:
            return _measured(watchword, postgres.owner_url, facts)
        finally:
            watchword.close()
    finally:
        postgres.stop()


FILL = (
    """INSERT INTO partner_access VALUES ('big', 'Big', 'distributor')""",
    """INSERT INTO account_access SELECT 'acc-' || n, 'big', NULL, 'support', false, 0
        FROM generate_series(0, %(accounts)s - 1) n""",
    """INSERT INTO person SELECT account_id, partner_id, partner_id, account_id, account_id, account_id
        FROM account_access""",
    """INSERT INTO partner_policy VALUES ('big', true, false, 1, now(), 'system', 1)""",
    """INSERT INTO policy_interval VALUES ('big', true, false, 1, now(), 'system', 0, '2025-01-01', NULL, NULL)""",
    """INSERT INTO status_interval (account_id, partner_id, role, account_state, factor, owed, since, from_position, from_at,
        to_position, to_at)
        SELECT 'acc-' || n %% %(accounts)s, 'big', 'support', 'open',
            CASE WHEN (n / %(accounts)s) %% 2 = 0 THEN 'none' ELSE 'active' END, false,
            '2025-01-01'::timestamptz + n * interval '1 s', n + 1, '2025-01-01'::timestamptz + n * interval '1 s',
            CASE WHEN n + %(accounts)s < %(facts)s THEN n + 1 + %(accounts)s END,
            CASE WHEN n + %(accounts)s < %(facts)s THEN '2025-01-01'::timestamptz + (n + %(accounts)s) * interval '1 s' END
        FROM generate_series(0, %(facts)s - 1) n""",
    """INSERT INTO user_status SELECT account_id, partner_id, NULL, role, account_state, factor, owed, since, NULL, NULL,
        from_position FROM status_interval WHERE to_position IS NULL""",
)
"""Spans as the projector would have left them, one for each fact, so that a very long history need not be written first."""


def filled(folder: Path, facts: int) -> Looked:
    """Return the times of the same questions over so many spans."""
    postgres = EmbeddedPostgres(folder / "data", durable=True)
    postgres.start()
    try:
        settings = read({"DATA_DIR": str(folder), "DATABASE_URL": postgres.app_url}, ask_running=False)
        bootstrap.ensure_kek(settings.kek_file)
        bootstrap.migrate(replace(settings, admin_database_url=postgres.owner_url))
        with psycopg.connect(postgres.owner_url, autocommit=True, row_factory=dict_row) as connection:
            for statement in FILL:
                connection.execute(statement, {"facts": facts, "accounts": max(50, facts // FACTS_OF_AN_ACCOUNT)})
            connection.execute("VACUUM ANALYZE")
            return _looked(None, connection, facts)
    finally:
        postgres.stop()


def _measured(watchword: bootstrap.Watchword, owner: str, facts: int) -> tuple[list[Rate], Looked, int]:
    write(watchword, owner, facts)
    with psycopg.connect(owner, autocommit=True, row_factory=dict_row) as connection:
        floor = _seconds(lambda: sum(1 for _ in connection.cursor().stream("SELECT * FROM stored_events")))
        rates = [Rate("all views folded", facts, _seconds(lambda: _fold(watchword)), floor)]
        connection.execute("VACUUM ANALYZE")
        for name in VIEWS:
            compared = _verified(watchword, name)
            rates.append(Rate(f"{name} proved", facts, compared, floor))
        book = bootstrap.ledger(watchword)
        rates.append(Rate("ledger made", facts, _seconds(book.checkpoint), floor))
        check = LedgerCheck(book.tree, book.notes)
        found, took = _timed(lambda: check.run(full=True))
        if found.findings:
            raise SystemExit(f"the ledger is wrong: {found.findings}")
        rates.append(Rate("ledger proved", facts, took, floor))
        rates += [Rate(f"exported as {kind}", facts, _exported(watchword, book, kind), floor) for kind in FORMATS]
        return rates, _looked(watchword, connection, facts), _differences(watchword, connection, facts)


def _exported(watchword: bootstrap.Watchword, book: Ledger, kind: str) -> float:
    origin = Origin(actor="operator", command_id=f"export {kind}", at=watchword.sockets.clock.now())
    export, out = Export(watchword, book, Wanted(PARTNER, kind)), watchword.settings.data_dir / f"export-{kind}"
    return _seconds(lambda: export.write(out, origin))


def write(watchword: bootstrap.Watchword, owner: str, facts: int) -> None:
    """Put so many facts into an empty log, and the people whom they are about."""
    mapper = watchword.store._log.mapper
    columns = "originator_id, originator_version, topic, state, notification_id"
    with psycopg.connect(owner) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY stored_events ({columns}) FROM STDIN") as copy:
            for position, envelope in enumerate(islice(envelopes(facts), facts), 1):
                stored = mapper.to_stored_event(envelope)
                copy.write_row((stored.originator_id, stored.originator_version, stored.topic, stored.state, position))
        cursor.execute("SELECT setval(pg_get_serial_sequence('stored_events', 'notification_id'), %s)", (facts,))
        people = "SELECT 'acc-' || n, %s, NULL, 'support', false, 0 FROM generate_series(0, %s) n"
        accounts = max(50, facts // FACTS_OF_AN_ACCOUNT) - 1
        cursor.execute("INSERT INTO partner_access VALUES (%s, 'Big', 'distributor')", (PARTNER,))
        cursor.execute(f"INSERT INTO account_access {people}", (PARTNER, accounts))
        cursor.execute(
            "INSERT INTO person SELECT account_id, partner_id, partner_id, account_id, account_id, account_id"
            " FROM account_access"
        )


def _fold(watchword: bootstrap.Watchword) -> None:
    projector = bootstrap.projector(watchword)
    while projector.step():
        pass
    projector.close()


def _verified(watchword: bootstrap.Watchword, name: str) -> float:
    url, reading = watchword.settings.need("database_url"), watchword.store.read
    compared, took = _timed(lambda: rebuilding.verify(url, reading, name))
    if not compared.equal:
        raise SystemExit(f"{name} differs from the log: {compared}")
    return took


def _looked(
    watchword: bootstrap.Watchword | None, connection: psycopg.Connection[dict[str, object]], facts: int
) -> Looked:
    chance = random.Random(SEED)
    accounts = max(50, facts // FACTS_OF_AN_ACCOUNT)

    def median(ask: Callable[[int], object]) -> float:
        return statistics.median(_seconds(lambda: ask(chance.randrange(accounts + 2, facts))) for _ in range(ROUNDS))

    wanted = user_status.Filter(PARTNER, limit=51)
    return Looked(
        facts,
        page=median(lambda at: user_status.page(connection, replace(wanted, as_of=at))),
        account=median(
            lambda at: status_history.status_at(connection, PARTNER, f"acc-{chance.randrange(accounts)}", at)
        ),
        proof=_proof(watchword, median) if watchword else 0,
        now=median(lambda _: user_status.page(connection, wanted)),
    )


def _proof(watchword: bootstrap.Watchword, median: Callable[[Callable[[int], object]], float]) -> float:
    book = bootstrap.ledger(watchword)
    head = book.checkpoint().checkpoint
    return median(lambda at: book.inclusion(at, head))


def _differences(watchword: bootstrap.Watchword, connection: psycopg.Connection[dict[str, object]], facts: int) -> int:
    """Return how many of the random (account, position) pairs differ from a fold of the account's facts so far."""
    chance, differ = random.Random(SEED + 1), 0
    accounts = max(50, facts // FACTS_OF_AN_ACCOUNT)
    for _ in range(PAIRS):
        account, position = f"acc-{chance.randrange(accounts)}", chance.randrange(accounts + 2, facts + 1)
        history = watchword.store.history(f"user_mfa:{account}")
        mfa = replay(evolve_mfa, UserMFA(), [each.fact for each in history if each.position <= position])
        found = status_history.status_at(connection, PARTNER, account, position) or {}
        expected = (mfa.factor.value, mfa.owed_to_administrator())
        differ += (found.get("factor"), found.get("owed")) != expected
    return differ


def _timed(work: Callable[[], Answer]) -> tuple[Answer, float]:
    start = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - start


def _seconds(work: Callable[[], object]) -> float:
    return _timed(work)[1]


def table(rates: list[Rate], looked: list[Looked], differ: int) -> str:
    """Return the results for a person."""
    lines = [f"{'facts/s':24} {'ours':>9} {'bare read':>10} {'ratio':>6} {'MB':>5}"]
    for each in rates:
        ours, bare = each.facts / each.seconds, each.facts / each.floor
        lines.append(f"{each.what:24} {ours:9,.0f} {bare:10,.0f} {bare / ours:6.1f} {each.memory:5}")
    lines.append(f"{'facts of history':>18} {'page as of, ms':>15} {'page now':>9} {'account':>8} {'proof':>6}")
    lines += [
        f"{each.facts:18,} {each.page * 1e3:15.2f} {each.now * 1e3:9.2f} {each.account * 1e3:8.2f} {each.proof * 1e3:6.2f}"
        for each in looked
    ]
    slowest, fastest = (kind(each.page for each in looked) for kind in (max, min))
    lines.append(f"slowest page as of / fastest: {slowest / fastest:.2f}")
    lines.append(f"{PAIRS:,} random answers about the past against a fold of the log: {differ} differ")
    return "\n".join(lines)
