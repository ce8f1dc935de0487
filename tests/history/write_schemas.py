"""Write the JSON Schema of every fact into docs/events: ``python -m tests.history.write_schemas``."""

import json
from collections.abc import Mapping
from inspect import getdoc
from pathlib import Path

import domain.facts  # noqa: F401  (fills FACTS)
from domain.kernel import FACTS, Fact

FOLDER = Path(__file__).parents[2] / "docs" / "events"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""What pydantic writes."""


def schema_of(kind: type[Fact]) -> Mapping[str, object]:
    """Return the published shape of a fact, titled with the first sentence of its docstring."""
    said = " ".join((getdoc(kind) or "").split())
    shape = kind.model_json_schema(mode="serialization")
    named = {
        "$schema": DIALECT,
        "$id": f"watchword:events/{kind.versioned_topic()}",
        "title": said.partition(". ")[0].rstrip("."),
        "description": said,
    }
    return named | {key: value for key, value in shape.items() if key not in named}


def text_of(kind: type[Fact]) -> str:
    """Return the schema as it stands in its file."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of them, and remove those of facts that are no more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = {FOLDER / f"{topic}.json": text_of(kind) for topic, kind in FACTS.items()}
    for orphan in set(FOLDER.glob("*.json")) - set(wanted):
        orphan.unlink()
    for file, text in wanted.items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
