"""The way to identity providers, loaded when the first sign-in takes it: most processes never ask one."""

import threading
from collections.abc import Mapping, Sequence

from domain.identity import Provider
from handlers.ports import Asking, Providers


class LateProviders:
    """The Providers socket's plug until somebody asks a provider. Then its code is loaded, once, and asked for ever after."""

    def __init__(self, *, private_networks: bool = False) -> None:
        """``private_networks``: whether an issuer may stand in a network of the deployment's own."""
        self._private_networks = private_networks
        self._lock = threading.Lock()
        self._loaded: Providers | None = None

    def _plug(self) -> Providers:
        with self._lock:
            if self._loaded is None:
                from handlers.adapters.oidc import OpenIdProviders  # noqa: PLC0415 HTTP and signatures are slow to import

                self._loaded = OpenIdProviders(private_networks=self._private_networks)
            return self._loaded

    def authorization_url(self, provider: Provider, asking: Asking) -> str:
        """Return where the browser goes."""
        return self._plug().authorization_url(provider, asking)

    def claims(
        self, provider: Provider, secret: str | None, code: str, iss: str | None, asking: Asking
    ) -> Mapping[str, object]:
        """Trade a code in, and return the claims of the ID token, whose signature was right; else AnswerRefused."""
        return self._plug().claims(provider, secret, code, iss, asking)

    def logout_claims(self, provider: Provider, token: str) -> Mapping[str, object]:
        """Return the claims of a logout token, whose signature was right; else AnswerRefused."""
        return self._plug().logout_claims(provider, token)

    def trial(self, provider: Provider) -> Sequence[str]:
        """Return what there is to say about a provider's discovery document and keys."""
        return self._plug().trial(provider)

    def close(self) -> None:
        """Let the connections go, if there ever were any."""
        if self._loaded is not None:
            self._loaded.close()
