"""learningchain(1), made of what each command says of itself with --help: nothing is written twice, so nothing is out of date.

The page is in man(7), the format of Debian's own pages: NAME, SYNOPSIS, DESCRIPTION, the commands under the headings of the
program's own page, then what holds for all of them. Whatever a command says is text: no letter of it is a request to the formatter.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any, Final

from cyclopts import App
from cyclopts.help import HelpEntry, HelpPanel
from rich.console import Console

from learningchain.client.cli.app import build
from learningchain.client.cli.commands import ABOUT, SECTIONS
from learningchain.client.cli.entries import Command, Family

COMMON: Final = "Options of every command"
_EXITS: Final = (
    (0, "Done."),
    (1, "Refused: by the rules of the ledger, or the node does not start. The reason is on standard error."),
    (2, "Wrong usage: words, settings, files, or something that there is not."),
    (3, "The node cannot be reached, or cannot answer now."),
    (70, "A mistake of the program; the message names a file with the details."),
    (130, "Interrupted."),
)
_ENVIRONMENT: Final = (
    ("LEARNINGCHAIN_PASSPHRASE", "The keystore's passphrase, where a command needs it and none is given by a file."),
    ("LEARNINGCHAIN_NEW_PASSPHRASE", "The passphrase that a keystore or its copy is to have."),
    (
        "LEARNINGCHAIN_SECTION_NAME",
        "Stands in for the setting \\fIsection.name\\fR of config.toml, as LEARNINGCHAIN_WORK_ENABLED does.",
    ),
)
_FILES: Final = (
    (
        "~/.local/share/learningchain",
        "The data folder: identity, network, chain, settings. docs/operating.md names each file in it.",
    ),
    ("config.toml", "In the data folder: settings that are not defaults (learningchain config)."),
    ("keystore.json", "In the data folder: the identity, encrypted with the passphrase. Nobody can give it to you again."),
)


class Page:
    """What one command's --help shows, in parts."""

    def __init__(self) -> None:
        self.usage, self.text, self.panels = "", "", list[HelpPanel]()

    # what cyclopts calls with each part
    def render_usage(self, console: Console, options: Any, usage: Any) -> None:
        self.usage = plain(usage)

    def render_description(self, console: Console, options: Any, description: Any) -> None:
        self.text = plain(description)

    def __call__(self, console: Console, options: Any, panel: HelpPanel) -> None:
        if panel.format == "parameter" and panel.entries:
            self.panels.append(panel)


def page(app: App, *words: str) -> Page:
    found = Page()
    app.help_formatter = found
    app.help_print([*words], console=Console(file=io.StringIO(), width=200))
    return found


def plain(text: Any) -> str:
    """What stands in a part of a page, on one line."""
    if text is None:
        return ""
    out = io.StringIO()
    Console(file=out, width=100_000, no_color=True).print(text, end="", soft_wrap=True)
    return " ".join(out.getvalue().split())


def escape(text: str) -> str:
    """`text` so that troff shows it letter by letter: hyphens that can be copied, no escapes, no request at the beginning."""
    for letter, shown in (("\\", "\\e"), ("-", "\\-"), ("'", "\\(aq"), ("`", "\\(ga"), ("^", "\\(ha"), ("~", "\\(ti")):
        text = text.replace(letter, shown)
    text = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in text)
    return "\\&" + text if text.startswith(".") else text


def options(panel: HelpPanel) -> Iterator[str]:
    for entry in panel.entries:
        yield ".TP"
        yield label(entry)
        yield escape(said(entry)) or "\\&"


def label(entry: HelpEntry) -> str:
    """As --help writes it: names, then what is to be given."""
    names = [*entry.positive_names, *entry.positive_shorts, *entry.negative_names, *entry.negative_shorts]
    shown = ", ".join(f"\\fB{escape(name)}\\fR" for name in names) or f"\\fI{escape(entry.positional_label or '')}\\fR"
    return f"{shown} \\fI{escape(entry.metavar)}\\fR" if entry.metavar else shown


def said(entry: HelpEntry) -> str:
    parts = [plain(entry.description)]
    parts += [f"[choices: {', '.join(entry.choices)}]"] if entry.choices else []
    parts += [f"[env var: {', '.join(entry.env_var)}]"] if entry.env_var else []
    parts += [f"[default: {entry.default}]"] if entry.default is not None else []
    parts += ["[required]"] if entry.required else []
    return " ".join(part for part in parts if part)


def of_command(app: App, words: tuple[str, ...], example: str) -> Iterator[str]:
    """One command: how it is called, what it does, its own options, an example."""
    found = page(app, *words)
    yield f".SS {escape(' '.join(words))}"
    yield escape(found.text)
    yield ".PP"
    yield f"\\fB{escape(found.usage)}\\fR"
    for panel in found.panels:
        if panel.title != COMMON:
            yield from options(panel)
    if example:
        yield ".PP"
        yield f"Example: \\fB{escape('learningchain ' + example)}\\fR"


def of_entry(app: App, entry: Command | Family) -> Iterator[str]:
    """A command, or all that are under one word: first what that word is for."""
    if isinstance(entry, Command):
        yield from of_command(app, (entry.name,), entry.example)
        return
    if entry.alone:
        yield from of_command(app, (entry.name,), "")
    else:
        yield f".SS {escape(entry.name)}"
        yield escape(entry.text)
    for command in entry.commands:
        yield from of_command(app, (entry.name, command.name), command.example)


def render(version: str, epoch: int) -> str:
    """The whole page, for that version and time (seconds since 1970)."""
    app, day = build(), time.strftime("%Y-%m-%d", time.gmtime(epoch))
    lines = [
        f'.TH LEARNINGCHAIN 1 "{day}" "learningchain {version}" "User Commands"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"learningchain \\- {escape(ABOUT[0].lower() + ABOUT[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B learningchain",
        ".I COMMAND",
        "[OPTIONS]",
        ".br",
        ".B learningchain \\-\\-version",
        ".br",
        ".B learningchain",
        "[\\fICOMMAND\\fR]",
        ".B \\-\\-help",
        ".SH DESCRIPTION",
        "A node of the graph and everything that is asked of it. Most commands ask the API of the node that runs on this machine;",
        "where a command needs none, it says so. Each explains itself: \\fBlearningchain job submit \\-\\-help\\fR.",
    ]
    for heading, entries in SECTIONS.items():
        lines.append(f".SH {escape(heading.upper())}")
        lines += [line for entry in entries for line in of_entry(app, entry)]
    lines.append(f".SH {COMMON.upper()}")
    common = next(panel for panel in page(app, "status").panels if panel.title == COMMON)
    lines += options(common)
    lines += [".SH EXIT STATUS", *(line for code, text in _EXITS for line in (".TP", str(code), text))]
    lines += [".SH ENVIRONMENT", *(line for name, text in _ENVIRONMENT for line in (".TP", f".B {name}", text))]
    lines += [".SH FILES", *(line for name, text in _FILES for line in (".TP", f".I {escape(name)}", escape(text)))]
    return "\n".join(lines) + "\n"
