"""Disk before wire: what a signature that leaves rests on is on the disk by then, so that no power cut can take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learningchain.chain.consensus.messages import SignProposal, SignVote
from learningchain.chain.consensus.wal import SignIntent, decode_record
from learningchain.chain.node.recovery import CONSENSUS
from learningchain.chain.types import PRECOMMIT

if TYPE_CHECKING:
    from learningchain.chain.storage.guard import Kind
    from tests.sim.machine import Machine

Place = tuple[int, int, int, bytes]
"""(kind, height, round, block)"""


class DiskCheck:
    def __init__(self) -> None:
        self._announced: dict[int, set[Place]] = {}
        """What each machine's log announced durably: of the present height and the one before."""
        self._written: dict[int, list[Place]] = {}
        """The same, not synced yet."""

    def logged(self, machine: Machine, record: bytes, sync: bool) -> str:
        """The fault, or nothing."""
        i = machine.index
        written = self._written.setdefault(i, [])
        written += _announced(record)
        if not sync:
            return ""
        if machine.disk.names["wal"].writes:
            return "the log says that it is synced, and the disk that it is not"
        known = self._announced.get(i, set())
        newest = max((height for _, height, _, _ in written), default=0)
        self._announced[i] = {place for place in known if place[1] >= newest - 1}.union(written)
        written.clear()
        return ""

    def signed(self, machine: Machine, kind: Kind, r: SignVote | SignProposal) -> str:
        known = self._announced.setdefault(machine.index, set())
        place = (int(kind), r.height, r.round, r.block_id)
        if place not in known:  # asked for again after a restart
            known.update(place for record in machine.wal.records() for place in _announced(record))
        if place not in known:
            return f"signed a {kind.name} of height {r.height}, round {r.round} that its log did not announce"
        last, stored = machine.guard.last(kind), machine.disk.names["guard"]
        if last is None or last.signature not in stored.durable:
            return f"signed a {kind.name} of height {r.height}, round {r.round} before its guard had it on disk"
        return ""

    def crashed(self, machine: Machine) -> None:
        self._written.pop(machine.index, None)

    def forget(self, machine: Machine) -> None:
        self._announced.pop(machine.index, None)


def _announced(record: bytes) -> list[Place]:
    if record[:1] != CONSENSUS:
        return []
    r = decode_record(record[1:])
    if isinstance(r, SignIntent):
        return [(r.kind, r.height, r.round, r.block_id)]
    return [(PRECOMMIT, r.height, r.round, r.block_id)] if r.locks else []
