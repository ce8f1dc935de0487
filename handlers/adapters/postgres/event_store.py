"""The one log in PostgreSQL, built on the event sourcing library: bare facts in envelopes, lasting topics, exact answers."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import orjson
import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import InfrastructureFactory, IntegrityError, Mapper, Notification, StoredEvent
from eventsourcing.utils import Environment

from domain.kernel import FACTS, Envelope, Fact
from handlers.adapters.postgres.bell import Bell
from handlers.adapters.postgres.database import new_pool
from handlers.adapters.postgres.migrate import library_environment
from handlers.adapters.postgres.recorder import SILENCE, Factory, Recorder
from handlers.adapters.postgres.states import States
from handlers.ports import AddressTaken, Change, Conflict, Known, Origin, Row, Unavailable
from handlers.ports.log import State, enveloped

Answer = TypeVar("Answer")

UPCASTS: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {}
"""For each older versioned topic: its fact as data, to the next versioned topic and that fact as data."""
_AFTER = (
    "SELECT originator_version, topic, state FROM stored_events WHERE originator_id = %s"
    " AND originator_version > %s ORDER BY originator_version"
)
_LOST_ANSWERS = 3
"""How often an append whose answer was lost is asked again, under its own command id."""


class EnvelopeMapper(Mapper[str]):
    """Turns envelopes into stored bytes and back. The topic outlives every file and class."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """Return the stored form of an envelope."""
        envelope: Envelope = domain_event
        state = {
            "fact": envelope.fact.model_dump(mode="json"),
            "at": envelope.at.isoformat(),
            "actor": envelope.actor,
            "tenant": envelope.tenant,
            "command_id": envelope.command_id,
            "correlation_id": envelope.correlation_id,
            "ip_prefix": envelope.ip_prefix,
            "session": envelope.session,
        }
        return StoredEvent(
            originator_id=envelope.stream,
            originator_version=envelope.version,
            topic=envelope.fact.versioned_topic(),
            state=orjson.dumps(state),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Return the envelope of stored bytes, its fact brought to the newest shape."""
        state = orjson.loads(stored_event.state)
        return Envelope(
            fact=fact_of(stored_event.topic, state.pop("fact")),
            stream=str(stored_event.originator_id),
            version=stored_event.originator_version,
            at=datetime.fromisoformat(state.pop("at")),
            position=stored_event.id if isinstance(stored_event, Notification) else 0,
            **state,
        )


def fact_of(topic: str, fact: dict[str, Any]) -> Fact:
    """Return a stored fact in its newest shape."""
    while topic in UPCASTS:
        topic, fact = UPCASTS[topic](fact)
    return FACTS[topic].model_validate(fact)


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
        return EnvelopeMapper(self.construct_transcoder())


class PostgresEventStore:
    """The EventStore socket's plug for PostgreSQL."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        try:
            self._log = Log(library_environment(url, pool_size=pool_size))
        except SILENCE as error:
            raise Unavailable("the database does not answer") from error
        recorder: Any = self._log.recorder
        self._recorder: Recorder = recorder
        self._recorder.datastore.pool.close()
        pool = new_pool(url, pool_size)
        self._recorder.datastore.pool = pool  # one way to connect for everything
        self._bell = Bell(pool)
        self._states = States()

    @staticmethod
    def create_tables(url: str) -> None:
        """Make the library's tables; only the migration does this, as the owner of the database."""
        with Log({**library_environment(url), "CREATE_TABLE": "yes"}) as log:
            log.factory.tracking_recorder()

    def close(self) -> None:
        """Let the connections go."""
        self._bell.close()
        self._log.close()

    def load(self, stream: str, evolve: Callable[[State, Fact], State], initial: State) -> tuple[State, int]:
        """Return the stream's state and version."""
        state, after = self._states.known(stream, evolve, initial)
        version = after
        for row in self._rows(_AFTER, stream, after):
            state = evolve(state, fact_of(row["topic"], orjson.loads(row["state"])["fact"]))
            version = row["originator_version"]
        if version > after:
            self._states.keep(stream, evolve, initial, state, version)
        return state, version

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        def ask() -> list[dict[str, Any]]:
            with self._recorder.datastore.cursor() as cursor:
                return cursor.execute(query, values).fetchall()

        return self._answer(ask)

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

    def _found(self, condition: str, value: object) -> list[Envelope]:
        rows = self._rows(f"SELECT * FROM stored_events WHERE {condition}", value)  # noqa: S608 our own words
        found = [
            Notification(
                row["originator_id"],
                row["originator_version"],
                row["topic"],
                bytes(row["state"]),
                row["notification_id"],
            )
            for row in rows
        ]
        return [self._log.mapper.to_domain_event(each) for each in found]  # type: ignore[misc]

    def read(self, after: int, limit: int) -> Sequence[Envelope]:
        """Return the next envelopes of the whole log, in position order."""
        found = self._answer(lambda: self._recorder.select_notifications(after, limit, inclusive_of_start=False))
        return [self._log.mapper.to_domain_event(notification) for notification in found]  # type: ignore[misc]

    def known(self, command_id: str) -> Known | None:
        """Return what a command led to, if it was stored."""
        query = (
            "SELECT e.notification_id AS position, c.fingerprint FROM command c JOIN stored_events e"
            " ON e.originator_id = c.stream AND e.originator_version = c.version WHERE c.command_id = %s"
        )

        rows = self._rows(query, command_id)
        return Known(**rows[0]) if rows else None

    def last_position(self) -> int:
        """Return the position of the newest fact, 0 in an empty log."""
        return self._answer(self._recorder.max_notification_id) or 0

    @staticmethod
    def _answer(ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except SILENCE as error:
            raise Unavailable("the log does not answer") from error
