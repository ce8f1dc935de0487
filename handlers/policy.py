"""What a partner demands: read it, change it."""

from domain.facts import Population, Role
from domain.kernel import Refused
from domain.partner_policy import PartnerPolicy
from domain.permissions import Action, check
from handlers.callers import Caller, actor_at, decided_again, policy_of, record_read, record_refusal
from handlers.ports import Change, Sockets
from handlers.shapes import Command


class SetPolicy(Command):
    """Demand MFA of one population, of both, or of none."""

    enforce_partner_users: bool
    enforce_organizations: bool
    sign_everyone_out: bool = False

    def wanted(self) -> frozenset[Population]:
        """Return the populations of which MFA is demanded."""
        partner_users = {Population.PARTNER_USERS} if self.enforce_partner_users else set()
        organizations = {Population.ORGANIZATIONS} if self.enforce_organizations else set()
        return frozenset(partner_users | organizations)


def set_policy(
    partner_id: str, command: SetPolicy, seen_version: int | None, caller: Caller, s: Sockets
) -> tuple[PartnerPolicy, int]:
    """Change the demands from each person's next login on; return the policy and the position."""
    allowed(partner_id, Action.CHANGE_POLICY, caller, s)
    caller.require_step_up()

    def decide() -> int:
        policy, version = policy_of(partner_id, s)
        facts = policy.set_demands(command.wanted(), seen_version=seen_version, sign_out=command.sign_everyone_out)
        if not facts:
            return s.store.last_position()
        change = Change(f"partner_policy:{partner_id}", version, facts, partner_id)
        return s.store.append(change, origin=caller.origin(), rows=caller.guards())

    position = decided_again(decide)
    return policy_of(partner_id, s)[0], position


def allowed(partner_id: str, action: Action, caller: Caller, s: Sockets) -> None:
    """Refuse what the caller may not do at this partner, and keep what was asked in vain, and who looked into records."""
    try:
        check(actor_at(caller, partner_id, s), action, partner_id=partner_id)
    except Refused as refused:
        known = partner_id if s.people.partner_type(partner_id) else None
        record_refusal(caller, s, refused, action=action.value, partner_id=known, account_id=None)
        raise
    if action is Action.SEE_AUDIT or (caller.account is not None and caller.account.role is Role.AUDITOR):
        record_read(caller.origin(), s, what=action.value, partner_id=partner_id)
