"""A small identity provider that misbehaves on demand. It signs with keys of its own, and shares nothing with our code."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Claims = dict[str, Any]


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def part(content: object) -> str:
    return b64(json.dumps(content).encode())


@dataclass
class Key:
    """One RSA key, by its id."""

    kid: str
    private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def public(self) -> dict[str, str]:
        numbers = self.private.public_key().public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        modulus = b64(numbers.n.to_bytes(size))
        return {"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256", "n": modulus, "e": "AQAB"}

    def pem(self) -> bytes:
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, kind)

    def sign(self, claims: object, **header: object) -> str:
        head = {"alg": "RS256", "typ": "JWT", "kid": self.kid} | header
        text = f"{part(head)}.{part(claims)}"
        return f"{text}.{b64(self.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@dataclass
class Issuer:
    """The provider. ``person`` are the claims of whoever signs in; ``forge`` makes the ID token of the claims."""

    client_id: str = "watchword"
    client_secret: str = "issuer-client-secret"
    person: Claims = field(default_factory=dict)
    key: Key = field(default_factory=lambda: Key("first"))
    keys: list[dict[str, str]] = field(default_factory=list)
    forge: Callable[[Claims], str] | None = None
    document: Claims = field(default_factory=dict)
    """What its discovery document says otherwise."""
    ahead: Callable[[], float] = lambda: 0.0
    """Seconds by which the service's clock, which tests move, is ahead of this one."""
    sends_iss: bool = True
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    url: str = ""

    def now(self) -> int:
        return int(time.time() + self.ahead())

    def claims(self, asked: dict[str, str]) -> Claims:
        now = self.now()
        times = {"iat": now, "exp": now + 300, "auth_time": now}
        return {"iss": self.url, "aud": self.client_id, "nonce": asked["nonce"], **times, **self.person}

    def visit(self, address: str) -> dict[str, str]:
        """Sign in as the person at the address to which the browser was sent; return what comes back with it."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert address.startswith(f"{self.url}/authorize?"), address
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return {"state": asked["state"], "code": code} | ({"iss": self.url} if self.sends_iss else {})

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, Claims]:
        asked = self.codes.pop(form.get("code", ""), None)
        pair = base64.b64decode(authorization.partition(" ")[2]).decode().split(":")
        if [unquote(each) for each in pair] != [self.client_id, self.client_secret]:
            return 401, {"error": "invalid_client"}
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if asked is None or asked["code_challenge"] != b64(verifier) or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        make = self.forge or self.key.sign
        return 200, {"token_type": "Bearer", "access_token": "none", "id_token": make(self.claims(asked))}

    def logout_token(self, **changes: object) -> str:
        now = self.now()
        events: Claims = {"http://schemas.openid.net/event/backchannel-logout": {}}
        claims: Claims = {"iss": self.url, "aud": self.client_id, "iat": now, "exp": now + 120, "events": events}
        wanted = {**claims, "jti": secrets.token_hex(8), **changes}
        return self.key.sign({n: v for n, v in wanted.items() if v is not None}, typ="logout+jwt")


@contextmanager
def issuing(issuer: Issuer) -> Iterator[Issuer]:
    """Let the provider answer on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            if self.path == "/.well-known/openid-configuration":
                self.answer(200, discovery(issuer))
            elif self.path == "/jwks":
                self.answer(200, {"keys": issuer.keys or [issuer.key.public()]})
            elif self.path.startswith("/elsewhere"):
                self.send_response(302)
                self.send_header("Location", f"{issuer.url}/jwks")
                self.end_headers()
            else:
                self.answer(404, {})

        def do_POST(self) -> None:
            issuer.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.answer(*issuer.token(form, self.headers.get("Authorization", "")))

        def answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def discovery(issuer: Issuer) -> Claims:
    return {
        "issuer": issuer.url,
        "authorization_endpoint": f"{issuer.url}/authorize",
        "token_endpoint": f"{issuer.url}/token",
        "jwks_uri": f"{issuer.url}/jwks",
        "authorization_response_iss_parameter_supported": issuer.sends_iss,
        **issuer.document,
    }
