"""A desk with a log of two partners, and the judges of OCSF."""

from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema  # type: ignore[import-untyped]

from api import export_proofs, exporting
from api.bootstrap import Watchword
from tests.contract.export.desk import Desk


@pytest.fixture
def desk(watchword: Watchword, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A directory with some codes after it, of two partners by turns; pages of the tree have 8 leaves."""
    monkeypatch.setattr(export_proofs, "PAGE", 8)
    monkeypatch.setattr(exporting, "PAGE", 8)
    own = replace(watchword, settings=replace(watchword.settings, ledger_dir=tmp_path / "ledger"))
    desk = Desk(own, tmp_path)
    for number in range(40):
        desk.append(f"user_mfa:{('dist-owner', 'dist-admin')[number % 2]}")
        desk.append("user_mfa:dist2-owner", tenant="dist2")
    return desk


@pytest.fixture(scope="session")
def validators() -> dict[int, jsonschema_rs.Validator]:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    names = {uid: schema.lookup_class_name_from_uid(uid) for uid in (3001, 3002, 3004, 6003)}
    return {uid: jsonschema_rs.validator_for(schema.get_class_schema(class_name=name)) for uid, name in names.items()}
