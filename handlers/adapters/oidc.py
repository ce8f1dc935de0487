"""OpenID Connect: the authorization code flow with PKCE, seen from the relying party. Requests go to the configured issuer,
and to the addresses that its own document names.
"""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from domain.identity import AnswerRefused, Provider
from handlers.adapters.outward import Outward, object_in
from handlers.ports import Asking, ProviderDown

ALGORITHMS = ("RS256", "PS256", "ES256")
"""Signatures that we look at: nothing unsigned, and no shared key. Source: RFC 8725, section 3.1."""
KEPT_SECONDS = 3600.0
"""How long discovery documents and keys are believed."""
KEYS_AGAIN_SECONDS = 30.0
"""An unknown key id makes us look for new keys at most this often. Ours: forged ids must not make us hammer anybody."""
TOKEN_CHARACTERS = 32 * 1024
_RSA_CHARACTERS = 2048 // 6
"""Of a modulus of 2048 bits. Source: NIST SP 800-131A, which lets no shorter one sign."""
_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass
class _Known:
    """What one issuer has said of itself."""

    document: dict[str, object]
    until: float
    keys: list[RSAKey | ECKey] = field(default_factory=list)
    keys_at: float = float("-inf")


class OpenIdProviders:
    """The Providers socket's plug: the way to identity providers over HTTP."""

    def __init__(self, *, private_networks: bool = False) -> None:
        """``private_networks``: whether an issuer may stand in a network of the deployment's own."""
        self._out = Outward(private_networks=private_networks)
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def authorization_url(self, provider: Provider, asking: Asking) -> str:
        """Return where the browser goes."""
        challenge = hashlib.sha256(asking.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": asking.redirect_uri,
            "scope": "openid profile email",
            "state": asking.state,
            "nonce": asking.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        if asking.again:
            query |= {"prompt": "login", "max_age": "0"}
        if provider.kind.value == "google":
            query["hd"] = provider.restricted_to
        address = str(self._discovered(provider.issuer).document["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"

    def claims(
        self, provider: Provider, secret: str | None, code: str, iss: str | None, asking: Asking
    ) -> Mapping[str, object]:
        """Trade a code in, and return the claims of the ID token, whose signature was right; else AnswerRefused."""
        document = self._discovered(provider.issuer).document
        if iss != provider.issuer and (
            iss is not None or document.get("authorization_response_iss_parameter_supported")
        ):
            raise AnswerRefused(cause="issuer")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": asking.redirect_uri,
            "code_verifier": asking.verifier,
        }
        headers = {}
        ways = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if secret is not None and isinstance(ways, list) and "client_secret_basic" in ways:
            pair = f"{quote(provider.client_id, safe='')}:{quote(secret, safe='')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        else:
            form |= {"client_id": provider.client_id} | ({"client_secret": secret} if secret is not None else {})
        status, body = self._out.ask("POST", str(document["token_endpoint"]), provider.issuer, form, headers)
        if status in {400, 401}:
            raise AnswerRefused(cause="code")
        token = object_in(status, body).get("id_token")
        return self._verified(provider, token if isinstance(token, str) else "", "JWT")

    def logout_claims(self, provider: Provider, token: str) -> Mapping[str, object]:
        """Return the claims of a logout token, whose signature was right; else AnswerRefused."""
        return self._verified(provider, token, "logout+jwt")

    def close(self) -> None:
        """Let the connections go."""
        self._out.close()

    def trial(self, provider: Provider) -> Sequence[str]:
        """Return what there is to say about a provider's discovery document and keys."""
        document, keys = self._discovered(provider.issuer).document, self._keys(provider.issuer, again=False)
        said = [f"{name}: {document[name]}" for name in _NEEDED]
        said.append(f"keys that sign: {len(keys)}")
        if not keys:
            said.append("no key is fit: RSA of 2048 bits or more, or P-256")
        if "S256" not in (document.get("code_challenge_methods_supported") or []):  # type: ignore[operator]
            said.append("it does not say that it knows PKCE with S256; most know it all the same")
        if not document.get("backchannel_logout_supported"):
            said.append("it does not say that it knows back-channel logout: its sessions end without ours")
        return said

    # ── Signatures ──

    def _verified(self, provider: Provider, token: str, kind: str) -> Mapping[str, object]:
        header = _header(token)
        if header.get("alg") not in ALGORITHMS:
            raise AnswerRefused(cause="algorithm")
        if str(header.get("typ", kind)).lower() not in {kind.lower(), "jwt"}:
            raise AnswerRefused(cause="type")
        kid = header.get("kid")
        for again in (False, True):
            keys = [key for key in self._keys(provider.issuer, again=again) if kid is None or key.kid == kid]
            if len(keys) == 1:
                return _signed(token, keys[0])
        raise AnswerRefused(cause="key")

    def _keys(self, issuer: str, *, again: bool) -> list[RSAKey | ECKey]:
        """Return the issuer's keys; ``again``: new ones, unless somebody has looked a moment ago."""
        known = self._discovered(issuer)
        with self._lock:
            age = time.monotonic() - known.keys_at
            if age < (KEYS_AGAIN_SECONDS if again else KEPT_SECONDS):
                return known.keys
            known.keys_at = time.monotonic()  # whoever comes meanwhile takes what is there
        try:
            known.keys = _fit(object_in(*self._out.ask("GET", str(known.document["jwks_uri"]), issuer)))
        except ProviderDown:
            if not known.keys:
                known.keys_at = float("-inf")
                raise
        return known.keys

    # ── Requests ──

    def _discovered(self, issuer: str) -> _Known:
        known = self._known.get(issuer)
        if known is not None and time.monotonic() < known.until:
            return known
        try:
            document = object_in(
                *self._out.ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", issuer)
            )
        except ProviderDown:
            if known is not None and time.monotonic() < known.until + KEPT_SECONDS:
                return known
            raise
        if document.get("issuer") != issuer:
            raise ProviderDown("the identity provider calls itself by another name than the one that was configured")
        for name in _NEEDED:
            self._out.fit(str(document.get(name, "")), issuer)
        fresh = _Known(document, time.monotonic() + KEPT_SECONDS)
        if known is not None:
            fresh.keys, fresh.keys_at = known.keys, known.keys_at
        self._known[issuer] = fresh
        return fresh


def _header(token: str) -> dict[str, object]:
    part = token.partition(".")[0] if len(token) <= TOKEN_CHARACTERS else ""
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise AnswerRefused(cause="token")
    return found


def _signed(token: str, key: RSAKey | ECKey) -> Mapping[str, object]:
    try:
        content = json.loads(jws.deserialize_compact(token.encode(), key, algorithms=list(ALGORITHMS)).payload)
    except (JoseError, ValueError, RecursionError):
        raise AnswerRefused(cause="signature") from None
    if not isinstance(content, dict):
        raise AnswerRefused(cause="token")
    return content


def _fit(document: dict[str, object]) -> list[RSAKey | ECKey]:
    """Return the keys that may sign: public ones, long enough, and meant for it. A strange one spoils no other."""
    keys: list[RSAKey | ECKey] = []
    listed = document.get("keys")
    for each in listed if isinstance(listed, list) else []:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        try:
            if each.get("kty") == "EC":
                keys.append(ECKey.import_key(each))
            elif each.get("kty") == "RSA" and len(str(each.get("n"))) >= _RSA_CHARACTERS:
                keys.append(RSAKey.import_key(each))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return keys
