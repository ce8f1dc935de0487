"""The tables of who may do what, folded in the facts' own transaction."""

import psycopg
import pytest

from domain.facts import (
    AccountDisabled,
    AccountMoved,
    AccountRegistered,
    AccountRestored,
    DomainProved,
    EveryoneSignedOut,
    OrganizationRegistered,
    OrganizationRenamed,
    PartnerRegistered,
    PartnerRenamed,
    PartnerType,
    Population,
    Role,
    RoleChanged,
)
from domain.kernel import Fact
from handlers.adapters.postgres.event_store import PostgresEventStore
from handlers.ports import Change
from tests.contract.plugs import origin
from tests.servers import Database

USERS, ORGANIZATIONS = (EveryoneSignedOut(population=each) for each in Population)
_GENERATIONS = "SELECT partner_id, partner_users_generation, organizations_generation FROM partner_access ORDER BY 1"


def test_each_time_that_a_population_is_signed_out_counts_for_that_population_of_that_partner(
    postgres: PostgresEventStore, database: Database
) -> None:
    joined = PartnerRegistered(name="P", type=PartnerType.DISTRIBUTOR)
    partners = ("p-1", "p-2", "p-3")
    postgres.append(*(Change(f"partner:{each}", 0, [joined], each) for each in partners), origin=origin())
    postgres.append(
        Change("partner_policy:p-1", 0, [USERS, ORGANIZATIONS, USERS], "p-1"),
        Change("partner_policy:p-2", 0, [ORGANIZATIONS], "p-2"),
        origin=origin(),
    )
    with psycopg.connect(database.app_url) as connection:
        assert connection.execute(_GENERATIONS).fetchall() == [("p-1", 2, 1), ("p-2", 0, 1), ("p-3", 0, 0)]


@pytest.mark.parametrize(
    ("stream", "facts", "query", "found"),
    [
        ("partner:p", [PartnerRenamed(name="Q")], "SELECT name FROM partner_access", "Q"),
        ("partner:p", [DomainProved(domain="example.org")], "SELECT domain FROM proved_domain", "example.org"),
        ("organization:o", [OrganizationRenamed(name="R")], "SELECT name FROM organization_access", "R"),
        ("account:a", [RoleChanged(role=Role.SUPPORT)], "SELECT role FROM account_access", "support"),
        (
            "account:a",
            [AccountMoved(organization_id="o", role=Role.END_USER)],
            "SELECT organization_id || ' ' || role FROM account_access",
            "o end_user",
        ),
        ("account:a", [AccountDisabled()], "SELECT disabled FROM account_access", True),
        ("account:a", [AccountDisabled(), AccountRestored()], "SELECT disabled FROM account_access", False),
    ],
)
def test_a_fact_that_comes_alone_changes_its_row_in_its_own_commit(
    postgres: PostgresEventStore, database: Database, stream: str, facts: list[Fact], query: str, found: object
) -> None:
    """Facts that touch nobody's access share one statement, which writes no such row."""
    begun = (
        Change("partner:p", 0, [PartnerRegistered(name="P", type=PartnerType.DISTRIBUTOR)], "p"),
        Change("organization:o", 0, [OrganizationRegistered(name="O", partner_id="p")], "p"),
        Change("account:a", 0, [AccountRegistered(partner_id="p", organization_id=None, role=Role.ADMIN)], "p"),
    )
    postgres.append(*begun, origin=origin())
    for version, fact in enumerate(facts, start=1):
        postgres.append(Change(stream, version, [fact], "p"), origin=origin())
    with psycopg.connect(database.app_url) as connection:
        assert connection.execute(query).fetchall() == [(found,)]
