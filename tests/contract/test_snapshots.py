"""Kept states of long streams: they shorten the fold, and decide nothing that the log does not say."""

import json
from collections.abc import Iterator
from datetime import UTC, timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from pydantic import TypeAdapter

from domain.facts import Disabled, Enabled, Factor, FailureReason, Locked, Purpose, SetupStarted, VerificationFailed
from domain.guessing import Guesses
from domain.kernel import Fact, replay
from domain.user_mfa import OpenReset, Setup, UserMFA, evolve
from handlers.adapters.keyring import DerivedKeys
from handlers.adapters.postgres import snapshots
from handlers.adapters.postgres.database import new_pool
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.adapters.postgres.snapshots import EVERY
from handlers.ports import Change, Session, SessionClosed, SessionOpened
from handlers.sessions import State
from tests.contract.plugs import NOON, fact, origin
from tests.contract.safes import Safe

ACCOUNT = "dist-owner"
STREAM = f"user_mfa:{ACCOUNT}"
MOMENTS = st.datetimes(timezones=st.just(UTC))


class Long:
    """One long stream in the log, and fresh processes that load it."""

    def __init__(self, safe: Safe) -> None:
        self.url = safe.watchword.settings.need("database_url")
        self.sessions, self.now = safe.watchword.sockets.sessions, safe.watchword.sockets.clock.now()
        self.keys = DerivedKeys(safe.keyring)
        self.facts: list[Fact] = []
        self._stores: list[PostgresEventStore] = []

    def fresh(self, *, keys: bool = True) -> PostgresEventStore:
        self._stores.append(PostgresEventStore(self.url, pool_size=2, keys=self.keys if keys else None))
        return self._stores[-1]

    def add(self, *facts: Fact) -> None:
        self.fresh().append(Change(STREAM, len(self.facts), facts, "dist"), origin=origin())
        self.facts += facts

    def loads(self, *, keys: bool = True) -> tuple[UserMFA, int]:
        """Load in a fresh process; what is read with a sign-in that waits for its code leads to the same."""
        lasts = timedelta(minutes=5)
        waits = Session("handle", State.MFA_CODE_REQUIRED, self.now, self.now, self.now + lasts, lasts, ACCOUNT)
        self.sessions.save(SessionClosed(b"token"), SessionOpened(b"token", waits, None))
        found = self.sessions.find(b"token", self.now)
        assert found is not None
        assert found.ahead is not None
        loaded = self.fresh(keys=keys).load(STREAM, evolve, UserMFA(), found.ahead)
        assert self.fresh(keys=keys).load(STREAM, evolve, UserMFA()) == loaded
        return loaded

    def right(self) -> tuple[UserMFA, int]:
        return replay(evolve, UserMFA(), self.facts), len(self.facts)

    def kept(self) -> dict[str, object]:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT to_jsonb(s) FROM state_snapshot s").fetchone()
        return row[0] if row else {}

    def plant(self, state: UserMFA) -> None:
        """Keep a state, rightly sealed, that the facts did not lead to."""
        with new_pool(self.url, 1) as pool:
            snapshots.Snapshots(pool, self.keys).keep(STREAM, evolve, state, EVERY)

    def write(self, column: str, value: object) -> None:
        """Change what is kept, as somebody with the database in his hands does."""
        with psycopg.connect(self.url) as connection:
            name = sql.Identifier(column)
            connection.execute(sql.SQL("UPDATE state_snapshot SET {} = %s").format(name), (value,))

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture
def long(safe: Safe) -> Iterator[Long]:
    found = Long(safe)
    setup = SetupStarted(setup_id="s", secret_ref="s", session="x", expires_at=NOON + timedelta(minutes=10))
    found.add(setup, fact(1).model_copy(update={"purpose": Purpose.SETUP}), *map(fact, range(2, EVERY)))
    yield found
    found.close()


def test_a_short_stream_keeps_nothing_and_a_long_one_its_state(long: Long) -> None:
    assert len(long.facts) == EVERY
    long.add(fact(5000))
    assert long.loads() == long.right()
    kept = long.kept()
    assert (kept["stream"], kept["version"]) == (STREAM, EVERY + 1)
    long.add(Locked(until=NOON), fact(5001))
    assert long.loads() == long.right()
    assert long.kept() == kept, "the way from there is short"


def test_the_fold_begins_at_the_kept_state(long: Long) -> None:
    """Shown by a state that the facts do not lead to, sealed with the right key: a fresh process believes it."""
    other = UserMFA(factor=Factor.ACTIVE, secret_ref="other", last_time_step=7)
    long.plant(other)
    long.add(Disabled(was=Factor.ACTIVE), Enabled())
    assert long.loads() == (replay(evolve, other, long.facts[EVERY:]), EVERY + 2)
    assert long.loads(keys=False) == long.right()


@pytest.mark.parametrize("column", ["state", "version", "seal", "stream"])
def test_what_somebody_wrote_into_the_table_decides_nothing(long: Long, column: str) -> None:
    long.add(fact(5000))
    long.loads()
    kept = long.kept()
    forged = {
        "state": json.dumps({**json.loads(str(kept["state"])), "factor": "none", "secret_ref": None}),
        "version": EVERY + 50,
        "seal": long.keys.digest("csrf", "something else"),
        "stream": "user_mfa:dist-admin",
    }
    long.write(column, forged[column])
    assert long.loads() == long.right()
    assert long.loads() == long.right()


def test_other_rules_fold_anew(long: Long, monkeypatch: pytest.MonkeyPatch) -> None:
    other = UserMFA(secret_ref="as older rules had it")
    monkeypatch.setattr(snapshots, "_rules", lambda: "older")
    long.plant(other)
    monkeypatch.undo()
    assert long.loads() == long.right()
    assert long.kept()["version"] == EVERY, "and keep their own"


@given(
    st.builds(
        UserMFA,
        setup=st.none() | st.builds(Setup, expires_at=MOMENTS),
        reset=st.none() | st.builds(OpenReset, expires_at=MOMENTS),
        guesses=st.builds(Guesses, locked_until=st.none() | MOMENTS),
    )
)
def test_a_state_comes_back_as_it_was_kept(state: UserMFA) -> None:
    shape: TypeAdapter[UserMFA] = TypeAdapter(UserMFA)
    assert shape.validate_json(shape.dump_json(state)) == state


def test_failures_are_counted_on_from_a_kept_state(long: Long) -> None:
    """Guesses that were made before the state was kept count after it."""
    failed = VerificationFailed(purpose=Purpose.SIGN_IN, reason=FailureReason.WRONG, challenge="c")
    long.add(*[failed] * 4)
    long.loads()
    assert long.kept()["version"] == EVERY + 4
    long.add(failed)
    assert long.loads() == long.right()
    assert long.loads()[0].guesses.lately.count("c") == 5
