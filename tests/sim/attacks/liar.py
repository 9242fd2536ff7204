"""Claims to be far ahead, answers requests for blocks with nothing or with forged ones, and passes on others' proposals with wrong
lists of ids."""

from __future__ import annotations

from msgspec.structs import replace

from chain.codec import encode
from chain.node import messages as m
from chain.types import Block, block_id, decode_block
from tests.sim.attacks.base import Byzantine


def forged(item: m.SyncBlock) -> m.SyncBlock:
    """Another block under the signatures of the real one."""
    block = decode_block(item.block)
    header = replace(block.header, time=block.header.time + 1)
    return m.SyncBlock(encode(Block(header, block.txs)), replace(item.certificate, block_id=block_id(header)))


class Liar(Byzantine):
    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        r = self.whim
        match message:
            case m.Status():
                return [encode(m.Status(2**40)), payload]
            case m.Blocks(blocks):
                return [encode(m.Blocks([forged(b) for b in blocks] if r.random() < 0.5 else []))]
            case m.CompactProposal(proposal, header, ids):
                wrong = r.choice([[], ids[:-1], ids[::-1], [*ids, r.randbytes(8)], [r.randbytes(8)] * len(ids)])
                bodies = [encode(m.BlockTxs(proposal.block_id, [i], [b"junk"])) for i in range(min(3, len(wrong)))]
                return [encode(m.CompactProposal(proposal, header, wrong)), *bodies]
        return [payload]
