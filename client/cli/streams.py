"""Standard input, output and error as a command finds them: closed, narrower than Unicode, or with a reader that went away.

A command never fails for it. What a terminal has no sign for is shown by what comes near, a stream that is closed is empty or takes
everything, and a reader that goes away ends the command as it ends other tools.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Final

_HANDLER: Final = "learningchain-nearest"
_NEAREST: Final = {
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{SYMBOL FOR NEWLINE}": " ",
}
_NAMES: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def _nearest(fault: UnicodeError) -> tuple[str, int]:
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    return "".join(_NEAREST.get(sign, "?") for sign in fault.object[fault.start : fault.end]), fault.end


def prepare() -> None:
    """To be called before anything is opened: a file that got the number of a closed stream would be written what is printed."""
    codecs.register_error(_HANDLER, _nearest)
    for number, (name, mode) in enumerate(_NAMES):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDWR)
            if fd != number:
                os.dup2(fd, number)
                os.close(fd)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def let_go() -> None:
    """Nobody reads any more, or the disk behind the stream is full: Python would complain once more when it closes the streams."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        try:
            (sys.stdout if number == 1 else sys.stderr).flush()
        except (OSError, ValueError):
            os.dup2(null, number)
    os.close(null)


def is_broken_pipe(fault: BaseException) -> bool:
    """Whether it began with a reader that went away: rich makes its own end of the process of that."""
    seen: BaseException | None = fault
    while seen is not None and not isinstance(seen, BrokenPipeError):
        seen = seen.__context__
    return seen is not None
