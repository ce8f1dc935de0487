"""Reviewers' questions at any length of history: folding, proving, looking back, beside bare SQL in the same run."""

import hashlib
import random
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from struct import Struct
from typing import TypeVar

import psycopg
from psycopg.rows import dict_row, tuple_row

from api import bootstrap
from api.exporting import Export, Wanted
from domain.kernel import replay
from domain.user_mfa import UserMFA
from domain.user_mfa import evolve as evolve_mfa
from handlers.ledger import Ledger
from handlers.ledger_check import LedgerCheck
from handlers.ports import Origin
from projections import rebuilding, status_history, user_status
from projections.views import VIEWS
from tests.bench.figures import Figure
from tests.bench.ground import installed
from tests.bench.long_log import FILL, PARTNER, SEED, accounts_of, write

Answer = TypeVar("Answer")
Connection = psycopg.Connection[dict[str, object]]
PAIRS = 10_000
ROUNDS = 200
PROOFS = 5
"""Proofs of the whole ledger, each after its floor: one of a short log takes less than a tenth of a second."""
FORMATS = ("jsonl", "csv", "parquet", "ocsf")
_PAGE = """
    SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events
    WHERE notification_id > %s ORDER BY 1 LIMIT 1000"""
_HEAD, _MIDDLE = Struct(">BBIqI"), Struct(">IqI")
"""What stands before the stream's name in a leaf, and between that and the topic."""
PROOF_MS = 2.0
"""What P12 allows one inclusion proof."""
AS_OF, PROOF = "page of users as of any position", "one inclusion proof beside what is allowed"


def measure(folder: Path, lengths: list[int], spans: int) -> list[Figure]:
    """Return the figures at each length of history, and those of looking back over a history too long to write."""
    found: list[Figure] = []
    for facts in lengths:
        with installed(folder / str(facts)) as watchword, _connected(watchword) as connection:
            write(watchword, facts)
            found += [*_proved(watchword, connection, facts), *_looked(watchword, connection, facts)]
            if differ := _differences(watchword, connection, facts):
                raise SystemExit(f"{differ} of {PAIRS:,} answers about the past differ from a fold of the log")
    with installed(folder / "filled") as watchword, _connected(watchword) as connection:
        for statement in FILL:
            connection.execute(statement.encode(), {"facts": spans, "accounts": accounts_of(spans)})
        connection.execute("VACUUM ANALYZE")
        found += _looked_back(connection, spans)
    pages = [each.ours for each in found if each.what == AS_OF]
    return [*found, Figure("P7", "the same, slowest length beside fastest", max(pages), min(pages), "ms", 2)]


def _connected(watchword: bootstrap.Watchword) -> Connection:
    return psycopg.connect(watchword.settings.need("admin_database_url"), autocommit=True, row_factory=dict_row)


def _proved(watchword: bootstrap.Watchword, connection: Connection, facts: int) -> Iterator[Figure]:
    """Fold, prove and export the whole log, beside reading it, and beside reading and hashing it."""
    before = _mebibytes()
    read = _seconds(lambda: sum(1 for _ in connection.cursor().stream("SELECT * FROM stored_events")))
    last, hashed = _timed(lambda: _read_and_hash(connection))

    def figure(metric: str, what: str, seconds: float, floor: float, goal: float | None = None) -> Figure:
        return Figure(metric, what, facts / seconds, facts / floor, "facts/s", goal, facts)

    yield figure("P4", "all views folded, beside a bare read", _seconds(lambda: _fold(watchword)), read)
    connection.execute("VACUUM ANALYZE")
    for name in VIEWS:
        yield figure("P4", f"{name} proved, beside a bare read", _verified(watchword, name), read)
    book = bootstrap.ledger(watchword)
    yield figure("P12", "ledger made, beside read + SHA-256", _seconds(book.checkpoint), hashed)
    if book.tree.leaves(facts - 1, 1)[0].hashes[: len(last)] != last:
        raise SystemExit("the floor of the ledger hashes something else")
    floor, took = zip(*(_proof(book, connection) for _ in range(PROOFS)), strict=True)
    yield figure("P12", "audit verify, beside read + SHA-256", statistics.median(took), statistics.median(floor), 0.5)
    for kind in FORMATS:
        yield figure("P12", f"exported as {kind}, beside a bare read", _exported(watchword, book, kind), read)
    yield Figure("P12", "memory at most, beside that before", _mebibytes(), before, "MiB", None, facts)


