"""Whose attempts of a federation with cells are told to be missed, held against files, what aggregators said, and codes. LC-FED-58,
59. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learningchain.chain.contracts.federation.cells import ABSENT, LACKED, UNPROVED
from learningchain.chain.contracts.federation.formulas import of_bitmap
from learningchain.chain.contracts.federation.messages import FileCode, HaveUpdates
from learningchain.client.contracts.federation.audit.findings import AuditNotes


class CellMisses:
    """Of the attempt that trains or is judged; no attempt has begun where `_trains` is False."""

    def __init__(self, notes: AuditNotes) -> None:
        self._notes = notes
        self._have: dict[tuple[int, bytes], int] = {}
        self._begin(trains=False)

    def _begin(self, *, trains: bool) -> None:
        self._trains, self._collected = trains, False
        self._files: list[bytes] = []
        self._unproved: set[bytes] = set()
        self._told: list[tuple[bytes, int]] = []

    def hear(self, sender: bytes, said: Any) -> None:
        if isinstance(said, HaveUpdates):
            self._have.setdefault((said.attempt, sender), of_bitmap(said.files))

    def happened(self, topic: str, data: Sequence[Any]) -> None:
        match topic:
            case "fed.train":
                self._begin(trains=True)
            case "fed.file":
                self._files.append(data[1])
            case "fed.collect":
                self._collected = True
            case "fed.missed":
                self._told.append((data[1], data[2]))
            case "fed.code" if data[3] == FileCode.UNPROVED:
                self._unproved.add(data[2])
            case "fed.void" | "fed.cells.summed" if self._trains:
                self._judge(*data[:2])
                self._begin(trains=False)

    def _judge(self, r: int, attempt: int) -> None:
        told = {why: {who for who, of in self._told if of == why} for why in (ABSENT, LACKED, UNPROVED)}
        faults = [f"{who.hex()} is told to be absent, and its file is there" for who in told[ABSENT] & set(self._files)]
        faults += [f"{who.hex()} lacks or has a file otherwise than is told" for who in told[LACKED] ^ self._lacked(attempt)]
        faults += [f"{who.hex()} is proved or not otherwise than is told" for who in told[UNPROVED] ^ self._unproved]
        self._notes.judge("misses", faults, f"{len(self._told)} missed, as files, aggregators and codes say", r, attempt)

    def _lacked(self, attempt: int) -> set[bytes]:
        """Where one aggregator lacks a file that does not lack more than half of them."""
        if not self._collected:
            return set()
        every = (1 << len(self._files)) - 1
        lacks = [every & ~bits for (of, _), bits in self._have.items() if of == attempt]
        believed = [bits for bits in lacks if 2 * bits.bit_count() <= len(self._files)]
        return {who for place, who in enumerate(self._files) if any(bits >> place & 1 for bits in believed)}
