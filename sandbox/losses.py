"""Reads `/lc/out/losses`: what a stranger's evaluation measured, one decimal for each example. Pure, in pieces, without a float.

What a program may write and what becomes of everything else: LC-LOSS-15 to LC-LOSS-18 (protocol_spec/losses.md). The first line
that is no loss decides, so the answer does not depend on the pieces in which the file arrives.
"""

from __future__ import annotations

import re
from array import array

from learningchain.chain.losses import MAX_EXAMPLES
from learningchain.chain.types import parse_loss

MAX_LOSSES_BYTES = 24 * 2**20
"""LC-LOSS-18: largest file in bytes: 2^20 lines of 23 characters and their ends."""
_SLICE = 65_536
"""Bytes that are cut into lines at once: a file of newlines alone would be a list of millions."""
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_NO_NUMBER = re.compile(rb"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


class BadLosses(ValueError):
    """The file breaks the container contract. `line` counts from 1; `why` says what is wrong there."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


class LossesInvalid(BadLosses):
    """A number that no vote can say: the model broke its evaluation. The vote is INVALID (LC-LOSS-17)."""


class LossesBroken(BadLosses):
    """Not what an evaluation writes. The vote is BROKEN (LC-LOSS-18)."""


class LossReader:
    """Takes the file in pieces of any size. After an error nothing more may be taken."""

    def __init__(self) -> None:
        self._losses = array("q")
        self._taken = 0
        self._line = bytearray()
        """The line that has not ended."""

    def take(self, piece: bytes) -> None:
        """Raises LossesInvalid or LossesBroken."""
        allowed = piece[: MAX_LOSSES_BYTES - self._taken]
        for at in range(0, len(allowed), _SLICE):
            ended, newline, rest = allowed[at : at + _SLICE].rpartition(b"\n")
            if newline:
                self._line += ended
                self._read(bytes(self._line))
                self._line.clear()
            self._line += rest
        self._taken += len(allowed)
        if len(allowed) < len(piece):
            raise LossesBroken(len(self._losses) + 1, f"the file has more than {MAX_LOSSES_BYTES:,} bytes here")

    def finish(self) -> array[int]:
        """The losses in units of 1e-9, rounded up, in the order of the file (LC-LOSS-16). Raises LossesBroken."""
        if self._line:
            raise LossesBroken(len(self._losses) + 1, "it has no newline at its end; end every line with one")
        if not self._losses:
            raise LossesBroken(1, "the file is empty; write one loss for each example")
        return self._losses

    def _read(self, lines: bytes) -> None:
        for line in lines.split(b"\n"):
            if len(self._losses) == MAX_EXAMPLES:
                raise LossesBroken(MAX_EXAMPLES + 1, f"an evaluation has at most {MAX_EXAMPLES:,} losses")
            try:
                self._losses.append(parse_loss(line.decode("ascii")))
            except ValueError:
                raise _fault(len(self._losses) + 1, line) from None


def parse_losses(raw: bytes) -> array[int]:
    """A whole file. Raises LossesInvalid or LossesBroken."""
    reader = LossReader()
    reader.take(raw)
    return reader.finish()


def _fault(number: int, line: bytes) -> BadLosses:
    """What a line that is no loss makes of the vote (LC-LOSS-17, 18)."""
    shown = ascii(line[:40].decode("latin-1")) + (f" and {len(line) - 40:,} bytes more" if len(line) > 40 else "")
    if _NO_NUMBER.fullmatch(line):
        return LossesInvalid(number, f"{shown} is no number")
    if _NUMBER.fullmatch(line):
        text = f"{shown} has an exponent or too many digits; a loss has at most 9 before and 18 behind the point"
        return LossesInvalid(number, text)
    if not line:
        return LossesBroken(number, "it is empty; write one loss for each example")
    if line.startswith(b"\xef\xbb\xbf"):
        return LossesBroken(number, "it begins with a byte order mark; write ASCII")
    if line.endswith(b"\r"):
        return LossesBroken(number, "it ends with a carriage return; end every line with a newline alone")
    return LossesBroken(number, f"{shown} is no loss; write a plain decimal such as 0.123456789")
