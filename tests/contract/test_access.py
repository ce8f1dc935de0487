"""The tables of who may do what, folded in the facts' own transaction."""

import psycopg

from domain.facts import EveryoneSignedOut, PartnerRegistered, PartnerType, Population
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
