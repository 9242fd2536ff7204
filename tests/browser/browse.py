"""A person's browser, told what to do line by line: Debian's Chromium under playwright, looked at by axe-core.

Runs in an environment of its own (requirements.txt). Each line of standard input is one thing to do, as JSON; each line of standard
output is what came of it, or `{"failed": why}`. With `--keys` the person has no mouse: all is done by the keyboard, and each stop
of the focus must be seen.
"""

import json
import sys
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-not-found]
from playwright.sync_api import Error, sync_playwright  # type: ignore[import-not-found]

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
LONGEST_MS = 30_000
MOST_STOPS = 400
"""Of the focus, on the way through one page."""
SERIOUS = ("serious", "critical")
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WIDEST = """() => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 5).map(e => e.tagName + '.' + e.className + ' ' + (e.textContent || '').trim().slice(0, 40))"""
UNSEEN = """() => {
    const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
    if (['BODY', 'MAIN'].includes(e.tagName)) return '';
    const shown = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 && box.width > 0 && box.height > 0;
    const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    return shown && inside ? '' : e.outerHTML.slice(0, 120);
}"""
"""What has the focus, where nothing shows that it has; headings that a link jumps to aside."""


FADED = """() => [...document.querySelectorAll('.chart canvas')].filter(canvas => {
    const line = getComputedStyle(document.documentElement).getPropertyValue('--line').trim();
    const wanted = [1, 3, 5].map(at => parseInt(line.slice(at, at + 2), 16));
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) if (wanted.every((value, of) => data[at + of] === value)) return false;
    return true;
}).map(canvas => canvas.closest('.chart').id)"""
"""Curves whose lines have not the colours of the present scheme: axe sees no drawing."""


