"""What a Screen of small updates says (LC-FILE-58): a code for each file, and one digest of all that was opened. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace, screen_digest
from learningchain.client.contracts.federation.arithmetic.small.field import Numbers
from learningchain.client.contracts.federation.arithmetic.small.proof import ProofShape, is_proved

USED: Final = 1
AWAY: Final = 2
UNPROVED: Final = 9
IDLE: Final = 10


class OpenedFile(NamedTuple):
    """A file of the attempt: `complete` says whether its cell is, `opened` is None where the file does not count."""

    cell: int
    complete: bool
    opened: Numbers | None


class SmallScreen(NamedTuple):
    codes: bytes
    digest: bytes


def screen(place: AttemptPlace, shape: ProofShape, files: Sequence[OpenedFile]) -> SmallScreen:
    """LC-FILE-58. `files`: in the order of the commitments."""
    proved = [file.opened is not None and is_proved(shape, file.opened) for file in files]
    summed = {file.cell for file in files if file.complete}
    summed -= {file.cell for file, holds in zip(files, proved, strict=True) if file.opened is not None and not holds}
    codes = bytes(_code(file, holds, file.cell in summed) for file, holds in zip(files, proved, strict=True))
    nothing = bytes(8 * shape.view)
    told = [nothing if file.opened is None else file.opened.astype("<u8").tobytes() for file in files]
    return SmallScreen(codes, screen_digest(place, b"".join(bytes((code,)) + said for code, said in zip(codes, told, strict=True))))


def _code(file: OpenedFile, proved: bool, sums: bool) -> int:
    if file.opened is None:
        return AWAY
    if not proved:
        return UNPROVED
    return USED if sums else IDLE
