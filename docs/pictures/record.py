"""Records a command on a terminal as an animated picture: `python docs/pictures/record.py OUT.svg [OPTIONS] -- COMMAND...`.

The command runs on a terminal of its own; what it shows is kept with its times, played faster, and written as one SVG without
script that any browser shows. Only the control sequences that this project's programs send are understood. The pictures of README:

    python docs/pictures/record.py docs/pictures/demo.svg --still 0.54 -- learningchain demo
    python docs/pictures/record.py docs/pictures/federation.svg --speed 3 --width 100 -- python -m examples.federating
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import fcntl
import html
import itertools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

SAMPLE_S = 0.1
LONGEST_STILL_S = 1.6
"""A picture that does not change is shown no longer than this, after speeding up."""
END_S = 6.0
FIRST_S = 3.0
"""The picture that says most stands first for so long: a terminal begins empty, and a reader who scrolls on sees no other."""
CELL_W, CELL_H, SIZE, PAD = 8.0, 17.0, 13.0, 12.0
INK, PAPER = "#d8dee9", "#1d2330"
BASIC = ["#3b4252", "#e0606c", "#8fc07a", "#e5c07b", "#6aa5e8", "#c58fd0", "#5cc0c7", "#d8dee9"]
BRIGHT = ["#7a869c", "#ef7883", "#a6d68f", "#f0d391", "#86b9f3", "#d6a6e0", "#7cd3da", "#ffffff"]
_CONTROL = re.compile(
    r"\x1b\[([?>=]?[0-9;]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b[^][()]|[\x00-\x1a\x1c-\x1f\x7f]",
    re.DOTALL,
)


@dataclass(frozen=True)
class Style:
    ink: str = INK
    bold: bool = False
    dim: bool = False


PLAIN = Style()
Row = tuple[tuple[str, Style], ...]
"""Runs of one style."""


class Screen:
    """What a terminal shows: enough of one for lines that scroll and a display that is drawn over itself."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows: list[list[tuple[str, Style]]] = [[]]
        self.at, self.column, self.style = 0, 0, PLAIN
        self._rest = ""

    def feed(self, text: str) -> None:
        text, self._rest = self._rest + text, ""
        start = 0
        for found in _CONTROL.finditer(text):
            self._write(text[start : found.start()])
            start = found.end()
            self._control(found)
        tail = text[start:]
        cut = tail.rfind("\x1b")
        if cut >= 0:
            tail, self._rest = tail[:cut], tail[cut:]
        self._write(tail)

    def _write(self, text: str) -> None:
        row = self.rows[self.at]
        for char in text:
            if self.column >= self.width:
                self._line_feed()
                self.column, row = 0, self.rows[self.at]
            row.extend([(" ", PLAIN)] * (self.column - len(row)))
            row[self.column : self.column + 1] = [(char, self.style)]
            self.column += 1

    def _line_feed(self) -> None:
        self.at += 1
        if self.at == len(self.rows):
            self.rows.append([])

    def _control(self, found: re.Match[str]) -> None:
        sign, numbers, kind = found[0], found[1], found[2]
        if sign == "\n":
            self._line_feed()
        elif sign == "\r":
            self.column = 0
        elif kind == "A":
            self.at = max(0, self.at - int(numbers or 1))
        elif kind == "K":
            self.rows[self.at] = [] if numbers == "2" else self.rows[self.at][: self.column]
        elif kind == "m":
            self.style = styled(self.style, [int(n or 0) for n in numbers.split(";")])

    def shown(self) -> tuple[Row, ...]:
        """The rows in sight, each as runs."""
        used = len(self.rows) - (0 if self.rows[-1] else 1)
        return tuple(_runs(row) for row in self.rows[max(0, used - self.height) : used])


def styled(style: Style, codes: list[int]) -> Style:
    """After one "select graphic rendition" sequence (ECMA-48, 8.3.117)."""
    rest = list(codes)
    while rest:
        code = rest.pop(0)
        if code == 0:
            style = PLAIN
        elif code in (1, 2):
            style = replace(style, bold=style.bold or code == 1, dim=style.dim or code == 2)
        elif code == 22:
            style = replace(style, bold=False, dim=False)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = replace(style, ink=BASIC[code - 30] if code < 40 else BRIGHT[code - 90])
        elif code == 39:
            style = replace(style, ink=INK)
        elif code == 38 and rest[:1] == [5]:
            style, rest = replace(style, ink=colour(rest[1])), rest[2:]
        elif code == 38 and rest[:1] == [2]:
            style, rest = replace(style, ink=f"#{rest[1]:02x}{rest[2]:02x}{rest[3]:02x}"), rest[4:]
    return style


