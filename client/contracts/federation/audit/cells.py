"""Attempts of federations with cells judged again, from what three aggregators signed: seals, Screens, sums. LC-FED-60. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from learningchain.chain.contracts.federation.messages import PinSealed, ScreenUpdates, SealParts, SumCells, parts_seal
from learningchain.client.contracts.federation.audit.findings import AuditNotes

AGREE = 2
"""Of three."""


class CellAttempts:
    """What was signed, by attempt and sender, each once."""

    def __init__(self, notes: AuditNotes) -> None:
        self._notes = notes
        self._seals: dict[tuple[int, int, bytes], bytes] = {}
        self._pins: dict[tuple[int, int, bytes], PinSealed] = {}
        self._screens: dict[tuple[int, bytes], ScreenUpdates] = {}
        self._sums: dict[tuple[int, bytes], SumCells] = {}
        self._codes: list[int] = []

    def hear(self, sender: bytes, said: Any) -> None:
        match said:
            case SealParts():
                self._seals.setdefault((said.attempt, said.stage, sender), said.seal)
            case PinSealed():
                self._pins.setdefault((said.attempt, said.stage, sender), said)
            case ScreenUpdates():
                self._screens.setdefault((said.attempt, sender), said)
            case SumCells():
                self._sums.setdefault((said.attempt, sender), said)

    def happened(self, topic: str, data: Sequence[Any]) -> None:
        match topic:
            case "fed.code":
                self._codes.append(data[3])
            case "fed.screened":
                self._screened(*data[:4])
            case "fed.void":
                self._codes.clear()
            case "fed.cells.summed":
                self._summed(*data[:4], by=data[4:])

    def _screened(self, r: int, attempt: int, counting: int, accepted: int) -> None:
        """What two signed are the codes that stand, and so many of them are USED."""
        told, said = bytes(self._codes), Counter(one.codes for (of, _), one in self._screens.items() if of == attempt)
        self._codes.clear()
        faults = [] if said[told] >= AGREE else ["fewer than two aggregators signed the codes that stand"]
        if (told.count(1), len(told) - told.count(2)) != (accepted, counting):
            faults.append(f"{accepted} of {counting} files are told to be summed, which the codes do not say")
        self._notes.judge("screen", faults, f"{accepted} of {counting} files are summed, as two signed", r, attempt)

    def _summed(self, r: int, attempt: int, sums: bytes, cells: int, *, by: Sequence[bytes]) -> None:
        """Two signed the same file and candidates; each showed what it had sealed before anybody saw another's."""
        said = [self._sums.get((attempt, who)) for who in by]
        alike = len({(one.sums, *one.models) for one in said if one is not None}) == 1
        agreed = alike and None not in said and len(by) >= AGREE
        faults = [] if agreed and said[0] is not None and said[0].sums == sums else ["fewer than two signed this file of the sums"]
        shut = [(stage, who) for stage in (1, 2) for who in by if not self._opens(r, attempt, stage, who)]
        faults += [f"stage {stage}: parts of {who.hex()} are not what it sealed" for stage, who in shut]
        self._notes.judge("sum", faults, f"of {cells} cells, as {len(by)} signed behind their seals", r, attempt)

    def _opens(self, r: int, attempt: int, stage: int, who: bytes) -> bool:
        pinned, notes = self._pins.get((attempt, stage, who)), self._notes
        if pinned is None:
            return False
        digests = [part.digest for part in pinned.parts]
        seal = parts_seal(notes.chain_id, notes.federation, r, attempt, who, stage, digests, pinned.salt)
        return self._seals.get((attempt, stage, who)) == seal
