"""What the users of a load asked, and what they were answered: all that a checker may believe of them."""

import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

import httpx

from tests.faults.people import TENANTS, tenant_of

Outcome = Literal["started", "acknowledged", "refused", "unknown"]
_FOREIGN = {tenant: re.compile("|".join(f"{other}-" for other in TENANTS if other != tenant)) for tenant in TENANTS}


@dataclass
class Operation:
    """One request, under an id that the facts it leads to carry."""

    id: str
    kind: str
    account: str
    begun: float
    ended: float = 0.0
    outcome: Outcome = "started"
    status: int = 0
    position: int | None = None
    """The position that was acknowledged."""
    reason: str = ""


@dataclass
class History:
    """Every operation of a load, and whatever of another tenant was seen in an answer."""

    operations: list[Operation] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Begins the ids of its operations: the log holds those of earlier loads too."""
    _numbers: "count[int]" = field(default_factory=count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, kind: str, account: str) -> Operation:
        with self._lock:
            operation = Operation(f"fault-{self.name}-{next(self._numbers)}", kind, account, time.monotonic())
            self.operations.append(operation)
        return operation

    def answered(self, operation: Operation, answer: httpx.Response | None) -> None:
        """Note the answer; None: nobody knows what became of it."""
        operation.ended = time.monotonic()
        if answer is None or (answer.status_code >= 500 and answer.status_code != 503):
            operation.outcome, operation.status = "unknown", answer.status_code if answer else 0
            return
        operation.status = answer.status_code
        if answer.status_code == 503:
            operation.outcome = "unknown"
        elif answer.is_success:
            operation.outcome = "acknowledged"
            operation.position = int(answer.headers.get("Watchword-Position", 0)) or None
        else:
            operation.outcome = "refused"
        if answer.headers.get("content-type", "").endswith("json") and not answer.is_success:
            operation.reason = answer.json().get("reason", "")
        self.seen(operation.account, answer.text)

    def seen(self, account: str, text: str) -> None:
        if found := _FOREIGN[tenant_of(account)].search(text):
            self.leaks.append(f"{account} saw {found[0]}")

    def count(self, outcome: Outcome) -> int:
        return sum(operation.outcome == outcome for operation in self.operations)

    def acknowledged_since(self, moment: float) -> float | None:
        """Return when the first write that was begun after a moment was acknowledged."""
        ends = [
            each.ended
            for each in list(self.operations)
            if each.begun >= moment and each.outcome == "acknowledged" and each.position and each.kind != "read"
        ]
        return min(ends, default=None)


def foreign(tenant: str, text: str) -> str | None:
    """Return what of another tenant a text holds."""
    found = _FOREIGN[tenant].search(text)
    return found[0] if found else None