def colour(number: int) -> str:
    """Of xterm's 256."""
    if number < 16:
        return (BASIC + BRIGHT)[number]
    if number >= 232:
        return "#" + f"{8 + 10 * (number - 232):02x}" * 3
    steps = (0, 95, 135, 175, 215, 255)
    number -= 16
    return "#" + "".join(f"{steps[n]:02x}" for n in (number // 36, number // 6 % 6, number % 6))


def _runs(row: list[tuple[str, Style]]) -> Row:
    runs: list[tuple[str, Style]] = []
    for char, style in row:
        if runs and runs[-1][1] == style:
            runs[-1] = (runs[-1][0] + char, style)
        else:
            runs.append((char, style))
    while runs and not runs[-1][0].strip():
        runs.pop()
    return tuple(runs)


# --- running -------------------------------------------------------------------------------------------------------------------


def record(command: list[str], width: int, height: int) -> tuple[list[tuple[float, tuple[Row, ...]]], int]:
    """What the command showed, each picture with the second at which it was there first, and its exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLORTERM", "NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment | {"TERM": "xterm-256color"})
    os.close(slave)
    os.set_blocking(master, False)
    screen, began = Screen(width, height), time.monotonic()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pictures: list[tuple[float, tuple[Row, ...]]] = []
    while True:
        over = process.poll() is not None
        with contextlib.suppress(BlockingIOError, OSError):
            while raw := os.read(master, 65_536):
                screen.feed(decoder.decode(raw))
        if not pictures or pictures[-1][1] != screen.shown():
            pictures.append((time.monotonic() - began, screen.shown()))
        if over:
            os.close(master)
            return pictures, process.returncode
        time.sleep(SAMPLE_S)


def played(pictures: list[tuple[float, tuple[Row, ...]]], speed: float, most: int) -> list[tuple[float, tuple[Row, ...]]]:
    """(seconds for which it is shown, picture): one for each of `most` equal stretches of time, and the last for longer."""
    whole = pictures[-1][0]
    slots = [
        max((p for p in pictures if p[0] <= whole * n / most), key=lambda p: p[0], default=pictures[0]) for n in range(1, most + 1)
    ]
    kept = [p for n, p in enumerate(slots) if n == 0 or p is not slots[n - 1]]
    lasts = [min(LONGEST_STILL_S, (b[0] - a[0]) / speed) for a, b in itertools.pairwise(kept)] + [END_S]
    return [(seconds, rows) for seconds, (_, rows) in zip(lasts, kept, strict=True)]


# --- drawing -------------------------------------------------------------------------------------------------------------------


def line(row: Row) -> str:
    """One line of text at its origin. Each run has a width of its own, so that no font moves what comes after it."""
    parts, column = [], 0
    for text, style in row:
        stripped = text.strip(" ")
        lead = len(text) - len(text.lstrip(" "))
        if stripped:
            look = "" if style.ink == INK else f' fill="{style.ink}"'
            look += ' font-weight="bold"' if style.bold else ""
            look += ' fill-opacity=".6"' if style.dim else ""
            x, w = (column + lead) * CELL_W, len(stripped) * CELL_W
            parts.append(f'<tspan x="{x:g}" textLength="{w:g}"{look}>{html.escape(stripped, quote=False)}</tspan>')
        column += len(text)
    return "".join(parts)


def svg(shown: list[tuple[float, tuple[Row, ...]]], width: int, height: int, title: str, still: int) -> str:
    """The pictures below each other, and a window that steps from one to the next. Picture `still` stands before all of them, and
    where nothing may move."""
    w, h = width * CELL_W + 2 * PAD, height * CELL_H + 2 * PAD
    names: dict[str, int] = {}
    frames = []
    for number, (_, rows) in enumerate(shown):
        uses = []
        for at, row in enumerate(rows):
            if content := line(row):
                name = names.setdefault(content, len(names))
                uses.append(f'<use href="#r{name}" y="{at * CELL_H:g}"/>')
        frames.append(f'<g transform="translate(0 {number * h:g})">{"".join(uses)}</g>')
    order = [(still, FIRST_S), *((number, seconds) for number, (seconds, _) in enumerate(shown))]
    whole, passed, steps = sum(seconds for _, seconds in order), 0.0, []
    for number, seconds in order:
        steps.append(f"{100 * passed / whole:.2f}%{{transform:translateY({-number * h:g}px)}}")
        passed += seconds
    defined = "".join(f'<text id="r{number}">{content}</text>' for content, number in names.items())
    style = (
        "text{white-space:pre}"
        f"@media (prefers-reduced-motion:no-preference){{#film{{animation:play {whole:.1f}s step-end infinite}}}}"
        f"@keyframes play{{{''.join(steps)}}}"
    )
    font = f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="{SIZE:g}" fill="{INK}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:g} {h:g}" width="{w:g}" height="{h:g}" role="img" '
        f'xml:space="preserve"><title>{html.escape(title)}</title><style>{style}</style><defs>{defined}</defs>'
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>'
        f'<svg x="{PAD:g}" y="{PAD:g}" width="{width * CELL_W:g}" height="{height * CELL_H:g}" overflow="hidden">'
        f'<g transform="translate(0 {SIZE:g})" {font}><g id="film" transform="translate(0 {-still * h:g})">'
        f"{''.join(frames)}</g></g></svg></svg>\n"
    )


def without_folder(rows: tuple[Row, ...], folder: str) -> tuple[Row, ...]:
    """Paths as they look from the folder that the command ran in: where that lies is nobody's business."""
    return tuple(tuple((words.replace(f"{folder}/", ""), style) for words, style in row) for row in rows)


def main(argv: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=124)
    parser.add_argument("--height", type=int, default=40)
    parser.add_argument("--speed", type=float, default=8.0)
    parser.add_argument("--pictures", type=int, default=48, help="most different pictures to keep")
    stands = "which part of the way stands first, and where nothing may move, 0 to 1"
    parser.add_argument("--still", type=float, default=1.0, help=stands)
    parser.add_argument("--title", default="A recorded terminal")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(None if argv is None else list(argv))
    pictures, code = record(given.command, given.width, given.height)
    write(given, [(t, without_folder(rows, str(Path.cwd()))) for t, rows in pictures])
    return code


def write(given: argparse.Namespace, pictures: list[tuple[float, tuple[Row, ...]]]) -> None:
    shown = played(pictures, given.speed, given.pictures)
    height = min(given.height, max(len(rows) for _, rows in shown))
    still = min(len(shown) - 1, round(given.still * len(shown)))
    given.out.write_text(svg(shown, given.width, height, given.title, still), encoding="utf-8")
    sys.stderr.write(f"{given.out}: {len(shown)} of {len(pictures)} pictures, {given.out.stat().st_size} bytes\n")


if __name__ == "__main__":
    sys.exit(main())
