"""Wrong codes and wrong passwords, one after the other."""

from tests.attacks.site import Site
from tests.attacks.steps import pending
from tests.directory import address
from tests.flows.steps import reason, wrong_code
from tests.portal import Browser

WRONG = (401, "wrong_credentials")
TOO_MANY = (429, "too_many_tries")


def guess(site: Site, browser: Browser, key: str) -> tuple[int, str]:
    return reason(browser.post("/sign-in/code", {"code": wrong_code(site, key)}))


def spend(site: Site, account: str, key: str) -> None:
    """Give five wrong codes, all that one sign-in has."""
    browser = pending(site, account)
    assert [guess(site, browser, key) for _ in range(5)] == [(401, "code_not_accepted")] * 5


def password(browser: Browser, account: str, given: str) -> tuple[int, str]:
    answer = browser.post("/sign-in", {"email": address(account), "password": given})
    return (200, "") if answer.status_code == 200 else reason(answer)


def stranger(site: Site, **options: str) -> Browser:
    browser = site.browser(**options)
    browser.session()
    return browser
