"""The real node with one deliberate fault: `python -m tests.processes.broken_node FAULT FLAG node --data DIR …`.

It behaves until the file FLAG is there. `journal` is no fault: every signature that leaves is written to the file FLAG.

* `equivocate`: at its next turn it makes two blocks of one height, and signs and sends proposal, prevote and precommit for each:
  one half of its peers sees the one, the other half the other. Its guard is told nothing of the second. Then it behaves again.
* `disk-full`: every write of the log and the guard finds no space. For machines where no small file system can be mounted.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignVote
from learningchain.chain.crypto import SigningKey
from learningchain.chain.node import candidates
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.storage.disk import OsFile
from learningchain.chain.storage.guard import Guard, Kind
from learningchain.chain.types import NO_ROUND, Proposal, Vote, block_id, proposal_digest, vote_digest
from learningchain.client.daemon import running as daemon
from learningchain.client.keys.signing import LocalSigner
from learningchain.client.node.driver import Driver, now_ms
from learningchain.p2p.wire import NODE

FLAG = Path()


class Equivocator(Driver):
    """Tells every second peer another story, once."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._twin: bytes = b""
        """Id of the second block of the height and round below."""
        self._place = (0, 0)

    def _sign(self, effect: e.SignRequest) -> None:
        super()._sign(effect)
        r = effect.request
        own, chain = self.node.own_id, self.node.chain_id
        if isinstance(r, SignVote):
            if (r.height, r.round) == self._place and r.block_id:
                digest = vote_digest(chain, r.type, r.height, r.round, self._twin)
                vote = Vote(r.type, r.height, r.round, self._twin, own, self._own_key().sign(digest))
                self._whisper(encode(m.VoteMessage(vote)), e.VOTES)
        elif r.pol_round == NO_ROUND and FLAG.exists() and len(self._second_half()) > 0:
            FLAG.unlink()
            self._propose_twin(r.height, r.round)

    def _propose_twin(self, height: int, round_: int) -> None:
        node = self.node
        chosen = node.pool.selection(node.params.block_bytes).first()
        twin, _ = candidates.build(node.state, node.own_id, node._beacon_key, round_, node.head_id, now_ms() + 1, chosen)
        self._twin, self._place = block_id(twin.header), (height, round_)
        digest = proposal_digest(node.chain_id, height, round_, NO_ROUND, self._twin)
        proposal = Proposal(height, round_, NO_ROUND, self._twin, node.own_id, self._own_key().sign(digest))
        self._whisper(encode(m.CompactProposal(proposal, twin.header, twin.short)), e.PROPOSALS)

    def _own_key(self) -> SigningKey:
        return cast(LocalSigner, self._signer).key

    def _second_half(self) -> list[bytes]:
        peers = [] if self._network is None else [p.id for p in self._network.peers()]
        return peers[1::2]

    def _whisper(self, payload: bytes, lane: int) -> None:
        for peer in self._second_half():
            if self._network is not None:
                self._network.send(peer, NODE, payload, lane)

    def _broadcast(self, effect: e.Gossip) -> None:
        """What it signed for the first block goes to the first half only, while the place is contested."""
        network = self._network
        if network is None or self.node.height + 1 != self._place[0] or effect.scope is not e.Scope.CONSENSUS:
            super()._broadcast(effect)
            return
        for peer in [p.id for p in network.peers()][0::2]:
            network.send(peer, NODE, effect.payload, effect.queue)

    def _run(self, effect: e.Effect) -> None:
        if not isinstance(effect, e.Evidenced):  # it does not report itself
            super()._run(effect)


def full_disk() -> None:
    write = OsFile.write

    def refuse(self: OsFile, offset: int, data: bytes) -> None:
        if FLAG.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, offset, data)

    OsFile.write = refuse  # type: ignore[method-assign]


def journal() -> None:
    """One line for each signature, before it leaves: kind, height, round, digest."""
    sign = Guard.sign

    def note(self: Guard, kind: Kind, height: int, round_: int, digest: bytes, key: Callable[[bytes], bytes]) -> bytes | None:
        signature = sign(self, kind, height, round_, digest, key)
        if signature is not None:
            with FLAG.open("a") as file:
                file.write(f"{int(kind)} {height} {round_} {digest.hex()}\n")
        return signature

    Guard.sign = note  # type: ignore[method-assign]


def main() -> int:
    global FLAG
    fault, FLAG = sys.argv[1], Path(sys.argv[2])
    if fault == "equivocate":
        setattr(daemon, "Driver", Equivocator)  # noqa: B010
    elif fault == "disk-full":
        full_disk()
    elif fault == "journal":
        journal()
    else:
        raise SystemExit(f"unknown fault {fault}")
    del sys.argv[1:3]
    from learningchain.client.cli.app import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