class Person:
    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        page.set_default_timeout(LONGEST_MS)
        page.on("console", lambda said: self.faults.append(f"console: {said.text}") if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda fault: self.faults.append(f"script: {fault}"))
        page.on("dialog", self._questioned)
        page.on("request", self._asked)
        self.own, self.agrees = "", False

    def _questioned(self, dialog: Any) -> None:
        """A question that nobody expects is a fault: a page asks only before what cannot be undone."""
        if self.agrees:
            dialog.accept()
        else:
            self.faults.append(f"dialog: {dialog.message}")
            dialog.dismiss()

    def _asked(self, request: Any) -> None:
        if self.own and not request.url.startswith((self.own, "data:")):
            self.faults.append(f"asked elsewhere: {request.url}")

    def open(self, url: str) -> Any:
        self.own = "/".join(url.split("/")[:3])
        answer = self.page.goto(url, wait_until="load")
        timing = self.page.evaluate("performance.getEntriesByType('navigation')[0].duration")
        return {"status": answer.status, "ms": timing, "title": self.page.title(), "path": self.page.url[len(self.own) :]}

    def come(self, file: str, own: str) -> Any:
        """By a file of this machine, as a browser is started with one."""
        self.own = ""
        self.page.goto(file, wait_until="load")
        self.own = own
        self.arrive("/dashboard")
        return {"url": self.page.url, "title": self.page.title()}

    def fill(self, label: str, value: str) -> None:
        self.page.get_by_label(label, exact=True).fill(value)

    def upload(self, label: str, file: str, after: str) -> Any:
        """By its own form: what the page says `after` it, and whether its progress was seen going."""
        chosen = self.page.get_by_label(label, exact=True)
        form = self.page.locator("form.upload", has=chosen)
        form.locator("progress").evaluate(
            "bar => new MutationObserver(() => { bar.dataset.seen = bar.value; }).observe(bar, { attributeFilter: ['value'] })"
        )
        with self.page.expect_file_chooser() as choosing:
            self._use(chosen)
        choosing.value.set_files(file)
        self._use(form.get_by_role("button", name="Upload"))
        form.get_by_text(after).wait_for()
        return form.locator("progress").evaluate("bar => Number(bar.dataset.seen)")

    def complaints(self) -> Any:
        """What the browser complained of since it was last looked at; then it is forgotten."""
        found, self.faults = self.faults, []
        return found

    def value(self, label: str) -> Any:
        return self.page.get_by_label(label, exact=True).input_value()

    def _use(self, what: Any) -> None:
        self._reach(what)
        self._strike(what)

    def _reach(self, what: Any) -> None:
        """A mouse is there at once."""

    def _strike(self, what: Any) -> None:
        what.first.click()

    def tap(self, text: str) -> None:
        """What leads to no other page."""
        self._use(self.page.get_by_text(text, exact=True))

    def press(self, name: str, role: str = "button", agree: bool = False) -> Any:
        """`agree`: to what the page asks before."""
        wanted, self.agrees = self.page.get_by_role(role, name=name), agree
        self._reach(wanted)  # the link past the menu is a navigation of its own
        with self.page.expect_navigation(wait_until="load"):
            self._strike(wanted)
        self.agrees = False
        return {"path": self.page.url[len(self.own) :], "title": self.page.title()}

    def wait(self, text: str, seconds: int = 30) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=seconds * 1_000)

    def arrive(self, path: str) -> None:
        self.page.wait_for_url(self.own + path, wait_until="load")

    def save(self, name: str) -> Any:
        """What a link saves: its bytes' number."""
        with self.page.expect_download() as saving:
            self._use(self.page.get_by_role("link", name=name))
        return len(saving.value.path().read_bytes())

    def loads(self) -> Any:
        """How often this page was loaded since the browser began: one that comes alive by itself is not loaded again."""
        return self.page.evaluate("performance.getEntriesByType('navigation').length + performance.timeOrigin")

    def text(self) -> Any:
        return self.page.inner_text("main")

    def links(self) -> Any:
        return self.page.eval_on_selector_all("a[href^='/dashboard']", "all => all.map(a => a.getAttribute('href'))")

    def look(self, shot: str = "") -> Any:
        """What is wrong with the page as it stands: by axe, on a phone's width, in the dark, and what the browser complained of."""
        found: dict[str, list[Any]] = {}
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            if shot:
                self.page.screenshot(path=f"{shot}-{scheme}.png", full_page=True)
            wrong = [one for one in Axe().run(self.page).response["violations"] if one["impact"] in SERIOUS]
            found[scheme] = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in wrong]
            found[scheme] += [f"not drawn for it: {chart}" for chart in self.page.evaluate(FADED)]
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size(PHONE)
        over = self.page.evaluate(OVERFLOW)
        found["phone"] = [f"{over} pixels too wide", *self.page.evaluate(WIDEST)] if over > 0 else []
        if shot:
            self.page.screenshot(path=f"{shot}-phone.png", full_page=True)
        self.page.set_viewport_size(WIDE)
        found["browser"], self.faults = self.faults, []
        return found


class KeyboardPerson(Person):
    """Tab, Enter, Space and letters. The way into a page is its link past the menu."""

    def _strike(self, what: Any) -> None:
        self.page.keyboard.press("Space" if what.first.evaluate("e => e.matches('summary, input')") else "Enter")

    def fill(self, label: str, value: str) -> None:
        self._reach(self.page.get_by_label(label, exact=True))
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(value) if value else self.page.keyboard.press("Delete")

    def _reach(self, what: Any) -> None:
        for _ in range(MOST_STOPS):
            if what.first.evaluate("e => e === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
            if unseen := self.page.evaluate(UNSEEN):
                self.faults.append(f"the focus is not seen: {unseen}")
            if what.first.evaluate("e => document.activeElement.matches('.skip') && document.getElementById('main').contains(e)"):
                self.page.keyboard.press("Enter")
        raise Error(f"the keyboard does not come to {what}")


def main() -> None:
    kind = KeyboardPerson if "--keys" in sys.argv[1:] else Person
    with sync_playwright() as playwright:
        # Root may not use Chromium's own sandbox, and it is shown nothing but this node's pages.
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        person = kind(browser.new_context(viewport=WIDE, reduced_motion="reduce").new_page())
        for line in sys.stdin:
            told = json.loads(line)
            try:
                answer = {"done": getattr(person, told.pop("do"))(**told)}
            except Error as fault:
                answer = {"failed": str(fault)[:2_000]}
            print(json.dumps(answer), flush=True)
        browser.close()


main()
