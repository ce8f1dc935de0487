"""What looks at a page beside a person: a reader of QR codes, and axe-core, which finds what keeps people out."""

import io
import shutil
import subprocess
from importlib.resources import files
from typing import Any

import zxingcpp
from PIL import Image
from playwright.sync_api import Page

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice")
OPTIONS = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"], "preload": False}


def scan_qr(screenshot: bytes) -> str:
    """Return what the one QR code in a picture says, as a phone would read it: by zbarimg, or by zxing-cpp."""
    return by_zbarimg(screenshot) if shutil.which("zbarimg") else by_zxing(screenshot)


def by_zbarimg(screenshot: bytes) -> str:
    asked = ["zbarimg", "--quiet", "--raw", "--nodbus", "-Sdisable", "-Sqrcode.enable", "-"]
    done = subprocess.run(asked, input=screenshot, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"zbarimg finds no QR code: {done.stderr.decode()}"
    return only(done.stdout.decode().splitlines())


def by_zxing(screenshot: bytes) -> str:
    picture = Image.open(io.BytesIO(screenshot)).convert("L")
    return only(
        [
            found.text
            for found in zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
        ]
    )


def only(found: list[str]) -> str:
    assert len(found) == 1, f"one QR code was expected, and {len(found)} were found"
    return found[0]


def accessibility_faults(page: Page) -> list[str]:
    """Return what axe-core finds against WCAG 2.2 AA and good practice: rule, help, and each place."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", OPTIONS)
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: {' '.join(map(str, node['target']))}: "
        f"{' '.join(str(node['failureSummary']).split())}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


def assert_accessible(page: Page) -> None:
    """Fail with one line for each thing that keeps people out of this page."""
    faults = accessibility_faults(page)
    assert not faults, "\n".join([f"axe-core finds on {page.url}:", *faults])
