"""The shapes of what the JSON doors answer."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from api.doors import Asked, csrf_token
from api.past import Because
from handlers.ports import AccountEntry, Session
from handlers.sessions import State

AsOfPosition = Annotated[
    int | None, Field(description="The position of the log to which a question about the past led.")
]
MinPosition = Annotated[
    int | None, Query(ge=0, le=2**62, description="Wait until the view has come to this position of the log.")
]


class AccountAnswer(BaseModel):
    """An account as its owner sees it."""

    account_id: str = Field(examples=["acc-olivia"])
    name: str
    email: str
    role: str = Field(examples=["owner"])
    portal: Literal["partner", "end_user"]
    partner_id: str
    partner: str
    organization_id: str | None = None
    organization: str | None = None

    @classmethod
    def of(cls, account: AccountEntry) -> "AccountAnswer":
        """Return the account's public form."""
        return cls(
            account_id=account.account_id,
            name=account.name,
            email=account.mail_address,
            role=account.role.value,
            portal="partner" if account.organization_id is None else "end_user",
            partner_id=account.partner_id,
            partner=account.partner_name,
            organization_id=account.organization_id,
            organization=account.organization_name,
        )


class SessionAnswer(BaseModel):
    """How far this browser's sign-in has come."""

    state: State
    csrf_token: str | None = Field(None, description="Sent back as X-CSRF-Token with every unsafe call.")
    account: AccountAnswer | None = None
    accounts: list[AccountAnswer] | None = Field(None, description="The choice, in the state `identified`.")
    reason: str | None = Field(None, description="Why the state is not `signed_in`.")
    stepped_up_until: datetime | None = None
    position: int | None = None


class MfaAnswer(BaseModel):
    """How it stands with one's own MFA."""

    mfa_status: Literal["Active", "Inactive"]
    factor: Literal["none", "pending", "active"]
    required: bool
    why: str = Field(examples=["enforced_for_partner_users"])
    policy_version: int
    can_switch_off: bool
    required_by: str | None = Field(None, description="The partner whose policy demands it.")
    position: int


class PositionAnswer(BaseModel):
    """A command was carried out; a query with `min_position` sees it."""

    position: int


class SetupAnswer(BaseModel):
    """A new shared secret, shown this once."""

    setup_key: str = Field(description="Base32, for typing into the app.")
    otpauth_uri: str
    qr_svg: str = Field(description="The same secret as a picture.")
    position: int


class PolicyAnswer(BaseModel):
    """What a partner demands."""

    as_of: AsOfPosition = None

    partner_id: str
    enforce_partner_users: bool
    enforce_organizations: bool
    version: int
    changed_at: datetime | None = None
    changed_by: str | None = None
    position: int
    lag_ms: int = 0


class MailAnswer(BaseModel):
    """What became of the newest reset mail."""

    kind: str
    state: Literal["owed", "sent", "given_up"]
    settled_at: datetime | None = None
    tries: int


class UserAnswer(BaseModel):
    """One row of User Management."""

    account_id: str
    name: str
    email: str
    role: str
    portal: Literal["partner", "end_user"]
    organization: str | None
    mfa_status: Literal["Active", "Inactive"]
    factor: Literal["none", "pending", "active"]
    required: bool
    since: datetime
    last_verified_at: datetime | None
    locked_until: datetime | None
    account_state: str
    unreadable: bool = Field(
        description="On hold: a fact of this account can only be read by a newer release. Nothing is decided about it."
    )
    mail: MailAnswer | None


class UsersAnswer(BaseModel):
    """One page of User Management."""

    as_of: AsOfPosition = None
    items: list[UserAnswer]
    next_cursor: str | None
    position: int
    lag_ms: int


class SumAnswer(BaseModel):
    """How many accounts of one population stand where."""

    population: str
    accounts: int
    active: int
    pending: int
    none: int
    required: bool


class DayAnswer(BaseModel):
    """How many accounts of one population stood where at the end of a day (UTC) on which that changed."""

    day: date
    population: str
    accounts: int
    active: int
    pending: int


class SummaryAnswer(BaseModel):
    """Adoption at one partner."""

    as_of: AsOfPosition = None
    partner_id: str
    populations: list[SumAnswer]
    adoption: list[DayAnswer]
    position: int
    lag_ms: int


class AccountMfaAnswer(BaseModel):
    """How it stands with another's MFA, and why. The names are those of today."""

    as_of: AsOfPosition = None
    account: AccountAnswer
    because: list[Because] = Field(description="The newest facts behind requirement and status.")
    mfa_status: Literal["Active", "Inactive"]
    factor: Literal["none", "pending", "active"]
    required: bool
    why: str
    policy_version: int
    locked_until: datetime | None
    needs_reset: bool
    position: int
    lag_ms: int = 0


class HistoryItem(BaseModel):
    """One thing that happened."""

    position: int
    at: datetime
    topic: str
    actor: str
    from_network: str
    data: dict[str, Any]


class HistoryAnswer(BaseModel):
    """What happened, newest first."""

    items: list[HistoryItem]
    position: int


def session_answer(
    asked: Asked, session: Session | None, account: AccountEntry | None, position: int | None = None
) -> SessionAnswer:
    """Return the public form of a sign-in."""
    if session is None:
        return SessionAnswer(state=State.ANONYMOUS, position=position)
    state = State(session.state)
    accounts = None
    if state is State.IDENTIFIED:
        accounts = [
            AccountAnswer.of(each)
            for each in asked.s.people.accounts([choice.split("|")[0] for choice in session.choices])
        ]
    return SessionAnswer(
        state=state,
        csrf_token=csrf_token(session.handle, asked.s),
        account=AccountAnswer.of(account) if account else None,
        accounts=accounts,
        reason=None if state is State.SIGNED_IN else _REASONS[state],
        stepped_up_until=session.stepped_up_until,
        position=position,
    )


_REASONS = {
    State.ANONYMOUS: "not_signed_in",
    State.IDENTIFIED: "account_choice_required",
    State.MFA_CODE_REQUIRED: "mfa_active",
    State.MFA_SETUP_REQUIRED: "mfa_not_set_up",
}
