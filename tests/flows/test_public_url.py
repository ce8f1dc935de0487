"""X05: PUBLIC_URL is brought into the form in which browsers write an origin, or refused with what is wrong."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.public_url import authority
from api.settings import BadSetting, Settings, read
from tests.directory import PASSWORD, address
from tests.flows.pages import FROM_OUR_PAGE
from tests.services import Portal

SAME = {
    "https://mfa.example.org": "https://mfa.example.org",
    "https://MFA.Example.org": "https://mfa.example.org",
    "HTTPS://mfa.example.org/": "https://mfa.example.org",
    "https://mfa.example.org:443": "https://mfa.example.org",
    "https://mfa.example.org:8443/": "https://mfa.example.org:8443",
    "https://mfa.example.org.": "https://mfa.example.org",
    "https://W\u00e4chter.example": "https://xn--wchter-bua.example",
    "https://w\u00e4chter.example:443": "https://xn--wchter-bua.example",
    "https://[2001:DB8:0::1]": "https://[2001:db8::1]",
    "http://LOCALHOST:80": "http://localhost",
    "http://[::1]:8000": "http://[::1]:8000",
    "http://127.0.0.1:8000/": "http://127.0.0.1:8000",
}
REFUSED = {
    "https://portal.example.org/mfa": "a path",
    "https://portal.example.org//": "a path",
    "https://portal.example.org?a=b": "a query",
    "https://portal.example.org/#top": "a fragment",
    "https://user:secret@portal.example.org": "a user name or password",
    "https://user@portal.example.org/mfa?x": "a user name or password and a path and a query",
    "http://mfa.example.org": "https://",
    "ftp://mfa.example.org": "https://",
    "mfa.example.org": "https://",
    "https://": "host",
    "https://mfa.example.org:99999": "port",
    "https://mfa.example.org:0": "port",
    "https://mfa.example.org:x": "port",
    "https://[::1": "host",
    "https://mfa example.org": "space",
    "https://a..example.org": "domain name",
    "https://fa\u00df.example": "xn--",
}


def public(url: str) -> Settings:
    return read({"PUBLIC_URL": url, "DATA_DIR": "/nowhere"}, ask_running=False)


@pytest.mark.parametrize(("typed", "right"), SAME.items())
def test_x05_what_was_typed_becomes_what_browsers_send(typed: str, right: str) -> None:
    assert public(typed).public_url == right
    assert right in public(typed).origins
    assert public(right).public_url == right


@pytest.mark.parametrize(("typed", "what"), REFUSED.items())
def test_x05_what_cannot_be_is_refused_and_named(typed: str, what: str) -> None:
    with pytest.raises(BadSetting, match="PUBLIC_URL") as refused:
        public(typed)
    assert what in str(refused.value)
    assert "secret" not in str(refused.value)


def test_x05_the_other_name_of_loopback_has_no_default_port() -> None:
    assert public("http://127.0.0.1:80").origins == {"http://127.0.0.1", "http://localhost"}


@given(st.text(max_size=40))
def test_x05_whatever_is_typed_is_an_origin_or_a_sentence(text: str) -> None:
    try:
        found = public(f"https://{text}").public_url
    except BadSetting:
        return
    assert public(found).public_url == found
    assert found.isascii()
    assert found == found.lower()


def test_x05_the_host_is_compared_without_the_default_port() -> None:
    assert authority("https", "MFA.example.org:443") == "mfa.example.org"
    assert authority("https", "mfa.example.org:80") == "mfa.example.org:80"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """As an operator may type it."""
    other = read(
        {"PUBLIC_URL": f"HTTP://LocalHost:{settings.port}/", "DATA_DIR": str(settings.data_dir)}, ask_running=False
    )
    return replace(settings, public_url=other.public_url)


def test_x05_forms_are_taken_though_the_setting_was_typed_in_capitals(portal: Portal) -> None:
    browser = portal.browser()
    browser.session()
    data = {"csrf_token": browser.csrf, "email": address("dist-support"), "password": PASSWORD}
    sent = FROM_OUR_PAGE | {"Origin": portal.address}
    answer = browser.http.post(f"{portal.address}/sign-in", data=data, headers=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
