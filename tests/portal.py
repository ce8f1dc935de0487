"""A browser of the JSON API: cookies, CSRF token and origin as a real one sends them, and nothing of our own code."""

from dataclasses import dataclass
from typing import Any

import httpx


@dataclass
class Browser:
    """One browser, signed in to at most one account."""

    http: httpx.Client
    origin: str
    csrf: str = ""

    @classmethod
    def at(cls, base: str, **options: Any) -> "Browser":
        return cls(httpx.Client(base_url=f"{base}/api/v1", timeout=30, **options), base)

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(path, params=params or None)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {"X-CSRF-Token": self.csrf, "Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None:
            return self._seen(self.http.request(method, path, headers=sent))
        return self._seen(self.http.request(method, path, json=body, headers=sent))

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.send("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.send("PUT", path, body, **headers)

    def _seen(self, response: httpx.Response) -> httpx.Response:
        if response.content and response.headers.get("content-type") == "application/json":
            self.csrf = response.json().get("csrf_token") or self.csrf
        return response

    def session(self) -> dict[str, Any]:
        answer = self._seen(self.get("/session"))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def sign_in(self, email: str, password: str, account: str | None = None) -> dict[str, Any]:
        """Sign in as far as the password leads, choosing the account where there are several."""
        if self.session()["state"] != "anonymous":
            self.sign_out()
        answer = self.post("/sign-in", {"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        if answer.json()["state"] == "identified" and account:
            answer = self.post("/sign-in/account", {"account_id": account})
            assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def sign_out(self) -> None:
        assert self.send("DELETE", "/session").status_code == 204
        self.http.cookies.delete("watchword")
        self.session()

    def start_setup(self, token: str | None = None) -> dict[str, Any]:
        answer = self.post("/me/mfa/setup", {"mailed_token": token} if token else {})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
