"""What commands print: texts, facts and tables, laid out for the width that there is.

Small because each question to the node has to load it. What moves (bars, live tables) is drawn with `rich`, which takes all of
this, too: each `Printable` says its lines, and rich prints them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, TextIO

from learningchain.client.reading import variable

Line = list[tuple[str, str]]
"""One line: texts and their styles."""
_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_COLUMNS: Final = 80
GAP: Final = 1
"""Blanks between the columns of a table."""


class Surface(Protocol):
    """What a command asks of where it prints: a `Console` of this file, or rich's."""

    @property
    def is_terminal(self) -> bool: ...
    @property
    def width(self) -> int: ...
    @property
    def encoding(self) -> str: ...


class Printable:
    """Something that is printed."""

    def lines(self, width: int | None) -> Iterator[Line]:
        """Its lines, at most so many characters wide; None: as wide as they are."""
        raise NotImplementedError

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.text import Text as RichText

        for line in self.lines(None if options.no_wrap else options.max_width):
            yield RichText.assemble(*line)


class Text(Printable):
    """A text in one style: words of `_CODES`."""

    def __init__(self, plain: str = "", style: str = "") -> None:
        self.plain, self.style = plain, style

    def lines(self, width: int | None) -> Iterator[Line]:
        for paragraph in self.plain.split("\n"):
            for line in [paragraph] if width is None else wrapped(paragraph, width):
                yield [(line, self.style)]


class Spans(Printable):
    """One line of several styles, as wide as it is."""

    def __init__(self, *line: tuple[str, str]) -> None:
        self._line = list(line)

    def lines(self, width: int | None) -> Iterator[Line]:
        yield list(self._line)


class Stack(Printable):
    """One below the other."""

    def __init__(self, *parts: Printable) -> None:
        self._parts = parts

    def lines(self, width: int | None) -> Iterator[Line]:
        for part in self._parts:
            yield from part.lines(width)


class Columns(Printable):
    """Rows whose cells stand under each other; a cell that is wider than its column goes on below."""

    def __init__(
        self, rows: Sequence[Sequence[Text]], least: Sequence[int], fixed: set[int], right: set[int], gap: int = GAP
    ) -> None:
        """`least`: how narrow each column may become; those in `fixed` are as wide as they are."""
        self._rows, self._least, self._fixed, self._right, self._gap = rows, least, fixed, right, gap

    def lines(self, width: int | None) -> Iterator[Line]:
        widths = self._widths(width)
        for row in self._rows:
            cells = [[line[0] for line in cell.lines(most)] for cell, most in zip(row, widths, strict=True)]
            for at in range(max(map(len, cells))):
                yield self._line([cell[at] if at < len(cell) else ("", "") for cell in cells], widths)

    def _line(self, cells: Sequence[tuple[str, str]], widths: Sequence[int]) -> Line:
        line: Line = []
        for at, ((text, style), wide) in enumerate(zip(cells, widths, strict=True)):
            blank, last = " " * (wide - columns_of(text)), at == len(cells) - 1
            line += [(blank, ""), (text, style)] if at in self._right else [(text, style), ("" if last else blank, "")]
            line += [] if last else [(" " * self._gap, "")]
        return line

    def _widths(self, width: int | None) -> list[int]:
        """The widest columns give way first."""
        texts = ([part for row in self._rows for part in row[at].plain.split("\n")] for at in range(len(self._least)))
        found = [max(map(columns_of, parts), default=0) for parts in texts]
        over = 0 if width is None else sum(found) + self._gap * (len(found) - 1) - width
        while over > 0:
            soft = [at for at in range(len(found)) if at not in self._fixed and found[at] > max(1, self._least[at])]
            if not soft:
                break
            found[max(soft, key=found.__getitem__)] -= 1
            over -= 1
        return found


class Console:
    """Standard output. `width`: how wide, whatever the terminal is."""

    def __init__(self, width: int | None = None, file: TextIO | None = None) -> None:
        self._file, self._width = sys.stdout if file is None else file, width
        self._coloured = self.is_terminal and variable("NO_COLOR") is None and variable("TERM") not in ("dumb", "unknown")

    @property
    def is_terminal(self) -> bool:
        return self._file.isatty()

    @property
    def encoding(self) -> str:
        return (self._file.encoding or "utf-8").lower()

    @property
    def width(self) -> int:
        if self._width is not None:
            return self._width
        said = variable("COLUMNS") or ""
        if said.isascii() and said.isdigit() and int(said):
            return int(said)
        try:
            return os.get_terminal_size(self._file.fileno()).columns or _COLUMNS
        except (OSError, ValueError):
            return _COLUMNS

    def print(self, *things: Any, style: str = "", soft_wrap: bool = False) -> None:
        """`soft_wrap`: long lines are the terminal's to break."""
        width = None if soft_wrap else self.width
        for thing in things or ("",):
            if hasattr(thing, "__rich_console__") and not isinstance(thing, Printable):
                self._print_rich(thing)
                continue
            drawn = thing if isinstance(thing, Printable) else Text(str(thing), style)
            self._file.writelines(self._written(line) for line in drawn.lines(width))

    def _print_rich(self, thing: Any) -> None:
        from rich.console import Console as RichConsole

        RichConsole(file=self._file, width=self._width, highlight=False, markup=False, emoji=False).print(thing)

    def _written(self, line: Line) -> str:
        """A line ends where its words do."""
        return "".join(self._styled(text, style) for text, style in _stripped(line)) + "\n"

    def _styled(self, text: str, style: str) -> str:
        codes = ";".join(_CODES[word] for word in style.split()) if self._coloured and text else ""
        return f"\x1b[{codes}m{text}\x1b[0m" if codes else text


def _stripped(line: Iterable[tuple[str, str]]) -> Line:
    left = list(line)
    while left and not left[-1][0].strip(" "):
        left.pop()
    return [*left[:-1], (left[-1][0].rstrip(" "), left[-1][1])] if left else []


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: signs of East Asia two, marks on letters none."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def wrapped(text: str, width: int) -> list[str]:
    """A line in lines that are narrow enough, broken between words; within one that is too long alone."""
    if columns_of(text) <= width:
        return [text]
    lines = [""]
    for word in _words(text):
        if columns_of((lines[-1] + word).rstrip(" ")) <= width:
            lines[-1] += word
            continue
        if lines[-1]:
            lines.append("")
        while columns_of(word.rstrip(" ")) > width:
            taken = _fitting(word, width)
            lines[-1] = word[:taken]
            lines.append("")
            word = word[taken:]
        lines[-1] = word
    return [line.rstrip(" ") for line in lines]


def _words(text: str) -> Iterator[str]:
    """Words, each with the blanks behind it; blanks before the first are one of their own."""
    start = 0
    for at in range(1, len(text)):
        if text[at] != " " and text[at - 1] == " ":
            yield text[start:at]
            start = at
    yield text[start:]


def _fitting(word: str, width: int) -> int:
    taken = max(1, min(len(word), width))
    while taken > 1 and columns_of(word[:taken]) > width:
        taken -= 1
    return taken
