"""User Management in a window: rows, cells, menus, the dialog."""

import json
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from api.cli.importing import take_file
from tests.browser.steps import (
    open_menu,
    sign_in,
    told,
)
from tests.directory import address
from tests.flows.steps import column, signed_in
from tests.services import Portal

DEAD = "smtp://127.0.0.1:9"
"""An SMTP server that does not answer."""


def manage(page: Page, account: str) -> None:
    """Sign in and open User Management by the Settings menu."""
    sign_in(page, account)
    open_menu(page, "Settings", "User Management")
    expect(page.get_by_role("heading", level=1, name="User Management")).to_be_visible()


def row(page: Page, account: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=address(account), exact=True))


def cell(page: Page, account: str, heading: str) -> Locator:
    """Return the cell under a heading; on a small window the heading stands in the row."""
    headings = page.get_by_role("columnheader").all_inner_texts()
    return row(page, account).locator("th, td").nth([text.strip() for text in headings].index(heading))


def says(page: Page, account: str, mfa_status: str) -> None:
    """See the MFA Status column of an account."""
    expect(cell(page, account, "MFA Status")).to_have_text(re.compile(rf"^\s*{mfa_status}\b"))


def actions(page: Page, account: str) -> Locator:
    """Open the actions menu of a row."""
    row(page, account).get_by_label(re.compile("^Actions for ")).click()
    return row(page, account).get_by_role("cell").last


def ask_about(page: Page, account: str) -> Locator:
    """Choose Reset MFA in the row's actions menu, and return the dialog that asks."""
    actions(page, account).get_by_role("link", name="Reset MFA").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def reset(page: Page, account: str) -> None:
    ask_about(page, account).get_by_role("button", name="Yes, Continue").click()
    told(page, "The MFA was reset")


def people(portal: Portal, count: int, tmp_path: Path) -> None:
    """Bring more people into the organization of the distributor."""
    lines = [
        {
            "account": {
                "id": f"more-{number:03}",
                "email": f"more-{number:03}@mail.example",
                "name": f"{'Zoe' if number % 2 else 'Adam'} Number {number:03}",
                "organization": "dist-org",
                "role": "end_user",
            }
        }
        for number in range(count)
    ]
    path = tmp_path / "more.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    assert not take_file(path, portal.watchword).errors
    column(signed_in(portal, "dist-owner"), "dist", "dist-support", portal.watchword.store.last_position())


def addresses(page: Page) -> list[str]:
    return re.findall(r"\S+@\S+\.example", page.get_by_role("table").inner_text())
