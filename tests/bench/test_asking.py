"""The client of the benches reads answers however servers send them, and takes nothing for an answer that is none."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.bench.asking import ask, ask_apart, got, request


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/chunked":
            self.protocol_version = "HTTP/1.1"
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"5\r\nright\r\n3\r\n ok\r\n0\r\n\r\n")
        else:
            self.send_header("Connection", "close")
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"right ok")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


_Answers.protocol_version = "HTTP/1.1"


@contextmanager
def server() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found.server_port
        found.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/chunked", "/closed"])
def test_every_request_is_answered_once(path: str) -> None:
    with server() as port:
        found = ask(port, [got(port, path, {})] * 7, 2, sign=b"right ok")
    assert len(found.times) == 7
    assert found.per_second > 0


def test_it_stops_when_the_time_is_over() -> None:
    with server() as port:
        found = ask_apart(port, [got(port, "/closed", {})] * 5, 1, seconds=0.0)
    assert len(found.times) == 1


def test_a_refusal_and_another_answer_end_the_bench() -> None:
    with server() as port:
        with pytest.raises(SystemExit, match=r"refused: HTTP/1\.1 401"):
            ask(port, [request(port, "/", {}, {})], 1)
        with pytest.raises(SystemExit, match=r"refused: HTTP/1\.1 200"):
            ask(port, [got(port, "/closed", {})], 1, sign=b"wrong")
