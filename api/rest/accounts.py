"""Another person's MFA: ``/accounts``."""

from typing import Annotated

from fastapi import Depends

from api.doors import SIGNED_IN, Admit, Asked
from api.past import FOR_EVER, AsOf, because, moment_of, required_under
from api.rest import json_doors
from api.rest.answers import AccountAnswer, AccountMfaAnswer, MinPosition, PositionAnswer
from domain.permissions import Action, AnotherTenant
from handlers import policy, reset
from handlers.shapes import Id
from projections import status_history

router = json_doors("accounts")


@router.post("/accounts/{account_id}/mfa/reset")
def reset_other(
    account_id: Id,
    command: reset.ResetOther,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="write", once=True))],
) -> PositionAnswer:
    """End a person's MFA at once: old codes are refused, and a mail leads to the new set-up.

    At most 20 an hour by one administrator, or by one service token at one partner, and 3 an hour of one account. Who is
    refused by that (429) is told by `Retry-After` when the next one may be, and by `RateLimit-Policy` which limit it was.
    """
    return PositionAnswer(position=asked.once(lambda: reset.reset_other(account_id, command, asked.caller, asked.s)))


@router.post("/accounts/{account_id}/mfa/reset/mail", status_code=202)
def repeat_reset_mail(
    account_id: Id, asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="write", once=True))]
) -> PositionAnswer:
    """Send the mail of an open reset again, with a new link."""
    return PositionAnswer(position=asked.once(lambda: reset.repeat_reset_mail(account_id, asked.caller, asked.s)))


@router.get("/accounts/{account_id}/mfa")
def read_mfa(
    account_id: Id,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="read"))],
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> AccountMfaAnswer:
    """Return how it stands or stood with a person's MFA, by which rule it is required or not, and the facts behind that."""
    account = asked.s.people.account(account_id)
    policy.allowed(account.partner_id if account else "", Action.SEE_USERS, asked.caller, asked.s)
    moment = moment_of(as_of, asked)
    position, lag = asked.wait(min_position or asked.s.store.last_position(), status_history.NAME)
    at = moment.position if moment else position
    with asked.watchword.views.connection() as connection:
        found = status_history.status_at(connection, account.partner_id, account_id, at) if account else None
        demands = status_history.policy_at(connection, account.partner_id, at) if account else None
        if account is None or found is None or demands is None:
            raise AnotherTenant
        reasons = status_history.reasons_at(connection, found, demands, at)
    needed = required_under(demands, found["organization_id"])
    locked, seen_at = found["locked_until"], asked.caller.at
    return AccountMfaAnswer(
        as_of=moment.position if moment else None,
        account=AccountAnswer.of(account),
        mfa_status="Active" if found["factor"] == "active" else "Inactive",
        factor=found["factor"],
        required=needed.required,
        why=needed.why.value,
        policy_version=needed.policy_version,
        because=because(asked.watchword, reasons),
        locked_until=locked if locked and (moment or locked > seen_at) and locked.year < FOR_EVER else None,
        needs_reset=bool(locked and locked.year == FOR_EVER),
        position=position,
        lag_ms=lag,
    )
