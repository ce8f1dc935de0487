"""Codes, held against the RFC's own numbers and against implementations that share nothing with ours."""

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.totp import (
    LABEL_CHARACTERS,
    MalformedCode,
    clean_code,
    matching_step,
    otpauth_uri,
    shared_secret,
    time_step,
)
from tests import phone

RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""The RFC's ASCII secret "12345678901234567890" in base32."""
RFC_6238_APPENDIX_B = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]
IMPLEMENTATIONS: list[Callable[[str, int], str]] = [phone.by_the_rfc, phone.code_at]
"""The second is oathtool where that is installed."""


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(("seconds", "eight_digits"), RFC_6238_APPENDIX_B)
def test_the_codes_are_those_of_the_rfc(seconds: int, eight_digits: str) -> None:
    """F24, S05: RFC 6238 appendix B, SHA-1; six digits are the last six of eight."""
    assert matching_step(RFC_SECRET, eight_digits[-6:], at(seconds)) == seconds // 30
    for implementation in IMPLEMENTATIONS:
        assert implementation(RFC_SECRET, seconds) == eight_digits[-6:]


@given(random_bytes=st.binary(min_size=20, max_size=20), seconds=st.integers(60, 4_000_000_000))
def test_any_app_that_follows_the_rfc_shows_a_code_that_is_accepted(random_bytes: bytes, seconds: int) -> None:
    """F24, S05"""
    secret = shared_secret(random_bytes)
    code = phone.by_the_rfc(secret, seconds)
    accepted = matching_step(secret, code, at(seconds))
    assert accepted is not None
    assert phone.by_the_rfc(secret, accepted * 30) == code, "by chance two steps may share a code"


@given(
    random_bytes=st.binary(min_size=20, max_size=20), seconds=st.integers(300, 4_000_000_000), off=st.integers(-4, 4)
)
def test_only_the_code_of_now_and_its_two_neighbours_is_accepted(random_bytes: bytes, seconds: int, off: int) -> None:
    secret = shared_secret(random_bytes)
    now = seconds // 30
    code = phone.by_the_rfc(secret, (now + off) * 30)
    window = {phone.by_the_rfc(secret, step * 30): step for step in (now - 1, now, now + 1)}
    assert matching_step(secret, code, at(seconds)) == window.get(code)


@pytest.mark.parametrize(("off", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_slow_typist_has_thirty_seconds_more_on_either_side(off: int, accepted: bool) -> None:
    now = 1_111_111_111 // 30
    code = phone.by_the_rfc(RFC_SECRET, (now + off) * 30)
    assert matching_step(RFC_SECRET, code, at(1_111_111_111)) == (now + off if accepted else None)


def test_at_the_beginning_of_time_no_step_before_it_is_looked_at() -> None:
    assert matching_step(RFC_SECRET, phone.by_the_rfc(RFC_SECRET, 0), at(0)) == 0


@pytest.mark.parametrize(("seconds", "step"), [(0, 0), (29.999, 0), (30, 1), (59, 1), (1111111109, 0x23523EC)])
def test_a_time_step_is_thirty_seconds_since_1970(seconds: float, step: int) -> None:
    assert time_step(at(seconds)) == step


@pytest.mark.parametrize("entered", ["123456", "123 456", "123-456", " 123456 ", "1-2-3 4 5 6", "12 34-56"])
def test_spaces_and_hyphens_between_the_digits_do_not_matter(entered: str) -> None:
    assert clean_code(entered) == "123456"


NO_CODES = ["", "12345", "1234567", "12345a", "123456\n", "\t123456", "+12345", "12345.", "0x1234", "123456\x00"]
OTHER_SCRIPTS = ["\uff11\uff12\uff13\uff14\uff15\uff16", "\u0661\u0662\u0663\u0664\u0665\u0666", "12345\u00b2"]
OTHER_SPACES = ["123\u00a0456", "123\u2013456"]


@pytest.mark.parametrize("entered", [*NO_CODES, *OTHER_SCRIPTS, *OTHER_SPACES])
def test_anything_else_is_no_code(entered: str) -> None:
    with pytest.raises(MalformedCode):
        clean_code(entered)


@given(entered=st.text() | st.text(alphabet="0123456789 -\u0660\uff10\u00b2\n\t", max_size=12))
def test_a_code_is_never_anything_but_six_ascii_digits(entered: str) -> None:
    digits = entered.translate({ord(" "): None, ord("-"): None})
    is_a_code = len(digits) == 6 and set(digits) <= set("0123456789")
    try:
        assert (clean_code(entered), is_a_code) == (digits, True)
    except MalformedCode:
        assert not is_a_code


@pytest.mark.parametrize("length", [0, 19, 21, 32])
def test_a_shared_secret_is_made_of_twenty_bytes(length: int) -> None:
    with pytest.raises(ValueError, match=f"20 bytes, not {length}"):
        shared_secret(b"x" * length)


def test_a_shared_secret_is_base32_without_padding() -> None:
    assert shared_secret(b"12345678901234567890") == RFC_SECRET


def test_the_qr_code_names_the_service_the_partner_and_the_account() -> None:
    """S19, F12: the picture holds the key itself, and a label by which the accounts of one app are told apart."""
    uri = urlsplit(otpauth_uri(RFC_SECRET, issuer="Watchword", partner="Acme", mail_address="ann@example.org"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert unquote(uri.path) == "/Watchword (Acme):ann@example.org"
    asked = parse_qs(uri.query)
    assert asked.pop("secret") == [RFC_SECRET]
    assert asked.pop("issuer") == ["Watchword (Acme)"]
    assert not asked, "SHA-1, six digits and 30 s are what every app assumes"


names = st.text(min_size=1, max_size=100)


@given(issuer=names, partner=names, mail_address=names)
def test_no_name_can_forge_or_swell_the_label(issuer: str, partner: str, mail_address: str) -> None:
    uri = urlsplit(otpauth_uri(RFC_SECRET, issuer=issuer, partner=partner, mail_address=mail_address))
    label, asked = unquote(uri.path).removeprefix("/"), parse_qs(uri.query)
    service, colon, account = label.partition(":")
    assert colon
    assert [service] == asked["issuer"]
    assert max(len(service), len(account)) <= LABEL_CHARACTERS
    assert not any(sign in ":/" or ord(sign) < 32 for sign in service + account)
    assert asked["secret"] == [RFC_SECRET]
