"""X12: after the sign-in one comes to the page that was wanted before; X08: a form that the sign-in has left behind."""

import base64
import re
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.frame.wanted import page_of
from api.web import create_app
from tests.directory import PASSWORD, address
from tests.flows.pages import FROM_OUR_PAGE, look, submit
from tests.flows.steps import enforce, enrolled, next_code, signed_in
from tests.portal import Browser
from tests.services import Portal

DEEP = "/user-management?mfa_status=Inactive&sort=-email"
ELSEWHERE = (
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%2fevil.example",
    "/%5cevil.example",
    "/..//evil.example",
    "/./audit",
    "https://evil.example/audit",
    "javascript:alert(1)",
    "/audit\r\nLocation: https://evil.example",
    "/audit\t",
    "/ audit",
    "/audit#x",
    "/unknown",
    "/sign-out",
    "/sign-in",
    "/sign-in/back?code=x&state=y",
    "/api/v1/session",
    "/security-settings/policy",
    "/healthz",
    "/@evil.example",
    ".evil.example",
    "",
)


def wants(portal: Portal, page: str = DEEP) -> Browser:
    """Return a browser that wanted a page, and was led to the sign-in form."""
    browser = portal.browser()
    answer = look(portal, browser, page)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    browser.session()
    return browser


def password(portal: Portal, browser: Browser, account: str) -> str:
    answer = submit(portal, browser, "/sign-in", email=address(account), password=PASSWORD)
    browser.session()
    return answer.headers["location"]


