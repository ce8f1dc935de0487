"""The one log in PostgreSQL, built on the event sourcing library: bare facts in envelopes, lasting topics, exact answers."""

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import is_dataclass
from typing import Any, TypeVar

import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import InfrastructureFactory, IntegrityError, InternalError, Mapper
from eventsourcing.utils import Environment
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.rows import tuple_row

from domain.kernel import Envelope, Fact, Unknown
from handlers.adapters.postgres import reading
from handlers.adapters.postgres.bell import Bell
from handlers.adapters.postgres.horizon import Horizon
from handlers.adapters.postgres.migrate import library_environment
from handlers.adapters.postgres.recorder import SILENCE, Factory, Recorder
from handlers.adapters.postgres.snapshots import EVERY, KEPT, Snapshots, from_kept, state_of
from handlers.adapters.postgres.states import States
from handlers.ports import AddressTaken, Change, Conflict, Keys, Known, Origin, Row, StreamUnreadable, Unavailable
from handlers.ports.log import Ahead, State, enveloped

Answer = TypeVar("Answer")

_FACTS = f"SELECT {reading.COLUMNS} FROM stored_events WHERE "  # noqa: S608 our own words
_NEWER = "originator_id = %s AND originator_version > %s ORDER BY originator_version"
_FROM_KEPT = from_kept("%s")
_SPAN = "notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s"
_MANY, _AT_ONCE = 1_000, 100
"""Where so many facts are read, so many at once are decoded while the database looks for the next ones."""
_LOST_ANSWERS = 3
"""How often an append whose answer was lost is asked again, under its own command id."""


class Log(Application[str]):
    """The library's application: one log, without aggregates of its own."""

    name = ""

    def construct_env(self, name: str, env: Any = None) -> Environment:
        """Take the settings from the arguments alone, never from the process."""
        return Environment(name, dict(env or {}))

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:
        """Use our recorder."""
        return Factory(env)

    def construct_mapper(self) -> Mapper[str]:
        """Use our lasting topics."""
        return reading.EnvelopeMapper(self.construct_transcoder())


