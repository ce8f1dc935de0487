"""The supply chain: nothing weak in the code, no secret in the tree, and an audit that says when it could not audit."""

import json
import platform
import random
import string
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api.embedded.ports import free_port
from tests import supply

PACKAGES = {"old-thing": "1.0", "new-thing": "2.0"}
HOLE = {
    "id": "PYSEC-0000-1",
    "details": "a hole",
    "affected": [
        {
            "package": {"name": "old-thing", "ecosystem": "PyPI"},
            "versions": ["1.0"],
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}
HERE = (platform.system(), platform.machine())
HAS_KINGFISHER = HERE[0] in {"Linux", "Darwin"} and HERE[1] in {"x86_64", "aarch64", "arm64"}
needs_kingfisher = pytest.mark.skipif(not HAS_KINGFISHER, reason="kingfisher is not for this platform")
"""Where the program exists, a set-up that lost it fails here instead of passing without a look."""


def test_bandit_finds_no_weak_spot_in_the_code() -> None:
    assert supply.weak_spots() == ""


def test_bandit_would_find_one(tmp_path: Path) -> None:
    (tmp_path / "weak.py").write_text("import pickle\npickle.loads(b'')  # noqa: S301\n")
    assert "B301" in supply.weak_spots(str(tmp_path))


@needs_kingfisher
def test_there_is_no_credential_in_the_tree_nor_in_its_history() -> None:
    assert supply.secrets() == ""


def cloud_key() -> tuple[str, str]:
    chance = random.Random(7)  # a key that is the same every time, and is never written here
    name = "".join(chance.choices(string.ascii_uppercase + "234567", k=16))
    secret = "".join(chance.choices(string.ascii_letters + string.digits, k=40))
    return f"aws_access_key_id = AKIA{name}\naws_secret_access_key = {secret}\n", secret


def private_key() -> tuple[str, str]:
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return f'KEY = """{key}"""\n', key.splitlines()[1]


@needs_kingfisher
@pytest.mark.parametrize("planted", [cloud_key(), private_key()], ids=["cloud key", "private key"])
def test_a_credential_that_somebody_leaves_is_found_and_not_shown(tmp_path: Path, planted: tuple[str, str]) -> None:
    (tmp_path / "left.txt").write_text(planted[0])
    found = supply.secrets(tmp_path)
    assert "left.txt" in found
    assert planted[1] not in found


@pytest.fixture
def lock(tmp_path: Path) -> str:
    path = tmp_path / "some.lock"
    path.write_text("".join(f"{name}=={version} --hash=sha256:{'0' * 64}\n" for name, version in PACKAGES.items()))
    return str(path)


class Advisories(BaseHTTPRequestHandler):
    """A vulnerability service that speaks OSV's protocol, and knows of one hole."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"vulns": [HOLE]} if asked["package"]["name"] == "old-thing" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the library's name
        """Say nothing."""


@contextmanager
def advisories() -> Iterator[tuple[str, ...]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield ("-s", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/v1/query")
        server.shutdown()


def nobody() -> tuple[str, ...]:
    return ("-s", "osv", "--osv-url", f"http://127.0.0.1:{free_port()}/v1/query")


def test_a_known_vulnerability_fails_the_check(lock: str) -> None:
    with advisories() as service:
        found = supply.audit(lock, [nobody(), service])
    assert found == supply.Audit(2, [], ["old-thing 1.0: PYSEC-0000-1, mended in 1.1"])
    assert found.said(lock, strict=False) == (
        False,
        f"old-thing 1.0: PYSEC-0000-1, mended in 1.1\n{lock}: 2 packages audited, 1 known vulnerabilities",
    )


def test_where_nobody_can_be_asked_the_check_says_so_and_fails_only_when_it_is_strict(lock: str) -> None:
    found = supply.audit(lock, [nobody()])
    line = f"{lock}: NOT AUDITED, no vulnerability service can be asked from this machine"
    assert found.said(lock, strict=False) == (True, line)
    assert found.said(lock, strict=True) == (False, line)


def test_a_package_that_no_service_knows_is_named() -> None:
    found = supply.Audit(1, ["ours"])
    line = "a.lock: 1 packages audited, 0 known vulnerabilities; no service knows ours"
    assert found.said("a.lock", strict=False) == (True, line)
    assert found.said("a.lock", strict=True) == (False, line)


def test_an_audit_that_breaks_for_another_reason_is_no_audit(tmp_path: Path) -> None:
    (tmp_path / "broken.lock").write_text("old-thing>=1.0\n")
    with pytest.raises(RuntimeError, match="hash"):
        supply.audit(str(tmp_path / "broken.lock"), [nobody()])