def leads_to(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_x12_the_password_leads_back(portal: Portal) -> None:
    browser = wants(portal)
    assert password(portal, browser, "dist-owner") == DEEP
    assert look(portal, browser, DEEP).status_code == 200
    browser.sign_out()
    assert password(portal, browser, "dist-owner") == "/", "once"


def test_x12_account_choice_and_code_lead_back(portal: Portal) -> None:
    _, key = enrolled(portal, "three-dist")
    browser = wants(portal, "/me/history")
    assert password(portal, browser, "three-dist") == "/sign-in/account"
    assert leads_to(submit(portal, browser, "/sign-in/account", account_id="three-dist")) == "/sign-in/code"
    browser.session()
    assert leads_to(submit(portal, browser, "/sign-in/code", code=next_code(portal, key))) == "/me/history"


def test_x12_the_set_up_leads_back(portal: Portal) -> None:
    enforce(signed_in(portal, "dist-owner"), "dist", users=True)
    browser = wants(portal)
    assert password(portal, browser, "dist-admin") == "/mfa/setup"
    assert leads_to(submit(portal, browser, "/mfa/setup")) == "/mfa/setup"
    key = re.search(r'id="setup-key"[^>]*>([A-Z2-7 ]+)<', look(portal, browser, "/mfa/setup").text)
    assert key
    answer = submit(portal, browser, "/mfa/setup/confirm", code=next_code(portal, key[1].replace(" ", "")))
    assert leads_to(answer) == DEEP


def test_x12_not_now_leads_back(portal: Portal) -> None:
    signed_in(portal, "dist-admin").post("/me/mfa/enable")
    browser = wants(portal)
    assert password(portal, browser, "dist-admin") == "/mfa/setup"
    assert leads_to(submit(portal, browser, "/mfa/setup/leave")) == DEEP


def test_x12_after_the_idle_time_out_one_comes_back(portal: Portal) -> None:
    browser = signed_in(portal, "dist-support")
    portal.clock.advance(minutes=31)
    assert leads_to(look(portal, browser, "/user-management?q=zoe")) == "/sign-in"
    browser.session()
    assert password(portal, browser, "dist-support") == "/user-management?q=zoe"


def test_x12_the_newest_wish_counts_and_signing_out_forgets_it(portal: Portal) -> None:
    browser = wants(portal)
    look(portal, browser, "/me/history")
    assert password(portal, browser, "dist-owner") == "/me/history"
    again = wants(portal)
    look(portal, again, "/")
    assert password(portal, again, "dist-owner") == "/"
    third = wants(portal)
    submit(portal, third, "/sign-out")
    third.session()
    assert password(portal, third, "dist-owner") == "/"


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_x12_a_planted_cookie_leads_nowhere_else(portal: Portal, elsewhere: str) -> None:
    browser = portal.browser()
    browser.session()
    planted = base64.urlsafe_b64encode(elsewhere.encode()).rstrip(b"=").decode()
    browser.http.cookies.set("watchword-wanted", planted, domain="127.0.0.1", path="/")
    assert password(portal, browser, "dist-owner") == "/"


@pytest.mark.parametrize("elsewhere", ["//evil.example", "/%2fevil.example", "/audit%0d%0aX: y", "/%5c%5cevil.example"])
def test_x12_an_odd_address_is_not_remembered(portal: Portal, elsewhere: str) -> None:
    browser = portal.browser()
    browser.http.get(httpx.URL(portal.address).copy_with(raw_path=elsewhere.encode()))
    browser.session()
    assert password(portal, browser, "dist-owner") == "/"


def test_x12_only_pages_of_ours_come_of_any_text(portal: Portal) -> None:
    app = create_app(portal.watchword)
    assert page_of(app, DEEP) == DEEP
    assert page_of(app, "/audit?from=<script>") == "/audit"
    assert page_of(app, f"/audit?x={'y' * 400}") == "/audit"
    text = st.text(max_size=60) | st.text("/\\.%?#@:ae \r\n\t", max_size=12).map("/audit".__add__)

    @given(text | text.map("/".__add__))
    def any_text(given: str) -> None:
        found = page_of(app, given)
        assert found is None or re.fullmatch(r"/(?:[a-z][\w./-]*)?(?:\?[!-~]*)?", found, re.ASCII)
        assert found is None or "//" not in found.partition("?")[0]
        assert found is None or "\\" not in found

    any_text()


# ── X08 ──


def stale(portal: Portal, browser: Browser, csrf: str, path: str, page: str = "", **fields: str) -> httpx.Response:
    """Send a form of an earlier sign-in."""
    headers = FROM_OUR_PAGE | {"Origin": portal.address} | ({"Referer": f"{portal.address}{page}"} if page else {})
    return browser.http.post(f"{portal.address}{path}", data={"csrf_token": csrf, **fields}, headers=headers)


def another_window(portal: Portal, account: str = "dist-owner") -> tuple[Browser, str]:
    browser = signed_in(portal, account)
    return browser, browser.csrf


def test_x08_signed_out_elsewhere(portal: Portal) -> None:
    """X08: the page says so; after the sign-in one is back at the form, and what is no secret is shown once more."""
    browser, csrf = another_window(portal)
    browser.sign_out()
    page = "/user-management?ask=reset&account=dist-support"
    fields = {"reason": "lost <b>phone", "password": "never-shown"}
    answer = stale(portal, browser, csrf, "/user-management/dist-support/reset", page, **fields)
    assert answer.status_code == 403
    assert "Session ended" in answer.text
    assert 'href="/sign-in"' in answer.text
    assert "lost &lt;b&gt;phone" in answer.text
    assert "never-shown" not in answer.text
    assert "CSRF" not in answer.text
    assert password(portal, browser, "dist-owner") == page
    assert not portal.watchword.store.history("user_mfa:dist-support")


def test_x08_signed_in_again_elsewhere(portal: Portal) -> None:
    """X08: as somebody else even; nothing is carried out, and the page leads to the form under the new sign-in."""
    browser, csrf = another_window(portal)
    browser.sign_in(address("dist-admin"), PASSWORD)
    answer = stale(portal, browser, csrf, "/security-settings/enable", "/security-settings")
    assert answer.status_code == 403
    assert "You signed in again" in answer.text
    assert "Dist Admin" in answer.text
    assert 'href="/security-settings"' in answer.text
    assert not portal.watchword.store.history("user_mfa:dist-admin")
    assert browser.session()["state"] == "signed_in"


def test_x08_already_signed_in_elsewhere_goes_on(portal: Portal) -> None:
    """X08: the sign-in form of another window is not needed any more."""
    browser = portal.browser()
    browser.session()
    csrf = browser.csrf
    browser.sign_in(address("dist-owner"), PASSWORD)
    for path in ("/sign-in", "/sign-in/code", "/sign-in/account", "/sign-in/with"):
        answer = stale(portal, browser, csrf, path, email=address("dist-owner"), password=PASSWORD)
        assert leads_to(answer) == "/"
    assert "signed in already" in look(portal, browser, "/").text


def test_x08_a_sign_in_form_of_an_older_window_keeps_the_address(portal: Portal) -> None:
    """X08: the next click signs in."""
    for csrf in ("older", ""):
        browser = portal.browser()
        browser.session()
        answer = stale(portal, browser, csrf, "/sign-in", email=address("dist-owner"), password=PASSWORD)
        assert answer.status_code == 403
        assert f'value="{address("dist-owner")}"' in answer.text
        assert PASSWORD not in answer.text
        token = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)
        assert token
        again = stale(portal, browser, token[1], "/sign-in", email=address("dist-owner"), password=PASSWORD)
        assert leads_to(again) == "/"


