"""Names and addresses that would rather be headers, scripts or formulas."""

import csv
import re
import subprocess
import sys
from email.message import Message
from pathlib import Path

from tests.attacks import walk
from tests.attacks.site import Site
from tests.attacks.steps import page, reset_by
from tests.delivery.steps import Post, serving
from tests.delivery.steps import react as take_notice
from tests.delivery.steps import send as send_one
from tests.directory import address
from tests.flows.steps import enforce, enrolled, signed_in

EVIL = "\r\nBcc: evil@evil.example"


def test_inp_02_no_name_and_no_address_adds_a_header_to_a_mail(site: Site) -> None:
    """What could is refused where it is registered; what is taken stands in the text alone."""
    partner = site.partner("owner")
    for name in (
        f"Eve{EVIL}",
        "Eve\nBcc: x",
        "Eve\x00",
        "Eve\u2028Bcc: x",
        "Eve\u2029Bcc: x",
        "Eve\u202eBcc",
        "Eve\x1b[2J",
    ):
        assert site.take(site.account(f"{partner}-eve", partner=partner, role="admin", name=name)) != [], repr(name)
        assert site.take({"partner": {"id": f"{partner}-b", "name": name, "type": "reseller"}}) != []
    for email in (
        f"eve@mail.example{EVIL}",
        "eve@mail.example\nx",
        "eve@mail.example,evil@evil.example",
        '"eve bcc"@mail.example',
        "eve(comment)@mail.example",
        "<eve@mail.example>",
        "eve@mail.example>",
        "eve@[127.0.0.1]",
        "eve%0d%0aBcc@mail",
        "evé@mail.example",
        "eve@mäil.example",
        "eve\u560d\u560aBcc@mail.example",
        "e" * 65 + "@mail.example",
    ):
        assert site.take(site.account(f"{partner}-eve", partner=partner, role="admin", email=email)) != [], email
    name = "Bcc: evil@evil.example, Eve =?utf-8?q?=0D=0ABcc:_x?= {place} %0d%0aBcc: x"
    assert site.take(site.account(f"{partner}-eve", partner=partner, role="admin", name=name)) == []
    site.mails(f"{partner}-eve")
    enrolled(site, f"{partner}-eve")
    for mail in sent(site, address(f"{partner}-eve")):
        assert mail.get_all("To") == [address(f"{partner}-eve")]
        assert mail.keys().count("From") == mail.keys().count("Subject") == 1
        assert not {"Bcc", "Cc", "Reply-To"} & set(mail.keys())
        assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]


def sent(site: Site, to: str) -> list[Message]:
    """Deliver what is owed over real SMTP, and return what the mail server took for an address."""
    with serving(Post()) as post:
        for envelope in site.w.store.read(site.box.read_up_to, 10_000):
            take_notice(site.w, envelope)
            site.box.read_up_to = envelope.position
        while send_one(site.w, post):
            pass
    found = [mail for mail in post.mails if mail["To"] == to]
    assert found
    return found


SCRIPTS = (
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "=HYPERLINK(0)",
    "@SUM(1)",
    "{{7*7}}",
    "javascript:alert(1)",
)


def test_inp_07_a_name_stays_a_name_on_every_page_and_in_every_mail(site: Site) -> None:
    partner = site.partner("owner")
    for number, name in enumerate(SCRIPTS):
        assert site.take(site.account(f"{partner}-e{number}", partner=partner, role="admin", name=name)) == []
    assert site.take({"partner": {"id": partner, "name": f"P {SCRIPTS[0]}", "type": "distributor"}}) == []
    owner = signed_in(site, f"{partner}-owner")
    assert enforce(owner, partner, organizations=True).status_code == 200
    assert reset_by(owner, f"{partner}-e0").status_code == 200
    shown = ""
    site.caught_up()
    for route in walk.routes(site):
        if route.is_page and route.method == "GET":
            answer = page(owner, "GET", route.at(partner, f"{partner}-e0"))
            assert not re.search(r"<(img|svg)[^>]*on(error|load)=", answer.text), route.name
            assert 'href="javascript:' not in answer.text
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            shown += answer.text
    assert "&lt;img src=x onerror" in shown
    assert "{{7*7}}" in shown
    for mail in site.mails(f"{partner}-e0"):
        assert "<img" not in mail.html


def test_inp_07_no_cell_of_an_export_is_a_formula(site: Site, tmp_path: Path) -> None:
    partner = site.partner("owner", "support")
    owner = signed_in(site, f"{partner}-owner")
    assert site.take({"partner": {"id": partner, "name": "=HYPERLINK(0)", "type": "distributor"}}) == []
    assert owner.post(f"/accounts/{partner}-support/mfa/reset", {"reason": "=1+1"}).status_code == 200
    words = [sys.executable, "-m", "api.cli", "audit", "export", "--format", "csv", "--partner", partner]
    words += ["--out", str(tmp_path / "out")]
    environ = {**site.environ(), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = [
        cell
        for path in (tmp_path / "out").rglob("*.csv")
        for row in csv.reader(path.read_text().splitlines())
        for cell in row
    ]
    assert any("=1+1" in cell for cell in cells)
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))] == []
