"""The own MFA: ``/me``, and the links that are mailed about it."""

import io
from typing import Annotated

import segno
from fastapi import Depends

from api.auditing import SECRET_NAMES
from api.cookies import clear_cookie
from api.doors import ANYBODY, SETTING_UP, SIGNED_IN, Admit, Asked
from api.rest import json_doors
from api.rest.answers import (
    HistoryAnswer,
    HistoryItem,
    MfaAnswer,
    PositionAnswer,
    SessionAnswer,
    SetupAnswer,
    session_answer,
)
from domain.facts import Factor
from handlers import mfa, reset
from handlers.history import account_history
from handlers.shapes import Id

router = json_doors("my MFA")


def _mfa_answer(asked: Asked, position: int | None = None) -> MfaAnswer:
    last = asked.s.store.last_position()
    status = mfa.status(asked.caller, asked.s)
    return MfaAnswer(
        mfa_status="Active" if status.mfa.factor is Factor.ACTIVE else "Inactive",
        factor=status.mfa.factor.value,
        required=status.needed.required,
        why=status.needed.why.value,
        policy_version=status.needed.policy_version,
        can_switch_off=status.can_switch_off,
        required_by=status.partner_id if status.needed.required else None,
        position=asked.at(max(position or 0, last)),
    )


@router.get("/me/mfa")
def read_mfa(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> MfaAnswer:
    """Return how it stands with one's own MFA, and by which rule it is required or not."""
    return _mfa_answer(asked)


@router.post("/me/mfa/enable")
def enable(asked: Annotated[Asked, Depends(Admit(SIGNED_IN, once=True))]) -> MfaAnswer:
    """Switch MFA on for this account alone. The next login leads through the set-up."""
    return _mfa_answer(asked, asked.once(lambda: mfa.enable(asked.caller, asked.s)))


@router.post("/me/mfa/disable")
def disable(asked: Annotated[Asked, Depends(Admit(SETTING_UP))]) -> MfaAnswer:
    """Switch MFA off where nobody demands it, or leave a set-up that nobody demands ("not now")."""
    progress = mfa.disable(asked.caller, asked.s)
    asked.proceed(progress)
    return _mfa_answer(asked, progress.position)


@router.post("/me/mfa/setup")
def start_setup(command: mfa.StartSetup, asked: Annotated[Asked, Depends(Admit(SETTING_UP))]) -> SetupAnswer:
    """Begin the set-up: a new key, shown this once, which counts when a code of it is confirmed."""
    shown = mfa.start_setup(command, asked.caller, asked.s)
    picture = io.BytesIO()
    segno.make(shown.otpauth_uri, error="m", micro=False).save(picture, kind="svg", scale=5, xmldecl=False, svgns=True)
    return SetupAnswer(
        setup_key=shown.setup_key,
        otpauth_uri=shown.otpauth_uri,
        qr_svg=picture.getvalue().decode(),
        position=asked.at(shown.position),
    )


@router.post("/me/mfa/setup/confirm")
def confirm_setup(command: mfa.ConfirmSetup, asked: Annotated[Asked, Depends(Admit(SETTING_UP))]) -> SessionAnswer:
    """Prove the new authenticator; the old one and every other session end."""
    progress = mfa.confirm_setup(command, asked.caller, asked.s)
    asked.proceed(progress)
    return session_answer(asked, progress.session, progress.account, progress.position)


@router.post("/me/mfa/setup/mail", status_code=202)
def repeat_setup_mail(asked: Annotated[Asked, Depends(Admit(SETTING_UP, once=True))]) -> PositionAnswer:
    """Have the mail that opens the set-up after an administrator's reset sent again."""
    return PositionAnswer(position=asked.once(lambda: reset.repeat_own_setup_mail(asked.caller, asked.s)))


@router.post("/me/mfa/reset", status_code=202)
def request_reset(
    command: reset.RequestReset, asked: Annotated[Asked, Depends(Admit(SIGNED_IN, once=True))]
) -> PositionAnswer:
    """Ask to reset the own MFA with the login password. A link is mailed; until it is confirmed nothing changes."""
    return PositionAnswer(position=asked.once(lambda: reset.request_reset(command, asked.caller, asked.s)))


@router.post("/reset/{reset_id}/confirm", tags=["links"])
def confirm_reset(
    reset_id: Id, command: reset.ConfirmReset, asked: Annotated[Asked, Depends(Admit(ANYBODY))]
) -> PositionAnswer:
    """Confirm the own reset by the mailed link. The old authenticator and every session end; nobody is signed in."""
    position = reset.confirm_reset(reset_id, command, asked.caller, asked.s)
    clear_cookie(asked.response, asked.watchword)
    return PositionAnswer(position=asked.at(position))


@router.get("/me/history")
def history(asked: Annotated[Asked, Depends(Admit(SIGNED_IN))]) -> HistoryAnswer:
    """Return everything that happened to one's own account and MFA, newest first."""
    envelopes = account_history(asked.caller.person().account_id, asked.s)
    items = [
        HistoryItem(
            position=each.position,
            at=each.at,
            topic=each.kind,
            actor=each.actor,
            from_network=each.ip_prefix,
            data=each.fact.model_dump(mode="json", exclude=SECRET_NAMES),
        )
        for each in envelopes
    ]
    return HistoryAnswer(items=items, position=asked.at(asked.s.store.last_position()))
