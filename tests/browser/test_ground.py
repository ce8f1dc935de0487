"""The ground itself: what the watch over a window sees, what the eyes read, and that mail goes the real way."""

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import segno
from playwright.sync_api import Browser, Page

from api.walls import SECURITY_HEADERS
from tests.browser import eyes
from tests.browser.post import PostOffice, link_in
from tests.browser.scrutiny import Scrutiny
from tests.browser.window import Windows, windows
from tests.directory import PASSWORD, address
from tests.flows.steps import signed_in
from tests.services import Portal

SAID = "otpauth://totp/Watchword:a%40mail.example?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Watchword"


def qr() -> str:
    out = io.BytesIO()
    segno.make(SAID, error="m").save(out, kind="svg", scale=5, xmldecl=False, svgns=False, light="#fff")
    return out.getvalue().decode()


SOUND = '<!doctype html><html lang="en"><title>Sound</title><main><h1>Sound</h1>{}</main></html>'
PAGES = {
    "/sound": SOUND.format("<p>All is well.</p>"),
    "/inline-style": SOUND.format('<p style="color: red">Red</p>'),
    "/inline-script": SOUND.format("<script>1</script>"),
    "/throws": SOUND.format('<script src="/throws.js"></script>'),
    "/elsewhere": SOUND.format('<img alt="" src="http://127.0.0.2:9/pixel.png">'),
    "/lost-picture": SOUND.format('<img alt="" src="/nothing.png">'),
    "/unlabelled": SOUND.format('<input type="text">'),
    "/qr": SOUND.format(qr()),
    "/throws.js": "throw new Error('out of order')",
    "/favicon.ico": "",
    "/app.css": "h2 { width: 700px } button { outline: none } a { outline: 3px solid #00f }",
    "/faulty": (
        '<!doctype html><html lang="en"><title>Faulty</title><link rel="stylesheet" href="/app.css"><main><h2>Wide</h2>'
        '<a href="/">Seen</a> <button>Unseen</button> <a href="/" tabindex="-1">Not reached</a></div></main></html>'
    ),
}


KINDS = {"js": "text/javascript", "css": "text/css"}


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = PAGES.get(self.path)
        self.send_response(404 if page is None else 200)
        for name, value in SECURITY_HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", KINDS.get(self.path.rpartition(".")[2], "text/html"))
        self.end_headers()
        self.wfile.write((SOUND.format("Nothing is here.") if page is None else page).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def still(chromium: Browser) -> Iterator[Windows]:
    """Windows on a few still pages, sound ones and others."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        with windows(chromium, f"http://127.0.0.1:{server.server_port}") as opened:
            yield opened
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/sound", []),
        ("/nothing-here", []),
        ("/inline-style", ["Content Security Policy"]),
        ("/inline-script", ["Content Security Policy"]),
        ("/throws", ["out of order"]),
        ("/lost-picture", ["404"]),
        ("/elsewhere", ["Content Security Policy"]),
    ],
)
def test_the_watch_sees_what_a_page_may_not_do(still: Windows, path: str, seen: list[str]) -> None:
    still().goto(path)
    complaints = still.close()
    assert bool(complaints) == bool(seen), complaints
    for word in seen:
        assert any(word in complaint for complaint in complaints), complaints


def test_the_watch_sees_what_is_asked_elsewhere(still: Windows) -> None:
    page = still()
    page.route("http://elsewhere.invalid/", lambda route: route.fulfill(body="elsewhere"))
    page.goto("http://elsewhere.invalid/")
    assert still.close() == ["window 1: asked another origin: http://elsewhere.invalid/"]


def test_each_window_has_cookies_of_its_own(still: Windows) -> None:
    first, second = still(), still("phone", color_scheme="dark", java_script=False)
    first.context.add_cookies([{"name": "mine", "value": "1", "url": still.origin}])
    assert second.context.cookies() == []
    second.goto("/sound")
    assert second.viewport_size == {"width": 390, "height": 844}
    assert still.close() == []


def test_both_readers_read_the_same_qr_code_from_a_screenshot(still: Windows) -> None:
    for page in (still(), still("phone", color_scheme="dark")):
        page.goto("/qr")
        photograph = page.screenshot(full_page=True, caret="initial")
        assert eyes.scan_qr(photograph) == SAID
        assert eyes.by_zxing(photograph) == SAID
    assert still.close() == []


def test_axe_finds_a_field_without_a_label_and_nothing_on_a_sound_page(still: Windows) -> None:
    page: Page = still()
    page.goto("/sound")
    eyes.assert_accessible(page)
    page.goto("/unlabelled")
    faults = eyes.accessibility_faults(page)
    assert [fault.split(" ")[0] for fault in faults] == ["label"], faults
    assert still.close() == [], "axe-core works under our Content-Security-Policy"


def test_the_scrutiny_finds_what_is_wrong_and_leaves_what_is_right(still: Windows) -> None:
    page, scrutiny = still(), Scrutiny()
    page.goto("/faulty")
    scrutiny.look(page, "faulty")
    assert "one does not see the focus on <button>Unseen" in "".join(scrutiny.faults)
    assert "Seen</a>" not in "".join(scrutiny.faults)
    for word in (
        "the title is 'Faulty'",
        "main headings are []",
        "Not reached",
        "scrolls sideways at 320 px: 7",
        "320 px, dark",
    ):
        assert [fault for fault in scrutiny.faults if word in fault], (word, scrutiny.faults)
    assert not [fault for fault in scrutiny.faults if "3840" in fault]
    assert still.close() == []


def test_mail_goes_by_smtp_to_the_catcher_once(portal: Portal, post: PostOffice) -> None:
    person = signed_in(portal, "dist-support")
    person.post("/me/mfa/enable")
    owner = signed_in(portal, "dist-owner")
    assert owner.post("/accounts/dist-support/mfa/reset", {}).status_code == 200
    (mail,) = post.deliver()
    assert (mail.to, mail.kind) == ((address("dist-support"),), "reset_by_administrator")
    assert link_in(mail).startswith(portal.address)
    assert PASSWORD not in mail.text
    assert post.deliver() == []
