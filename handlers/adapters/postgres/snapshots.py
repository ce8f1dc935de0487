"""Where the folding of a long stream may begin: a kept state, sealed with the deployment's key, so that no table decides.

The log stays the only truth: a snapshot that was changed, that other rules made, or that is gone costs a fold.
"""

import hashlib
import hmac
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

from psycopg_pool import ConnectionPool
from pydantic import TypeAdapter

from domain.kernel import Fact
from handlers.adapters.postgres.reading import COLUMNS
from handlers.ports import Keys

State = TypeVar("State")
EVERY = 50
"""So many facts are folded before their state is kept. Ours: they cost a fold some tenths of a millisecond."""
KEPT = 0
"""Stands where a fact has its position."""

_KEEP = """
    INSERT INTO state_snapshot (stream, version, state, seal) VALUES (%s, %s, %s, %s)
    ON CONFLICT (stream) DO UPDATE SET version = excluded.version, state = excluded.state, seal = excluded.seal"""


def from_kept(stream: str) -> str:
    """Return the query of a stream's kept state, if there is one, and the facts after it; ``stream``: what names it."""
    return f"""
        WITH kept AS MATERIALIZED (SELECT version, seal, state FROM state_snapshot WHERE stream = {stream})
        SELECT {KEPT}::bigint, '', version, seal, convert_to(state, 'UTF8') FROM kept
        UNION ALL SELECT {COLUMNS} FROM stored_events
            WHERE originator_id = {stream} AND originator_version > coalesce((SELECT version FROM kept), 0)
        ORDER BY 3"""  # noqa: S608 our own words


class Snapshots:
    """The kept states of long streams, one for each."""

    def __init__(self, pool: ConnectionPool[Any], keys: Keys) -> None:
        self._pool = pool
        self._keys = keys

    def keep(self, stream: str, evolve: Callable[[State, Fact], State], state: State, version: int) -> None:
        """Keep the state that so many facts have led to."""
        kind: Any = type(state)
        content = _shape(kind).dump_json(state).decode()
        with self._pool.connection() as connection:
            connection.execute(_KEEP, (stream, version, content, self._seal(stream, evolve, version, content)))

    def holds(self, stream: str, evolve: Callable[..., object], version: int, content: str, seal: str) -> bool:
        """Say whether these rules made this state, and nobody changed anything of it since."""
        right = self._seal(stream, evolve, version, content)
        return hmac.compare_digest(seal.encode(), right.encode())

    def _seal(self, stream: str, evolve: Callable[..., object], version: int, content: str) -> str:
        fold = f"{evolve.__module__}.{evolve.__qualname__}"
        return self._keys.digest("snapshot", f"{stream}|{version}|{fold}|{_rules()}|{content}")


def state_of(content: str, initial: State) -> State:
    """Return a kept state, of the kind of the initial one."""
    kind: Any = type(initial)
    state: State = _shape(kind).validate_json(content)
    return state


@cache
def _shape(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@cache
def _rules() -> str:
    """Return a digest of all the rules: a state counts only under the very code that folded it."""
    digest = hashlib.sha256()
    for path in _modules(files("domain")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _modules(folder: Traversable) -> list[Traversable]:
    found = sorted(folder.iterdir(), key=lambda path: path.name)
    inner = [path for each in found if each.is_dir() for path in _modules(each)]
    return [path for path in found if path.name.endswith(".py")] + inner
