"""Who may do what, folded from facts in the facts' own transaction: places, roles, and the numbers that end sessions."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import orjson
from psycopg import Connection

from domain.facts import (
    AccountDisabled,
    AccountErased,
    AccountMoved,
    AccountRegistered,
    AccountRestored,
    Disabled,
    EveryoneSignedOut,
    Factor,
    IdentityUnlinked,
    Locked,
    MailAddressChanged,
    OrganizationRegistered,
    OrganizationRenamed,
    PartnerRegistered,
    PartnerRenamed,
    PasswordChanged,
    Population,
    Purpose,
    ResetConfirmed,
    RoleChanged,
    Verified,
)
from domain.kernel import Envelope, Fact
from handlers.adapters.postgres.identities import FOLDED, fold_identity

_ENDING = frozenset(
    {
        ResetConfirmed,
        AccountMoved,
        RoleChanged,
        MailAddressChanged,
        PasswordChanged,
        AccountDisabled,
        AccountErased,
        IdentityUnlinked,
    }
)
_REGISTERED: dict[type[Fact], str] = {
    PartnerRegistered: """
        INSERT INTO partner_access (partner_id, name, type)
        SELECT subject, name, type FROM json_to_recordset(%s::json) AS r (subject text, name text, type text)""",
    OrganizationRegistered: """
        INSERT INTO organization_access (organization_id, partner_id, name)
        SELECT subject, partner_id, name
        FROM json_to_recordset(%s::json) AS r (subject text, partner_id text, name text)""",
    AccountRegistered: """
        INSERT INTO account_access (account_id, partner_id, organization_id, role)
        SELECT subject, partner_id, organization_id, role
        FROM json_to_recordset(%s::json) AS r (subject text, partner_id text, organization_id text, role text)""",
}
"""Who is new here: as many as come in a row are one statement, which finds the facts' own words in JSON."""
_CHANGED: dict[type[Fact], tuple[str, Callable[[Any], tuple[object, ...]]]] = {
    PartnerRenamed: ("UPDATE partner_access SET name = %s WHERE partner_id = %s", lambda fact: (fact.name,)),
    OrganizationRenamed: (
        "UPDATE organization_access SET name = %s WHERE organization_id = %s",
        lambda fact: (fact.name,),
    ),
    AccountMoved: (
        "UPDATE account_access SET organization_id = %s, role = %s WHERE account_id = %s",
        lambda fact: (fact.organization_id, fact.role.value),
    ),
    RoleChanged: ("UPDATE account_access SET role = %s WHERE account_id = %s", lambda fact: (fact.role.value,)),
    AccountDisabled: ("UPDATE account_access SET disabled = true WHERE account_id = %s", lambda _: ()),
    AccountErased: ("UPDATE account_access SET disabled = true WHERE account_id = %s", lambda _: ()),
    AccountRestored: ("UPDATE account_access SET disabled = false WHERE account_id = %s", lambda _: ()),
}
"""What is another now: the statement, and its values before the subject."""
_TOUCHING = frozenset({*_REGISTERED, *_CHANGED, *FOLDED, EveryoneSignedOut})
_RAISE = "UPDATE account_access SET generation = generation + 1 WHERE account_id = %s"
_RAISE_POPULATIONS = """
    UPDATE partner_access SET partner_users_generation = partner_users_generation + %s,
        organizations_generation = organizations_generation + %s WHERE partner_id = %s"""


def fold_access(connection: Connection[Any], envelopes: Iterable[Envelope]) -> None:
    """Bring the access tables to where the facts have led."""
    for kind, same in groupby(envelopes, key=lambda each: type(each.fact)):
        if kind in _REGISTERED:
            new = [{"subject": each.subject_id, **vars(each.fact)} for each in same]
            connection.execute(_REGISTERED[kind], (orjson.dumps(new).decode(),))
        elif kind is EveryoneSignedOut:
            _sign_out(connection, same)
        else:
            for envelope in same:
                _fold(connection, envelope)


def _sign_out(connection: Connection[Any], envelopes: Iterable[Envelope]) -> None:
    """End the sessions of a partner's populations by one statement: a second one would write the same row again."""
    for partner_id, same in groupby(envelopes, key=lambda each: each.subject_id):
        ended = [each.fact.population for each in same if isinstance(each.fact, EveryoneSignedOut)]
        raised = (ended.count(Population.PARTNER_USERS), ended.count(Population.ORGANIZATIONS))
        connection.execute(_RAISE_POPULATIONS, (*raised, partner_id))


def _fold(connection: Connection[Any], envelope: Envelope) -> None:
    if changed := _CHANGED.get(type(envelope.fact)):
        statement, values = changed
        connection.execute(statement, (*values(envelope.fact), envelope.subject_id))
    fold_identity(connection, envelope.subject_id, envelope.fact)
    if ends_sessions(envelope.fact):
        connection.execute(_RAISE, (envelope.subject_id,))
        connection.execute("DELETE FROM mailed_link WHERE account_id = %s", (envelope.subject_id,))


def changes_access(envelope: Envelope) -> bool:
    """Say whether the fact touches anybody's place, role, sessions or identities."""
    return type(envelope.fact) in _TOUCHING or ends_sessions(envelope.fact)


def ends_sessions(fact: Fact) -> bool:
    """Say whether the fact ends every session of its account; the sign-in that caused it may be given a new one."""
    match fact:
        case Verified():
            return fact.purpose is Purpose.SETUP
        case Disabled():
            return fact.was is Factor.ACTIVE
        case Locked():
            return fact.until is None
        case _:
            return type(fact) in _ENDING
