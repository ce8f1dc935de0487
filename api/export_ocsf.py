"""Each fact as an event of OCSF 1.8, for the systems in which security teams look for attacks."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from domain.facts import Purpose

VERSION = "1.8.0"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _As(NamedTuple):
    """How a kind of fact is called in OCSF."""

    class_uid: int
    activity_id: int
    severity_id: int = 1
    """1 informational, 2 low, 3 medium."""
    status_id: int = 1
    """1 success, 2 failure."""


AUTHENTICATION, ACCOUNT_CHANGE, ENTITY_MANAGEMENT, API_ACTIVITY = 3002, 3001, 3004, 6003
_OTHER = 99
"""An activity for which OCSF has no number; the event names the fact's topic."""

ACTIVITIES = {
    "partner.registered": _As(ENTITY_MANAGEMENT, 1),
    "partner.renamed": _As(ENTITY_MANAGEMENT, 3),
    "organization.registered": _As(ENTITY_MANAGEMENT, 1),
    "organization.renamed": _As(ENTITY_MANAGEMENT, 3),
    "account.registered": _As(ACCOUNT_CHANGE, 1),
    "account.moved": _As(ACCOUNT_CHANGE, _OTHER),
    "account.role_changed": _As(ACCOUNT_CHANGE, _OTHER),
    "account.renamed": _As(ACCOUNT_CHANGE, _OTHER),
    "account.mail_address_changed": _As(ACCOUNT_CHANGE, _OTHER),
    "account.password_changed": _As(ACCOUNT_CHANGE, 3),
    "account.disabled": _As(ACCOUNT_CHANGE, 5),
    "account.restored": _As(ACCOUNT_CHANGE, 2),
    "account.erased": _As(ACCOUNT_CHANGE, 6),
    "account.sign_in_locked": _As(ACCOUNT_CHANGE, 9, 3),
    "account.sign_in_unlocked": _As(ACCOUNT_CHANGE, 12),
    "partner.domain_proved": _As(ENTITY_MANAGEMENT, 3),
    "partner.domain_withdrawn": _As(ENTITY_MANAGEMENT, 3, 2),
    "identity_provider.added": _As(ENTITY_MANAGEMENT, 1),
    "identity_provider.removed": _As(ENTITY_MANAGEMENT, 4, 2),
    "identity_provider.mfa_credited": _As(ENTITY_MANAGEMENT, 3, 3),
    "identity_provider.mfa_uncredited": _As(ENTITY_MANAGEMENT, 3),
    "account.identity_invited": _As(ACCOUNT_CHANGE, _OTHER),
    "account.identity_linked": _As(ACCOUNT_CHANGE, _OTHER, 2),
    "account.identity_unlinked": _As(ACCOUNT_CHANGE, _OTHER, 2),
    "account.identity_proved": _As(AUTHENTICATION, 1),
    "partner_policy.enforced": _As(ENTITY_MANAGEMENT, 8),
    "partner_policy.enforcement_lifted": _As(ENTITY_MANAGEMENT, 9, 2),
    "partner_policy.everyone_signed_out": _As(ENTITY_MANAGEMENT, _OTHER),
    "user_mfa.enabled": _As(ACCOUNT_CHANGE, _OTHER),
    "user_mfa.setup_started": _As(ACCOUNT_CHANGE, _OTHER),
    "user_mfa.verified": _As(AUTHENTICATION, 1),
    "user_mfa.verification_failed": _As(AUTHENTICATION, 1, 2, 2),
    "user_mfa.locked": _As(ACCOUNT_CHANGE, 9, 3),
    "user_mfa.unlocked": _As(ACCOUNT_CHANGE, 12),
    "user_mfa.disabled": _As(ACCOUNT_CHANGE, 11, 2),
    "user_mfa.reset_requested": _As(ACCOUNT_CHANGE, _OTHER),
    "user_mfa.reset_confirmed": _As(ACCOUNT_CHANGE, 11, 2),
    "user_mfa.reset_mail_repeated": _As(ACCOUNT_CHANGE, _OTHER),
    "account.attempt_refused": _As(API_ACTIVITY, _OTHER, 3, 2),
    "audit.read": _As(API_ACTIVITY, 2),
    "audit.exported": _As(API_ACTIVITY, 2),
    "mail.owed": _As(ENTITY_MANAGEMENT, 1),
    "mail.sent": _As(ENTITY_MANAGEMENT, 3),
    "mail.given_up": _As(ENTITY_MANAGEMENT, 3, 2, 2),
    "mail.requeued": _As(ENTITY_MANAGEMENT, 3),
}
"""Every topic without its version. A test finds the ones that are missing."""
_OF_PURPOSE = {Purpose.SETUP: (ACCOUNT_CHANGE, 10), Purpose.STEP_UP: (AUTHENTICATION, _OTHER)}
"""What a code was entered for changes the class; at sign-in it is a logon."""


def event_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as an event; what OCSF has no place for stands under ``unmapped``, and so does all the rest."""
    topic = record["topic"].rpartition(".v")[0]
    shape = ACTIVITIES.get(topic, _As(ENTITY_MANAGEMENT, _OTHER))
    class_uid, activity_id = _OF_PURPOSE.get(record["data"].get("purpose"), shape[:2])
    return {
        "metadata": _metadata(record),
        "category_uid": class_uid // 1000,
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": topic,
        "type_uid": class_uid * 100 + activity_id,
        "severity_id": shape.severity_id,
        "status_id": shape.status_id,
        "time": (datetime.fromisoformat(record["at"]) - EPOCH) // timedelta(milliseconds=1),
        "message": record["what"],
        "actor": {"user": {"uid": record["actor"]}},
        **_more(class_uid, record),
        "unmapped": dict(record),
    }


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "uid": str(record["position"]),
        "sequence": record["position"],
        "event_code": record["topic"],
        "tenant_uid": record["tenant"],
        "correlation_uid": record["correlation_id"],
        "product": {"name": "Watchword", "vendor_name": "Watchword"},
    }


def _more(class_uid: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what only this class has."""
    kind, _, name = record["stream"].partition(":")
    if class_uid == ENTITY_MANAGEMENT:
        return {"entity": {"uid": name, "type": kind}}
    if class_uid == API_ACTIVITY:
        operation = record["data"].get("action") or record["data"].get("what") or "export"
        return {"api": {"operation": operation}, "src_endpoint": {"name": record["from_network"] or record["actor"]}}
    user = {"user": {"uid": record["account_id"] or name}}
    if class_uid == ACCOUNT_CHANGE:
        return user
    factor = {"factor_type_id": 7, "is_totp": True}  # 7 is a one-time password
    return {**user, "service": {"name": "Partner Portal"}, "auth_factors": [factor], "is_mfa": True}
