"""Another person's MFA: ``/accounts``."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.doors import SIGNED_IN, Admit, Asked
from api.rest.answers import AccountAnswer, AccountMfaAnswer, PositionAnswer
from domain.facts import Factor
from domain.permissions import Action, AnotherTenant
from handlers import policy, reset
from handlers.callers import mfa_of, needed_of
from handlers.shapes import Id

router = APIRouter(tags=["accounts"])


@router.post("/accounts/{account_id}/mfa/reset")
def reset_other(
    account_id: Id,
    command: reset.ResetOther,
    asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="write", once=True))],
) -> PositionAnswer:
    """End a person's MFA at once: old codes are refused, and a mail leads to the new set-up."""
    return PositionAnswer(position=asked.once(lambda: reset.reset_other(account_id, command, asked.caller, asked.s)))


@router.post("/accounts/{account_id}/mfa/reset/mail", status_code=202)
def repeat_reset_mail(
    account_id: Id, asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="write", once=True))]
) -> PositionAnswer:
    """Send the mail of an open reset again, with a new link."""
    return PositionAnswer(position=asked.once(lambda: reset.repeat_reset_mail(account_id, asked.caller, asked.s)))


@router.get("/accounts/{account_id}/mfa")
def read_mfa(account_id: Id, asked: Annotated[Asked, Depends(Admit(SIGNED_IN, service="read"))]) -> AccountMfaAnswer:
    """Return how it stands with a person's MFA, and by which rule and policy version it is required or not."""
    account = asked.s.people.account(account_id)
    policy.allowed(account.partner_id if account else "", Action.SEE_USERS, asked.caller, asked.s)
    if account is None:
        raise AnotherTenant
    position = asked.s.store.last_position()
    mfa, needed = mfa_of(account_id, asked.s)[0], needed_of(account, asked.s)[0]
    locked = mfa.guesses.locked_until
    return AccountMfaAnswer(
        account=AccountAnswer.of(account),
        mfa_status="Active" if mfa.factor is Factor.ACTIVE else "Inactive",
        factor=mfa.factor.value,
        required=needed.required,
        why=needed.why.value,
        policy_version=needed.policy_version,
        locked_until=locked if locked and locked > asked.caller.at else None,
        needs_reset=mfa.guesses.dead,
        position=asked.at(position),
    )
