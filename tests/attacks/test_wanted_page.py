"""X12 with an identity provider: who comes back from it goes on to the page that was wanted, and nowhere else."""

from tests.attacks.signing_on import come_back, person, provider, sent_to
from tests.attacks.site import PUBLIC_URL, Site
from tests.issuer import Issuer


def test_x12_single_sign_on_leads_back(site: Site, issuer: Issuer) -> None:
    partner = site.partner("owner")
    which = provider(site, issuer, partner)
    issuer.person = person(f"{partner}-owner")
    browser = site.browser()
    assert browser.http.get(f"{PUBLIC_URL}/user-management?q=zoe").headers["location"] == "/sign-in"
    answer = come_back(browser, issuer.visit(sent_to(browser, which)))
    assert (answer.status_code, answer.headers["location"]) == (303, "/user-management?q=zoe")
    assert browser.session()["state"] == "signed_in"
