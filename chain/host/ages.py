"""How old a height is: the ledger keeps a few heights with their chain clocks, so that an age is counted in time as well.

Any member sets the pace of blocks: what counted in them alone would shrink a few hundredfold whenever somebody likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from learningchain.chain.host.records import ClockMark
from learningchain.chain.params import Params

MARKS_IN_SPAN: Final = 16
MOST_MARKS: Final = 32


def evidence_span(params: Params) -> int:
    """LC-BLK-41: the time that `evidence_age` blocks take in an idle graph."""
    return params.evidence_age * params.heartbeat


def add_mark(marks: Sequence[ClockMark], height: int, clock: int, span: int) -> list[ClockMark] | None:
    """LC-BLK-41: the marks with that of this block, without those that nothing asks for; None where none is due."""
    if marks and clock < marks[-1].clock + span // MARKS_IN_SPAN:
        return None
    found = [*marks, ClockMark(height, clock)]
    old = sum(mark.clock <= clock - span for mark in found)
    found = found[max(0, old - 1) :]
    return [found[0], *found[max(1, len(found) - MOST_MARKS + 1) :]]


def first_reportable(marks: Sequence[ClockMark], params: Params, height: int, clock: int) -> int:
    """LC-MEM-10: the first height whose double signing can be reported in the block of this height and clock.

    Older ones are so by blocks and by time.
    """
    old = [mark.height for mark in marks if mark.clock <= clock - evidence_span(params)]
    return max(0, min(height - params.evidence_age, old[-1] + 1 if old else 0))
