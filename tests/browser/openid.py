"""Real identity providers, which nobody here wrote: the certified `oidc-provider`, with claims as Microsoft and Google have."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from api.embedded.provider import EmbeddedProvider, lacks
from handlers import identity_providers
from handlers.identity_providers import OPERATOR, DomainLine, ProviderLine
from tests.directory import address, lines
from tests.services import Portal, by_operator

TENANT = "0c2d6f6e-9b1a-4b39-8b65-d7a2d4c1e001"
HOSTED = "mail.example"
SECRET = "client-secret-for-tests"
THEIR_CODE = "424242"
Kind = Literal["entra", "google"]


def people(kind: Kind) -> list[dict[str, object]]:
    """Return everybody of the test directory as this provider knows them."""
    found: dict[str, dict[str, object]] = {}
    for line in lines():
        for each in [line["account"]] if "account" in line else []:
            mail = str(each["email"])
            shape: dict[str, object] = {"email": mail, "email_verified": True, "hd": HOSTED}
            if kind == "entra":
                shape = {"email": mail, "xms_edov": True, "tid": TENANT, "oid": f"object-{each['id']}"}
            found.setdefault(mail, {"sub": f"{kind}-{each['id']}", **shape})
    return list(found.values())


@dataclass
class RealProvider:
    """One provider that runs, and what it is called in the portal."""

    portal: Portal
    kind: Kind
    server: EmbeddedProvider
    provider_id: str

    @property
    def label(self) -> str:
        """A provider of a well-known kind that runs elsewhere does not bear the well-known name."""
        return "Sign in with the provider at 127.0.0.1"

    def go(self, page: Page) -> None:
        """Press the button on the own address of the partner's people."""
        page.goto("/sign-in/with?partner=dist")
        page.get_by_role("button", name=self.label).click()

    def sign_in_there(self, page: Page, account: str, code: str | None = None) -> None:
        expect(page.get_by_role("button", name="Sign in there")).to_be_visible()
        page.get_by_label("Your address there").fill(address(account))
        if code is not None:
            page.get_by_label("Code").fill(code)
        page.get_by_role("button", name="Sign in there").click()


@contextmanager
def real_provider(
    portal: Portal,
    folder: Path,
    kind: Kind,
    *,
    partner: str = "dist",
    second_factor: bool = False,
    credited: bool = False,
) -> Iterator[RealProvider]:
    """Let a provider run for a partner of the test directory; skip where npm is missing, but never where CI has it."""
    if missing := lacks():
        pytest.skip(f"NO IDENTITY PROVIDER: {missing} is not installed, so no sign-in there is tested.")
    provider_id, s = f"{partner}-{kind}", portal.watchword.sockets
    client = {
        "client_id": "watchword",
        "client_secret": SECRET,
        "redirect_uris": [f"{portal.address}/sign-in/back"],
        "backchannel_logout_uri": f"{portal.address}/sso/logout/{provider_id}",
        "backchannel_logout_session_required": True,
    }
    (folder / kind).mkdir()
    ahead = folder / kind / "ahead"
    ahead.write_text("0")
    settings = {
        "title": kind,
        "clients": [client],
        "people": people(kind),
        "second_factor": second_factor,
        "ahead_file": str(ahead),
    }
    server = EmbeddedProvider(folder / kind, settings)
    server.start()
    advance = portal.clock.advance

    def both(**spans: float) -> None:
        advance(**spans)
        fresh = ahead.with_suffix(".new")
        fresh.write_text(str(portal.clock.ahead.total_seconds()))
        fresh.rename(ahead)

    portal.clock.advance = both  # type: ignore[method-assign]
    fields = {"id": provider_id, "partner": partner, "kind": kind, "issuer": server.url, "client_id": "watchword"}
    tenant = TENANT if kind == "entra" else HOSTED
    line = ProviderLine.model_validate({**fields, "client_secret": SECRET, "tenant": tenant, "credits_mfa": credited})
    identity_providers.add(line, OPERATOR, by_operator(portal.watchword), s)
    for domain in ("mail.example", "accounts.example"):
        wanted = DomainLine(name=domain, partner=partner)
        identity_providers.set_domain(wanted, proved=True, origin=by_operator(portal.watchword), s=s)
    try:
        yield RealProvider(portal, kind, server, provider_id)
    finally:
        server.stop()