def _proof(book: Ledger, connection: Connection) -> tuple[float, float]:
    """Return the seconds for the least of a proof, and for `audit verify` of the whole log."""
    hashed = _seconds(lambda: _read_and_hash(connection))
    found, took = _timed(lambda: LedgerCheck(book.tree, book.notes).run(full=True))
    if found.findings:
        raise SystemExit(f"the ledger is wrong: {found.findings}")
    return hashed, took


def _read_and_hash(connection: Connection) -> bytes:
    """Do the least of a proof: read every fact in pages, and hash what the ledger hashes of it. Return the last hash."""
    cursor = connection.cursor(binary=True, row_factory=tuple_row)
    after, hashed = 0, b""
    while page := cursor.execute(_PAGE, (after,)).fetchall():
        for after, stream, version, topic, state in page:
            name, kind = stream.encode(), topic.encode()
            head, middle = _HEAD.pack(0, 1, 8, after, len(name)), _MIDDLE.pack(8, version, len(kind))
            leaf = b"".join((head, name, middle, kind, len(state).to_bytes(4, "big"), state))
            hashed = hashlib.sha256(leaf).digest()
    return hashed


def _mebibytes() -> float:
    """Return what this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _exported(watchword: bootstrap.Watchword, book: Ledger, kind: str) -> float:
    origin = Origin(actor="operator", command_id=f"export {kind}", at=watchword.sockets.clock.now())
    export, out = Export(watchword, book, Wanted(PARTNER, kind)), watchword.settings.data_dir / f"export-{kind}"
    return _seconds(lambda: export.write(out, origin))


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


def _looked(watchword: bootstrap.Watchword, connection: Connection, facts: int) -> Iterator[Figure]:
    yield from _looked_back(connection, facts)
    book = bootstrap.ledger(watchword)
    head = book.checkpoint().checkpoint
    took = _median(facts, lambda at: book.inclusion(at, head))
    yield Figure("P12", PROOF, took, PROOF_MS, "ms", 1.0, facts)


def _looked_back(connection: Connection, facts: int) -> Iterator[Figure]:
    """Ask how it was at random positions, beside the same as it is."""
    wanted, chance = user_status.Filter(PARTNER, limit=51), random.Random(SEED)
    query = "SELECT * FROM user_status WHERE account_id = %s AND partner_id = %s"

    def account() -> str:
        return f"acc-{chance.randrange(accounts_of(facts))}"

    past = _median(facts, lambda at: user_status.page(connection, replace(wanted, as_of=at)))
    now = _median(facts, lambda _: user_status.page(connection, wanted))
    yield Figure("P7", AS_OF, past, now, "ms", None, facts)
    past = _median(facts, lambda at: status_history.status_at(connection, PARTNER, account(), at))
    now = _median(facts, lambda _: connection.execute(query, (account(), PARTNER)).fetchone())
    yield Figure("P7", "one user as of any position", past, now, "ms", None, facts)


def _median(facts: int, ask: Callable[[int], object]) -> float:
    """Return milliseconds, over random positions."""
    chance, first = random.Random(SEED), accounts_of(facts) + 2
    return statistics.median(_seconds(lambda: ask(chance.randrange(first, facts))) for _ in range(ROUNDS)) * 1000


def _differences(watchword: bootstrap.Watchword, connection: Connection, facts: int) -> int:
    """Return how many of the random (account, position) pairs differ from a fold of the account's facts so far."""
    chance, differ = random.Random(SEED + 1), 0
    accounts = accounts_of(facts)
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
