"""A person's browser, told what to do line by line: Debian's Chromium under playwright, looked at by axe-core.

Runs in an environment of its own (requirements.txt). Each line of standard input is one thing to do, as JSON; each line of standard
output is what came of it, or `{"failed": why}`.
"""

import json
import sys
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-not-found]
from playwright.sync_api import Error, sync_playwright  # type: ignore[import-not-found]

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
LONGEST_MS = 30_000
SERIOUS = ("serious", "critical")
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WIDEST = """() => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 5).map(e => e.tagName + '.' + e.className + ' ' + (e.textContent || '').trim().slice(0, 40))"""


class Person:
    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        page.set_default_timeout(LONGEST_MS)
        page.on("console", lambda said: self.faults.append(f"console: {said.text}") if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda fault: self.faults.append(f"script: {fault}"))
        page.on("dialog", lambda dialog: (self.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", self._asked)
        self.own = ""

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

    def choose(self, label: str, value: str) -> None:
        self.page.get_by_label(label, exact=True).select_option(value)

    def upload(self, label: str, file: str, after: str) -> Any:
        """By its own form: what the page says `after` it, and whether its progress was seen going."""
        form = self.page.locator("form.upload", has=self.page.get_by_label(label, exact=True))
        form.locator("progress").evaluate(
            "bar => new MutationObserver(() => { bar.dataset.seen = bar.value; }).observe(bar, { attributeFilter: ['value'] })"
        )
        self.page.get_by_label(label, exact=True).set_input_files(file)
        form.get_by_role("button", name="Upload").click()
        form.get_by_text(after).wait_for()
        return form.locator("progress").evaluate("bar => Number(bar.dataset.seen)")

    def complaints(self) -> Any:
        """What the browser complained of since it was last looked at; then it is forgotten."""
        found, self.faults = self.faults, []
        return found

    def value(self, label: str) -> Any:
        return self.page.get_by_label(label, exact=True).input_value()

    def tap(self, text: str) -> None:
        """What leads to no other page."""
        self.page.get_by_text(text, exact=True).first.click()

    def press(self, name: str, role: str = "button") -> Any:
        with self.page.expect_navigation(wait_until="load"):
            self.page.get_by_role(role, name=name).first.click()
        return {"path": self.page.url[len(self.own) :], "title": self.page.title()}

    def keys(self, keys: list[str]) -> Any:
        """By the keyboard alone: what has the focus after each of these."""
        found: list[Any] = []
        for key in keys:
            self.page.keyboard.press(key)
            found.append(self.page.evaluate("(document.activeElement.textContent || '').trim().slice(0, 40)"))
        return found

    def wait(self, text: str, seconds: int = 30) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=seconds * 1_000)

    def arrive(self, path: str) -> None:
        self.page.wait_for_url(self.own + path, wait_until="load")

    def save(self, name: str) -> Any:
        """What a link saves: its bytes' number."""
        with self.page.expect_download() as saving:
            self.page.get_by_role("link", name=name).first.click()
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
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size(PHONE)
        over = self.page.evaluate(OVERFLOW)
        found["phone"] = [f"{over} pixels too wide", *self.page.evaluate(WIDEST)] if over > 0 else []
        if shot:
            self.page.screenshot(path=f"{shot}-phone.png", full_page=True)
        self.page.set_viewport_size(WIDE)
        found["browser"], self.faults = self.faults, []
        return found


def main() -> None:
    with sync_playwright() as playwright:
        # Root may not use Chromium's own sandbox, and it is shown nothing but this node's pages.
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        person = Person(browser.new_context(viewport=WIDE, reduced_motion="reduce").new_page())
        for line in sys.stdin:
            told = json.loads(line)
            try:
                answer = {"done": getattr(person, told.pop("do"))(**told)}
            except Error as fault:
                answer = {"failed": str(fault)[:2_000]}
            print(json.dumps(answer), flush=True)
        browser.close()


main()
