"""One HTTP client for whatever is measured: every request is used once, over connections that stay where the server keeps them.

``python -m tests.bench.asking PORT CLIENTS SECONDS SIGN`` is the client in a process of its own, which takes the
requests as a JSON list and returns what came of them.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

import uvloop


@dataclass(frozen=True)
class Answered:
    """What so many clients got."""

    per_second: float
    times: list[float]
    """Seconds, of each request."""
    busy: float = 0.0
    """The share of one processor that the clients took; near 1 they are what is measured."""

    def at(self, percent: int) -> float:
        """Return a percentile in milliseconds."""
        return statistics.quantiles(self.times, n=100)[percent - 1] * 1000


def request(port: int, path: str, body: object, headers: dict[str, str], cookie: str = "") -> bytes:
    """Return one request as it goes over the wire: a form when the body is text, else JSON."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "application/x-www-form-urlencoded" if isinstance(body, str) else "application/json"
    head = {"Host": f"127.0.0.1:{port}", "Content-Type": kind, "Content-Length": str(len(content))}
    head |= headers | ({"Cookie": cookie} if cookie else {})
    named = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {path} HTTP/1.1\r\n{named}\r\n".encode() + content


def got(port: int, path: str, headers: dict[str, str]) -> bytes:
    """Return a request for a page as it goes over the wire."""
    named = "".join(f"{name}: {value}\r\n" for name, value in ({"Host": f"127.0.0.1:{port}"} | headers).items())
    return f"GET {path} HTTP/1.1\r\n{named}\r\n".encode()


class Refused(Exception):
    """An answer that is not the one that was asked for; a bench ends with it."""


class _Client:
    """One connection, opened anew when the server has closed it; the time for that belongs to the request."""

    def __init__(self, port: int, sign: bytes) -> None:
        self.port, self.sign = port, sign
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, content: bytes) -> float:
        start = time.perf_counter()
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(content)
        head = await self.reader.readuntil(b"\r\n\r\n")
        fields = head.lower()
        body = await self._body(fields)
        took = time.perf_counter() - start
        if b"\r\nconnection: close" in fields:
            await self.close()
        if not head.startswith(b"HTTP/1.1 200") or self.sign not in body:
            raise Refused(f"refused: {head.decode()}{body.decode()}")
        return took

    async def _body(self, fields: bytes) -> bytes:
        if b"transfer-encoding: chunked" not in fields:
            length = int(fields.partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
            return await self.reader.readexactly(length)
        parts: list[bytes] = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        await self.reader.readexactly(2)
        return b"".join(parts)

    async def close(self) -> None:
        if self.writer:
            self.writer.close()
            with suppress(OSError):
                await self.writer.wait_closed()
            self.writer = None


async def _ask(port: int, requests: Sequence[bytes], clients: int, seconds: float, sign: bytes) -> Answered:
    left, times = iter(requests), []
    start, used = time.perf_counter(), time.process_time()

    async def client() -> None:
        one = _Client(port, sign)
        try:
            for each in left:
                times.append(await one.ask(each))
                if time.perf_counter() - start > seconds:
                    break
        finally:
            await one.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.perf_counter() - start
    return Answered(len(times) / took, times, (time.process_time() - used) / took)


def ask(
    port: int, requests: Sequence[bytes], clients: int, seconds: float = float("inf"), sign: bytes = b""
) -> Answered:
    """Send requests, so many at a time, each once, until none is left or the time is over; each answer holds the sign."""
    try:
        return asyncio.run(_ask(port, requests, clients, seconds, sign))
    except Refused as answer:
        raise SystemExit(str(answer)) from answer


def ask_apart(port: int, requests: Sequence[bytes], clients: int, seconds: float, sign: bytes = b"") -> Answered:
    """Do the same in a process of its own, so that nothing but the asking takes its time."""
    words = [sys.executable, "-m", "tests.bench.asking", str(port), str(clients), str(seconds), sign.decode()]
    content = json.dumps([each.decode() for each in requests])
    done = subprocess.run(words, input=content, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return Answered(**json.loads(done.stdout))


def main() -> None:
    """Ask as standard input says."""
    port, clients, seconds, sign = sys.argv[1:]
    requests = [each.encode() for each in json.load(sys.stdin)]
    found = uvloop.run(_ask(int(port), requests, int(clients), float(seconds), sign.encode()))
    json.dump(asdict(found), sys.stdout)


if __name__ == "__main__":
    main()