class PostgresEventStore:
    """The EventStore socket's plug for PostgreSQL."""

    def __init__(self, url: str, *, pool_size: int = 8, keys: Keys | None = None) -> None:
        """Connect. Without ``keys`` nothing can be sealed, so every stream is folded from its first fact."""
        try:
            self._log = Log(library_environment(url, pool_size=pool_size))
        except SILENCE as error:
            raise Unavailable("the database does not answer") from error
        recorder: Any = self._log.recorder
        self._recorder: Recorder = recorder
        self._recorder.keys = keys
        pool = self._recorder.datastore.pool
        pool.open()
        self._bell = Bell(pool)
        self._horizon = Horizon()
        self._states = States()
        self._snapshots = Snapshots(pool, keys) if keys else None

    @staticmethod
    def create_tables(url: str) -> None:
        """Make the library's tables; only the migration does this, as the owner of the database."""
        with Log({**library_environment(url), "CREATE_TABLE": "yes"}) as log:
            log.factory.tracking_recorder()

    def close(self) -> None:
        """Let the connections go."""
        self._bell.close()
        self._log.close()

    def load(
        self, stream: str, evolve: Callable[[State, Fact], State], initial: State, ahead: Ahead | None = None
    ) -> tuple[State, int]:
        """Return the stream's state and version."""
        state, version = self._states.known(stream, evolve, initial)
        known, seals = version, self._snapshots if is_dataclass(initial) else None
        if ahead and seals:
            rows = [
                (int(position), stream, int(number), topic, text) for position, _, number, topic, text in ahead.facts
            ]
            state, version, facts = self._from_kept(seals, rows, stream, evolve, initial)
        elif known or not seals:
            facts = self._found(_NEWER, stream, known)
        else:
            rows = self._rows(_FROM_KEPT, (stream, stream))
            state, version, facts = self._from_kept(seals, rows, stream, evolve, initial)
        for envelope in facts:
            if isinstance(envelope.fact, Unknown):
                raise StreamUnreadable(
                    f"{stream}: the fact at position {envelope.position} cannot be read by this release"
                )
            state, version = evolve(state, envelope.fact), envelope.version
        if version > known:
            self._states.keep(stream, evolve, initial, state, version)
        if seals and len(facts) >= EVERY:
            with suppress(psycopg.Error):  # the next load keeps it
                seals.keep(stream, evolve, state, version)
        return state, version

    def _from_kept(
        self,
        seals: Snapshots,
        rows: Sequence[reading.Stored],
        stream: str,
        evolve: Callable[[State, Fact], State],
        initial: State,
    ) -> tuple[State, int, list[Envelope]]:
        """Return the kept state of the rows and the facts after it; every fact where no kept state holds."""
        if not rows or rows[0][0] != KEPT:
            return initial, 0, reading.envelopes(rows)
        _, _, version, seal, stored = rows[0]
        content = stored if isinstance(stored, str) else stored.decode()
        if not seals.holds(stream, evolve, version, content, seal):
            return initial, 0, self._found(_NEWER, stream, 0)
        return state_of(content, initial), version, reading.envelopes(rows[1:])

    def append(
        self, *changes: Change, origin: Origin, rows: Sequence[Row] = (), unchanged: Sequence[tuple[str, int]] = ()
    ) -> int:
        """Store the facts and the rows in one transaction and return the last position."""
        envelopes = list(enveloped(changes, origin))
        if not envelopes:
            raise ValueError("an append needs at least one fact")
        stored = [self._log.mapper.to_stored_event(each) for each in envelopes]
        for _ in range(_LOST_ANSWERS):
            try:
                positions = self._recorder.insert_events(
                    stored, envelopes=envelopes, origin=origin, rows=rows, unchanged=unchanged
                )
            except IntegrityError as error:
                return self._violated(error, origin)
            except InternalError as error:
                if isinstance(error.__cause__, ReadOnlySqlTransaction):
                    raise Unavailable("the database is read-only") from error
                raise
            except SILENCE:
                self._recorder.datastore.pool.check()
                continue  # Stored or not? Asked again under the same command id, the log itself answers.
            self._bell.ring()
            return positions[-1]
        raise Unavailable("the log does not answer")

    def _violated(self, error: IntegrityError, origin: Origin) -> int:
        """Tell the own committed facts, a taken address and a lost race apart."""
        cause = error.__cause__
        constraint = cause.diag.constraint_name if isinstance(cause, psycopg.Error) else None
        if constraint in {"command_pkey", "stored_events_pkey"}:
            known = self.known(origin.command_id)
            if known is None or known.fingerprint != origin.fingerprint:
                raise Conflict from error
            return known.position
        if constraint == "one_account_for_an_address_in_a_place":
            raise AddressTaken from None
        if constraint == "processed_message_pkey":
            raise Conflict from error
        raise error

    def history(self, stream: str) -> Sequence[Envelope]:
        """Return all of one stream, each envelope with its position."""
        return self._found("originator_id = %s ORDER BY originator_version", stream)

    def at(self, positions: Sequence[int]) -> Sequence[Envelope]:
        """Return the envelopes at these positions, in position order."""
        return self._found("notification_id = ANY(%s) ORDER BY notification_id", list(positions))

    def read(self, after: int, limit: int) -> Sequence[Envelope]:
        """Return the next envelopes of the whole log, in position order, up to where nothing can still be committed.

        Where all positions up to the known end were drawn and never committed, the end itself is looked up again.
        """
        near: list[Envelope] = []
        if self._horizon.known() - after < _MANY:
            near = self._near(after, min(limit, _MANY))
            if len(near) < _MANY:
                return near
            after = near[-1].position
        known = self._horizon.known()
        return near + self._streamed(_SPAN, after, known, limit - len(near)) or self._near(known, limit)

    def _near(self, after: int, limit: int) -> list[Envelope]:
        """Return the next facts near the end of the log, with a little patience for what is just being committed."""

        def ask() -> list[reading.Stored]:
            with self._recorder.datastore.get_connection() as connection:
                return self._horizon.read(connection, after, limit)

        return reading.envelopes(self._answer(ask))

    def _found(self, condition: str, *values: object) -> list[Envelope]:
        return reading.envelopes(self._rows(_FACTS + condition, values))

    def _streamed(self, condition: str, *values: object) -> list[Envelope]:
        def ask() -> list[Envelope]:
            with self._recorder.datastore.get_connection() as connection:
                cursor = connection.cursor(binary=True, row_factory=tuple_row)
                rows: Any = cursor.stream(_FACTS + condition, values, binary=True, size=_AT_ONCE)
                with closing(rows):  # also when a fact cannot be read: the rest is not waited for
                    return reading.envelopes(rows)

        return self._answer(ask)

    def _rows(self, query: str, values: Sequence[object]) -> list[Any]:
        def ask() -> list[Any]:
            with self._recorder.datastore.get_connection() as connection:
                cursor = connection.cursor(binary=True, row_factory=tuple_row)
                return cursor.execute(query, values, prepare=True).fetchall()

        return self._answer(ask)

    def known(self, command_id: str) -> Known | None:
        """Return what a command led to, if it was stored."""
        query = (
            "SELECT e.notification_id AS position, c.fingerprint FROM command c JOIN stored_events e"
            " ON e.originator_id = c.stream AND e.originator_version = c.version WHERE c.command_id = %s"
        )

        def ask() -> Known | None:
            with self._recorder.datastore.cursor() as cursor:
                row = cursor.execute(query, (command_id,)).fetchone()
            return Known(row["position"], row["fingerprint"]) if row else None

        return self._answer(ask)

    def last_position(self) -> int:
        """Return the position of the newest fact, 0 in an empty log."""
        found: int | None = self._rows("SELECT max(notification_id) FROM stored_events", ())[0][0]
        return found or 0

    @staticmethod
    def _answer(ask: Callable[[], Answer]) -> Answer:
        """Return an answer. Nothing is changed here, so after a lost connection it is asked for once more."""
        with suppress(*SILENCE):
            return ask()
        try:
            return ask()
        except SILENCE as error:
            raise Unavailable("the log does not answer") from error
