"""Every fact is an event by the schema of OCSF 1.8."""

import json
from typing import Any

import jsonschema_rs
import pytest

from api.export_formats import COLUMNS
from api.export_ocsf import ACTIVITIES, event_of
from domain.kernel import FACTS
from tests.contract.export.desk import ROOT


@pytest.mark.parametrize("topic", sorted(FACTS))
def test_every_fact_is_an_event_of_ocsf(validators: dict[int, jsonschema_rs.Validator], topic: str) -> None:
    assert topic.rpartition(".v")[0] in ACTIVITIES
    golden = json.loads((ROOT / "tests" / "history" / f"{topic}.json").read_text())
    for more in [{"purpose": each} for each in ("setup", "sign_in", "step_up")] if "purpose" in golden else [{}]:
        event = event_of(record(topic, {**golden, **more}))
        assert [error.message for error in validators[event["class_uid"]].iter_errors(event)] == []
        for part in ("metadata", "time", "type_uid", "severity_id"):
            short = {name: value for name, value in event.items() if name != part}
            assert not validators[event["class_uid"]].is_valid(short), "the judge is awake"


def record(topic: str, data: dict[str, Any]) -> dict[str, Any]:
    kind = "user_mfa" if topic.startswith("user_mfa") else topic.split(".", maxsplit=1)[0]
    who = "acc-1" if kind in {"account", "user_mfa"} else None
    texts = dict.fromkeys(COLUMNS, "x") | {"at": "2026-03-02T12:00:00.123456+00:00", "topic": topic}
    return {**texts, "position": 7, "version": 1, "stream": f"{kind}:acc-1", "account_id": who, "data": data}
