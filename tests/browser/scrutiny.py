"""What every page is looked at for: axe-core in light and dark and on small and large windows, and the keyboard."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.browser.eyes import accessibility_faults

NARROW, WIDE, HUGE = (320, 640), (1280, 900), (3840, 2160)

STRUCTURE = """() => ({
    lang: document.documentElement.lang,
    title: document.title,
    headings: [...document.querySelectorAll("h1")].map(each => each.textContent.trim()),
})"""
SIDEWAYS = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const wide = [...document.body.querySelectorAll("*")].filter(each => each.getBoundingClientRect().right > width + 1);
    return [`${document.documentElement.scrollWidth} > ${width}`, ...wide.slice(0, 3).map(each => each.outerHTML.slice(0, 90))];
}"""
STOPS = """() => {
    const all = (document.querySelector("dialog:modal") ?? document).querySelectorAll(
        "a[href], button, input, select, textarea, summary, [tabindex='0']");
    window.stops = [...all].filter(
        each => !each.matches(":disabled, [type=hidden]") && each.checkVisibility({visibilityProperty: true}));
    return stops.length;
}"""
FOCUS = """() => {
    const here = document.activeElement, style = getComputedStyle(here), place = here.getBoundingClientRect();
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 || style.boxShadow !== "none";
    const seen = place.width > 1 && place.height > 1 && place.bottom > 0 && place.top < innerHeight;
    return {stop: stops.indexOf(here), visible: ring && seen, what: here.outerHTML.slice(0, 120)};
}"""
SOURCE = """async () => {
    const answer = await fetch(location.href, {headers: {accept: "text/html"}});
    return answer.ok ? await answer.text() : "";
}"""
NAMES = "numbers => numbers.map(number => stops[number].outerHTML.slice(0, 120))"


@dataclass
class Scrutiny:
    """Looks at one state of a page after another, and keeps everything that is wrong."""

    faults: list[str] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)
    """Paths, with an id in its place written as ``*``."""
    titles: dict[str, str] = field(default_factory=dict)

    def look(self, page: Page, state: str) -> None:
        """Look at what the page shows now. The page stays as it is."""
        path = re.sub(r"^/(reset|unlock|invited|dev/mail)/[^/]+$", r"/\1/*", urlsplit(page.url).path)
        self.visited.add(path)
        found = [*structure(page), *keyboard(page), *nesting(page)]
        for size in (NARROW, WIDE):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                found += [f"{size[0]} px, {scheme}: {fault}" for fault in accessibility_faults(page)]
        for size in (NARROW, HUGE, WIDE):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            found += [
                f"scrolls sideways at {size[0]} px: {' '.join(wide)}" for wide in [page.evaluate(SIDEWAYS)] if wide
            ]
        page.emulate_media(color_scheme="light")
        self.faults += [f"{state} ({path}): {fault}" for fault in found]


def structure(page: Page) -> list[str]:
    """Return what is wrong with language, title and main heading."""
    found: dict[str, Any] = page.evaluate(STRUCTURE)
    faults = []
    if found["lang"] != "en":
        faults.append(f"lang is {found['lang']!r}")
    if not re.fullmatch(r"(?:Error: )?\S.* · Watchword", found["title"]):
        faults.append(f"the title is {found['title']!r}")
    if len(found["headings"]) != 1 or not found["headings"][0]:
        faults.append(f"the main headings are {found['headings']}")
    return faults


def keyboard(page: Page) -> list[str]:
    """Return which links, buttons and fields the Tab key does not come to, and where one does not see the focus."""
    count, reached, faults = page.evaluate(STOPS), set(), []
    for _ in range(2 * count + 20):  # it stops in the browser's own controls too, and in each part of a date
        page.keyboard.press("Tab")
        now = page.evaluate(FOCUS)
        if now["stop"] >= 0 and now["stop"] not in reached:
            reached.add(now["stop"])
            if not now["visible"]:
                faults.append(f"one does not see the focus on {now['what']}")
        if len(reached) == count:
            break
    missed = page.evaluate(NAMES, sorted(set(range(count)) - reached))
    return [*faults, *(f"Tab does not come to {each}" for each in missed)]


class Nesting(HTMLParser):
    """Says where the elements of a page are not closed in the order in which they were opened."""

    VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        self.faults += [
            f"<{tag}> on line {self.getpos()[0]} has {name} twice" for name in set(names) if names.count(name) > 1
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an SVG element without content."""

    def handle_endtag(self, tag: str) -> None:
        last = self.open[-1] if self.open else "nothing"
        if tag == last:
            self.open.pop()
            return
        self.faults.append(f"</{tag}> on line {self.getpos()[0]}, where <{last}> is open")
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def nesting(page: Page) -> list[str]:
    """Return what is wrong with the nesting of the elements, as the server sent them: a browser mends that silently."""
    reader = Nesting()
    reader.feed(page.evaluate(SOURCE))
    return [*reader.faults, *(f"<{tag}> is never closed" for tag in reader.open)]
