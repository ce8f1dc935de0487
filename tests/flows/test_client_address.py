"""X04, X06: whom a request is counted under, with what real proxies write."""

import ipaddress
import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import client_address
from api.client_address import client_ip, missing_proxy, network, prefix
from api.settings import Settings, read
from tests.directory import PASSWORD, address
from tests.portal import Browser
from tests.services import Portal

PROXY = {"client": ("10.0.0.2", 40_000)}
V4, V6 = "203.0.113.7", "2001:db8::7"
X_FORWARDED_FOR = {
    "nginx, Caddy, HAProxy, Traefik": (V4, V4),
    "nginx with a client's own entry before": (f"198.51.100.1, {V4}", V4),
    "nginx, IPv6": (V6, V6),
    "Azure Application Gateway": (f"{V4}:51234", V4),
    "AWS ALB with ports, IPv6": (f"[{V6}]:51234", V6),
    "IIS, IPv6 with brackets alone": (f"[{V6}]", V6),
    "a socket for both families": (f"::ffff:{V4}", V4),
    "the same in hexadecimal, with a port": ("[::ffff:cb00:7107]:443", V4),
    "IPv6 in full with a port behind": ("2001:db8:0:0:0:0:0:7:51234", V6),
    "capitals": ("2001:DB8::7", V6),
    "a zone": ("fe80::1%eth0", "fe80::1"),
    "two header lines, the first of them the client's": (f"unknown, , {V4}", V4),
}
FORWARDED = {
    "HAProxy": (f"proto=https;for={V4}", V4),
    "HAProxy with a port": (f'for="{V4}:51234"', V4),
    "RFC 7239, IPv6": (f'For="[{V6}]:4711"', V6),
    "a list": (f'for=198.51.100.1;by=10.0.0.1, for="[{V6}]";proto=https', V6),
    "a quote that the client left open": (f'for="198.51.100.1, for={V4}', V4),
    "a pair within a quoted value": (f'host="a;for=198.51.100.1;b";for={V4}', V4),
}


@pytest.fixture(autouse=True)
def unwarned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_address, "_warned", set())


@pytest.mark.parametrize(("header", "right"), X_FORWARDED_FOR.values(), ids=list(X_FORWARDED_FOR))
def test_x04_what_proxies_write_into_x_forwarded_for_is_read(header: str, right: str) -> None:
    assert client_ip(PROXY, header, 1) == right


@pytest.mark.parametrize(("header", "right"), FORWARDED.values(), ids=list(FORWARDED))
def test_x04_what_proxies_write_into_forwarded_is_read(header: str, right: str) -> None:
    assert client_ip(PROXY, "", 1, header) == right


@given(st.ip_addresses(v=4), st.integers(0, 65_535), st.sampled_from(["{}", "{}:{}", "::ffff:{}", "[::ffff:{}]:{}"]))
def test_x04_every_form_of_an_ipv4_address_is_one_network(ip: ipaddress.IPv4Address, port: int, form: str) -> None:
    found = client_ip(PROXY, form.format(ip, port), 1)
    assert found == str(ip) == network(found) == network(f"::ffff:{ip}")
    assert ip in ipaddress.ip_network(prefix(f"::ffff:{ip}"))


@given(st.ip_addresses(v=6), st.integers(0, 65_535), st.sampled_from(["{}", "[{}]", "[{}]:{}", "{}%eth0"]))
def test_x04_every_form_of_an_ipv6_address_is_one_network(ip: ipaddress.IPv6Address, port: int, form: str) -> None:
    found = client_ip(PROXY, form.format(ip, port), 1)
    if ip.ipv4_mapped:
        assert found == str(ip.ipv4_mapped)
    else:
        assert ip in ipaddress.ip_network(network(found))


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 3))
def test_x04_no_header_ends_in_an_error_or_in_the_address_of_a_proxy(one: str, other: str, proxies: int) -> None:
    found = client_ip(PROXY, one, proxies, other)
    assert not proxies or found != "10.0.0.2" or "10.0.0.2" in one + other
    assert not found or (network(found) and prefix(found))
    assert prefix("") == ""


def test_x04_a_shorter_chain_than_was_set_still_tells_people_apart() -> None:
    assert client_ip(PROXY, V4, 2) == V4
    assert client_ip({"client": ("2606:4700::7", 1)}, "", 1) == "2606:4700::7", "who comes without a proxy"


@pytest.mark.parametrize("header", ["unknown", "_hidden", "1.2.3", "203.0.113.7:x", "[::1", "-"])
def test_x04_what_cannot_be_read_is_warned_about_once(header: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert [client_ip(PROXY, header, 1) for _ in range(5)] == [""] * 5
    assert len(caplog.records) == 1
    assert header not in caplog.text or header == "-", "what was sent is nobody's business"


def test_x06_an_ignored_header_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert [client_ip(PROXY, V4, 0) for _ in range(5)] == ["10.0.0.2"] * 5
    assert [record.message.count("TRUSTED_PROXIES") for record in caplog.records] == [2]
    assert V4 not in caplog.text


def test_x04_headers_that_disagree_are_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert {client_ip(PROXY, V4, 1, f"for={other}") for other in (V4, f'"{V4}:1"', V6, V6)} == {V4}
    assert len(caplog.records) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::", "10.0.0.5", "localhost", "web"])
def test_x06_a_start_behind_an_uncounted_proxy_warns(host: str) -> None:
    def warning(**environ: str) -> str | None:
        return missing_proxy(read({"DATA_DIR": "/nowhere", "HOST": host, **environ}, ask_running=False))

    assert "TRUSTED_PROXIES" in (warning(PUBLIC_URL="HTTPS://mfa.example.org") or "")
    assert warning(PUBLIC_URL="https://mfa.example.org", TRUSTED_PROXIES="1") is None
    assert warning(PUBLIC_URL="http://127.0.0.1:8000") is None
    assert warning(PUBLIC_URL="https://mfa.example.org", HOST="8.8.8.8") is None


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The portal stands behind one proxy."""
    return replace(settings, trusted_proxies=1)


@pytest.mark.parametrize("form", ["203.0.113.{}:51234", "::ffff:203.0.113.{}", "_hidden{}", ""])
def test_x04_wrong_passwords_of_one_client_lock_nobody_else_out(portal: Portal, form: str) -> None:
    """31 wrong passwords from one client; another client signs in."""
    attacker, person = (_behind_proxy(portal, form.format(number)) for number in (1, 2))
    attacker.session()
    for number in range(31):
        attacker.post("/sign-in", {"email": f"nobody-{number}@mail.example", "password": "not it"})
    assert person.sign_in(address("dist-support"), PASSWORD)["state"] == "signed_in"


def _behind_proxy(portal: Portal, header: str) -> Browser:
    return portal.browser(headers={"X-Forwarded-For": header} if header else {})
