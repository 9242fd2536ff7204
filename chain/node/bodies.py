"""Bodies of undecided blocks: which are wanted, whom to ask for what is missing, what to answer, what to believe.

Whether a body is right does not depend on who sent it: its transactions hash to the root in the header, and the header to the id.
The short ids of a compact proposal are not signed, so a list of them may be wrong: what they led to counts only once it has that
root, and whoever asks a second time asks for everything. Pure; used by the node alone. LC-NODE-20, 21.
"""

from __future__ import annotations

from itertools import pairwise

from learningchain.chain.consensus.messages import CheckBlock, RoundState
from learningchain.chain.errors import Malformed
from learningchain.chain.node import messages as m
from learningchain.chain.node.candidates import Candidate, Candidates, encoded
from learningchain.chain.node.events import PROPOSALS, VOTES
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.types import Certificate, Proposal, Vote, block_id, decode_block, tx_root

MAX_WANTED = 64
"""As many as the consensus keeps open questions about; a proposer may name blocks that do not exist."""


class Bodies:
    def __init__(self) -> None:
        self.blocks = Candidates()
        self.wanted: dict[bytes, CheckBlock] = {}
        """Checks that wait for their block."""

    def clear(self, height: int) -> None:
        """`height` is decided."""
        self.blocks.clear(height)
        self.wanted.clear()

    def want(self, question: CheckBlock, kept: frozenset[bytes]) -> None:
        """A check that waits for its block; the oldest one that is not in `kept` gives way."""
        self.wanted[question.block_id] = question
        if len(self.wanted) > MAX_WANTED:
            del self.wanted[next((key for key in self.wanted if key not in kept), next(iter(self.wanted)))]

    def wire(self, message: Proposal | Vote | Certificate | RoundState) -> m.Message | None:
        """What is sent for a message of the consensus. None for a proposal whose block is not here: only who has it tells of it."""
        if isinstance(message, Vote):
            return m.VoteMessage(message)
        if isinstance(message, Certificate):
            return m.CertificateMessage(message)
        if isinstance(message, RoundState):
            return m.StateMessage(message)
        candidate = self.blocks.get(message.block_id)
        if candidate is None or not candidate.complete:
            return None
        return m.CompactProposal(message, candidate.header, candidate.short)

    def look(self, pool: Mempool) -> list[bytes]:
        """Wanted blocks that the mempool completes by now."""
        held = [(key, self.blocks.get(key)) for key in self.wanted]
        return [key for key, candidate in held if candidate is not None and not candidate.complete and candidate.look(pool)]

    def ask(self, key: bytes, height: int, peers: list[bytes], turn: int) -> tuple[bytes, m.GetBlock] | None:
        """(peer, request) for what a block lacks: its source first, then the others in turn."""
        candidate = self.blocks.get(key)
        if not peers or (candidate is not None and candidate.complete):
            return None
        if candidate is None:
            return peers[turn % len(peers)], m.GetBlock(height, key, [])
        first = not candidate.asked
        peer = peers[candidate.asked % len(peers)]
        if first and candidate.source in peers:
            peer = candidate.source
        candidate.asked += 1
        candidate.asked_of.add(peer)
        missing = candidate.missing
        partly = first and len(missing) < len(candidate.slots)
        return peer, m.GetBlock(height, key, missing if partly else [])

    def heard(
        self, peer: bytes, message: m.GetBlock | m.BlockTxs | m.FullBlock, now: int, kept: frozenset[bytes]
    ) -> tuple[m.BlockTxs | m.FullBlock | None, Candidate | None]:
        """What to answer, and the candidate that is whole now. Raises `Malformed`."""
        match message:
            case m.GetBlock():
                return self.answer(message), None
            case m.BlockTxs():
                return None, self.take_txs(peer, message)
            case m.FullBlock(raw):
                return None, self.take_full(peer, raw, now, kept)

    def answer(self, request: m.GetBlock) -> m.BlockTxs | m.FullBlock | None:
        """Raises `Malformed`. The places are ascending, so that no request is answered with more than the block."""
        missing = request.missing
        if any(a >= b for a, b in pairwise(missing)):
            raise Malformed("a request for transactions whose places are not ascending")
        held = self.blocks.get(request.block_id)
        if held is None or not held.complete:
            return None
        txs = held.block().txs
        if not missing or missing[-1] >= len(txs):
            return m.FullBlock(encoded(held))
        return m.BlockTxs(request.block_id, missing, [txs[i] for i in missing])

    def take_txs(self, peer: bytes, answer: m.BlockTxs) -> Candidate | None:
        """The candidate when it is whole now. Only a peer that was asked may fill in."""
        candidate = self.blocks.get(answer.block_id)
        if candidate is None or candidate.complete or peer not in candidate.asked_of:
            return None
        return candidate if candidate.fill(answer.missing, answer.txs) else None

    def take_full(self, peer: bytes, raw: bytes, now: int, kept: frozenset[bytes]) -> Candidate | None:
        """The candidate when it was wanted. Raises `Malformed`."""
        block = decode_block(raw)
        key = block_id(block.header)
        candidate = self.blocks.get(key)
        if (candidate is None and key not in self.wanted) or (candidate is not None and candidate.complete):
            return None
        if tx_root(block.txs) != block.header.tx_root:
            raise Malformed("a block whose transactions are not those of its header")
        if candidate is None:
            candidate = Candidate(block.header, [], now, peer)
            self.blocks.put(key, candidate, kept)
        candidate.slots, candidate.raw = list(block.txs), raw
        candidate.complete = True
        return candidate


def lane_of(message: Proposal | Vote | Certificate | RoundState) -> int:
    return PROPOSALS if isinstance(message, Proposal) else VOTES
