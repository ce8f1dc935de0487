"""How long one web process takes until it answers, and what it holds in memory when nobody asks; beside bare FastAPI.

Both are compiled before, as in the image, whatever the environment says about writing bytecode.
"""

import compileall
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from api.embedded.ports import free_port
from api.settings import Settings
from tests.bench.figures import Figure
from tests.bench.ground import ground, started

ROUNDS = 5
_ROOT = Path(__file__).parents[2]
_COMPILED = ("domain", "projections", "handlers", "api", "tests/bench")
_BARE = ("uvicorn", "--factory", "tests.bench.floor_app:create_bare", "--no-access-log")


def measure(folder: Path) -> list[Figure]:
    """Return the figures of a cold start, in turn with the floor's."""
    for each in _COMPILED:
        compileall.compile_dir(_ROOT / each, quiet=1)
    with ground(folder) as watchword:
        ours, floor = [], []
        for _ in range(ROUNDS):
            settings = replace(watchword.settings, port=free_port())
            ours.append(_once(settings, "api.cli", "web"))
            floor.append(_once(settings, *_BARE, "--port", str(settings.port)))
    return [
        Figure("P11", "start of web until it answers", _median(ours, 0), _median(floor, 0), "s", 2),
        Figure("P11", "memory of an idle web process", _median(ours, 1), _median(floor, 1), "MiB", 1.5),
    ]


def _median(rounds: Sequence[tuple[float, float]], which: int) -> float:
    return statistics.median(each[which] for each in rounds)


def _once(settings: Settings, *module: str) -> tuple[float, float]:
    """Return seconds until the first answer, and MiB after it."""
    start = time.perf_counter()
    process = started(settings, module, processes=1)
    try:
        while not _answers(settings.port):
            time.sleep(0.005)
        took = time.perf_counter() - start
        time.sleep(1)
        return took, _mebibytes(process)
    finally:
        process.terminate()
        process.wait(15)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success
    except httpx.TransportError:
        return False


def _mebibytes(process: subprocess.Popen[bytes]) -> float:
    """Return what the process and those it started hold for themselves, shared pages by their share (Linux)."""
    return sum(_kibibytes(pid) for pid in _with_children(process.pid)) / 1024


def _with_children(pid: int) -> Sequence[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _with_children(int(child)))]


def _kibibytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