def test_x08_signed_out_twice_is_signed_out(portal: Portal) -> None:
    browser, csrf = another_window(portal)
    browser.sign_out()
    assert leads_to(stale(portal, browser, csrf, "/sign-out")) == "/sign-in"


def test_x08_in_the_middle_of_another_sign_in_it_goes_on(portal: Portal) -> None:
    enrolled(portal, "dist-admin")
    browser, csrf = another_window(portal)
    browser.sign_in(address("dist-admin"), PASSWORD)
    answer = stale(portal, browser, csrf, "/security-settings/enable", "/security-settings")
    assert (answer.status_code, 'href="/sign-in/code"' in answer.text) == (403, True)


OTHER_SITES: list[Callable[[str], dict[str, str]]] = [
    lambda _: {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    lambda _: {"Origin": "null"},
    lambda own: {"Origin": own, "Sec-Fetch-Site": "same-site"},
    lambda _: {},
]


@pytest.mark.parametrize("headers", OTHER_SITES)
def test_x08_another_sites_form_and_a_program_keep_their_refusal(
    portal: Portal, headers: Callable[[str], dict[str, str]]
) -> None:
    browser, csrf = another_window(portal)
    browser.sign_in(address("dist-admin"), PASSWORD)
    data = {"csrf_token": csrf, "reason": "typed elsewhere"}
    answer = browser.http.post(f"{portal.address}/security-settings/enable", data=data, headers=headers(portal.address))
    assert (answer.status_code, "Cross site" in answer.text) == (403, True)
    assert "typed elsewhere" not in answer.text
    refused = browser.post("/me/mfa/enable", X_CSRF_Token=csrf)
    assert (refused.status_code, refused.json()["reason"]) == (403, "cross_site")


def test_x08_a_referer_of_elsewhere_leads_nowhere(portal: Portal) -> None:
    browser, csrf = another_window(portal)
    browser.sign_in(address("dist-admin"), PASSWORD)
    for referer in (
        "https://evil.example/audit",
        f"{portal.address}//evil.example",
        f"{portal.address}.evil.example/audit",
    ):
        headers = FROM_OUR_PAGE | {"Origin": portal.address, "Referer": referer}
        url = f"{portal.address}/security-settings/enable"
        answer = browser.http.post(url, data={"csrf_token": csrf}, headers=headers)
        assert "evil" not in answer.text
        assert 'href="/" role="button"' in answer.text
