"""A log of any length of one partner, the same each time, and what the projector would leave of a longer one."""

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import psycopg

from api.bootstrap import Watchword
from domain import facts as f
from domain.kernel import Envelope, Fact

SEED = 20_261_124
START = datetime(2025, 1, 1, tzinfo=UTC)
FACTS_OF_AN_ACCOUNT = 20
PARTNER = "big"


def accounts_of(facts: int) -> int:
    """Return how many accounts a log of so many facts is about."""
    return max(50, facts // FACTS_OF_AN_ACCOUNT)


def envelopes(facts: int) -> Iterator[Envelope]:
    """Return a log of so many facts of one partner: people join, enrol, sign in, are reset, leave, in any order."""
    chance = random.Random(SEED)
    versions: dict[str, int] = defaultdict(int)
    accounts = accounts_of(facts)
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


def write(watchword: Watchword, facts: int) -> None:
    """Put so many facts into an empty log, and the people whom they are about."""
    mapper = watchword.store._log.mapper
    owner = watchword.settings.need("admin_database_url")
    columns = "originator_id, originator_version, topic, state, notification_id"
    with psycopg.connect(owner) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY stored_events ({columns}) FROM STDIN") as copy:
            for position, envelope in enumerate(islice(envelopes(facts), facts), 1):
                stored = mapper.to_stored_event(envelope)
                copy.write_row((stored.originator_id, stored.originator_version, stored.topic, stored.state, position))
        cursor.execute("SELECT setval(pg_get_serial_sequence('stored_events', 'notification_id'), %s)", (facts,))
        people = "SELECT 'acc-' || n, %s, NULL, 'support', false, 0 FROM generate_series(0, %s) n"
        accounts = accounts_of(facts) - 1
        cursor.execute("INSERT INTO partner_access VALUES (%s, 'Big', 'distributor')", (PARTNER,))
        cursor.execute(f"INSERT INTO account_access {people}", (PARTNER, accounts))
        cursor.execute(
            "INSERT INTO person SELECT account_id, partner_id, partner_id, account_id, account_id, account_id"
            " FROM account_access"
        )


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
