"""Records in a file of each format, written as they come, so that memory does not grow with them."""

import csv
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from api.export_ocsf import event_of

Record = Mapping[str, Any]
Write = Callable[[Sequence[Record]], None]
"""Writes the next records."""
COLUMNS = (
    "position",
    "at",
    "what",
    "topic",
    "stream",
    "version",
    "tenant",
    "account_id",
    "actor",
    "from_network",
    "session",
    "command_id",
    "correlation_id",
    "data",
)
"""Of every record. All but ``what``, our reading in words, stand in the fact's leaf as well."""
_GROUP = 16_384
"""Records in one row group of a Parquet file: they are held in memory at once."""


class NoParquet(Exception):
    """The package that writes Parquet is not installed."""


def line(content: Mapping[str, Any]) -> str:
    """Return one line of JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


@contextmanager
def _json_lines(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield lambda records: file.writelines(map(line, records))


@contextmanager
def _ocsf(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield lambda records: file.writelines(line(event_of(each)) for each in records)


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        yield lambda records: writer.writerows(map(_flat, records))


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    arrow, parquet = _arrow()
    types = {"position": arrow.int64(), "version": arrow.int64(), "at": arrow.timestamp("us", tz="UTC")}
    schema = arrow.schema([(name, types.get(name, arrow.string())) for name in COLUMNS])
    waiting: list[dict[str, Any]] = []

    def flush() -> None:
        columns = {name: [row[name] for row in waiting] for name in COLUMNS}
        at = arrow.array(columns.pop("at"), arrow.string()).cast(types["at"])
        file.write_table(arrow.table({**columns, "at": at}).select(COLUMNS).cast(schema))
        waiting.clear()

    def write(records: Sequence[Record]) -> None:
        waiting.extend(map(_flat, records))
        if len(waiting) >= _GROUP:
            flush()

    with parquet.ParquetWriter(path, schema, compression="zstd") as file:
        yield write
        if waiting:
            flush()


def _flat(record: Record) -> dict[str, Any]:
    """Return the record with its fact as JSON in one cell."""
    return {**record, "data": json.dumps(record["data"], ensure_ascii=False, separators=(",", ":"))}


def _arrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise NoParquet("Parquet needs one more package: pip install pyarrow, or choose another format") from None


FORMATS: dict[str, Callable[[Path], AbstractContextManager[Write]]] = {
    "jsonl": _json_lines,
    "csv": _csv,
    "parquet": _parquet,
    "ocsf": _ocsf,
}
"""Each format by its name, which is the file's ending as well."""
