"""How the history of states is drawn: a fact that changes what is seen ends one span and begins the next."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date
from typing import Any

from psycopg import Connection

from domain import facts as f
from domain.kernel import Envelope
from projections import partner_policy, user_status
from projections.tables import Row, insert, looked_up, update

VISIBLE = ("organization_id", "role", "account_state", "factor", "owed", "since", "locked_until")
"""What makes a new span of an account when it changes."""
_SEEN = frozenset(("partner_id", *VISIBLE))
_ENDS = ("from_position", "from_at", "to_position", "to_at")
_ACCOUNT = ("account_id", "partner_id", *VISIBLE, *_ENDS)
_POLICY = ("partner_id", *partner_policy.FIRST, *_ENDS)


class Spans:
    """The open spans that some facts end, and those that they begin. The first column says whose they are."""

    def __init__(self, connection: Connection[Any], table: str, columns: Sequence[str]) -> None:
        self._connection, self._table, self._columns = connection, table, columns
        self._open: dict[str, Row] = {}
        self._new: list[Row] = []
        self._ended: list[Row] = []

    def __len__(self) -> int:
        return len(self._new) + len(self._ended)

    def know(self, keys: Iterable[str]) -> None:
        """Look up the open spans of those whose span is not known yet."""
        missing = set(keys) - self._open.keys()
        for row in looked_up(self._connection, self._table, self._columns, missing, "to_position IS NULL"):
            self._open[row[self._columns[0]]] = row

    def get(self, key: str) -> Row | None:
        """Return the span that is open now."""
        return self._open.get(key)

    def begin(self, key: str, changed: Row, envelope: Envelope) -> Row | None:
        """Begin a span in which these columns are so, unless they are already; return it."""
        before = self._open.get(key, {})
        if before and all(before[name] == value for name, value in changed.items()):
            return None
        begun = {**before, self._columns[0]: key, **changed}
        begun |= {"from_position": envelope.position, "from_at": envelope.at, "to_position": None, "to_at": None}
        if before:
            before |= {"to_position": envelope.position, "to_at": envelope.at}
            if not self._new or before["from_position"] < self._new[0]["from_position"]:
                self._ended.append(before)
        self._open[key] = begun
        self._new.append(begun)
        return begun

    def write(self) -> None:
        """Write the ends first: only one span of each may be open."""
        key = (self._columns[0], "from_position")
        if self._ended:
            columns = (*key, "to_position", "to_at")
            ended = [[row[name] for name in columns] for row in self._ended]
            update(self._connection, self._table, columns, ended, keys=2)
        if self._new:
            new = [[row[name] for name in self._columns] for row in self._new]
            insert(self._connection, self._table, self._columns, new)


_ADOPTION = """
    INSERT INTO adoption AS a (partner_id, population, day, accounts, active, pending)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::date[], %s::bigint[], %s::bigint[], %s::bigint[])
    ON CONFLICT (partner_id, population, day) DO UPDATE SET accounts = a.accounts + excluded.accounts,
        active = a.active + excluded.active, pending = a.pending + excluded.pending"""


class Adoption:
    """By how much the facts of a day changed the counts of open accounts."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._days: dict[tuple[str, str, date], list[int]] = defaultdict(lambda: [0, 0, 0])

    def count(self, span: Row | None, day: date, sign: int) -> None:
        """Count an account where its span stands, or no longer there."""
        if span and span["account_state"] == "open":
            population = f.Population.PARTNER_USERS if span["organization_id"] is None else f.Population.ORGANIZATIONS
            counts = self._days[span["partner_id"], population.value, day]
            counts[0] += sign
            counts[1] += sign * (span["factor"] == "active")
            counts[2] += sign * (span["factor"] == "pending")

    def write(self) -> None:
        """Add them up in one statement, in an order of their own."""
        if self._days:
            rows = [[*key, *counts] for key, counts in sorted(self._days.items())]
            self._connection.execute(_ADOPTION, [list(column) for column in zip(*rows, strict=True)])


class Fold:
    """The spans and days that some facts touch."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._accounts = Spans(connection, "status_interval", _ACCOUNT)
        self._policies = Spans(connection, "policy_interval", _POLICY)
        self._adoption = Adoption(connection)

    def __len__(self) -> int:
        return len(self._accounts) + len(self._policies)

    def add(self, envelopes: Iterable[Envelope]) -> None:
        """Take in what happened next."""
        accounts: list[tuple[str, Envelope, Row]] = []
        policies: list[Envelope] = []
        for each in envelopes:
            changed = user_status.changes(each.fact, each.at)
            if seen := {name: changed[name] for name in changed if name in _SEEN}:
                accounts.append((each.subject_id, each, seen))
            elif type(each.fact) in partner_policy.ABOUT:
                policies.append(each)
        self._add_accounts(accounts)
        self._add_policies(policies)

    def _add_accounts(self, happened: Sequence[tuple[str, Envelope, Row]]) -> None:
        self._accounts.know(account for account, _, _ in happened)
        for account, each, seen in happened:
            before = self._accounts.get(account)
            if (before is None) is (type(each.fact) is f.AccountRegistered):
                begun = self._accounts.begin(account, seen, each)
                if begun:
                    day = each.at.astimezone(UTC).date()
                    self._adoption.count(before, day, -1)
                    self._adoption.count(begun, day, 1)

    def _add_policies(self, happened: Sequence[Envelope]) -> None:
        self._policies.know(each.subject_id for each in happened)
        for each in happened:
            before = self._policies.get(each.subject_id)
            if isinstance(each.fact, f.PartnerRegistered):
                self._policies.begin(each.subject_id, dict(partner_policy.FIRST), each)
            elif before:
                self._policies.begin(each.subject_id, partner_policy.changes(each, before["version"]), each)

    def write(self) -> None:
        """Bring the tables to where the facts have led."""
        for part in (self._accounts, self._policies, self._adoption):
            part.write()
