"""Lies to who catches up: claims to be far ahead; answers requests for blocks with nothing, not at all, with forged blocks, with
certificates of other heights, in the wrong order, with too few signatures; and passes others' proposals on with wrong lists."""

from __future__ import annotations

from itertools import pairwise

from msgspec.structs import replace

from chain.codec import encode
from chain.node import messages as m
from chain.types import Block, block_id, decode_block
from tests.sim.attacks.base import Byzantine

WRONG = ("forged", "other certificates", "too few signatures", "wrong order", "broken bytes")


def forged(item: m.SyncBlock) -> m.SyncBlock:
    """Another block under the signatures of the real one."""
    block = decode_block(item.block)
    header = replace(block.header, time=block.header.time + 1)
    return m.SyncBlock(encode(Block(header, block.txs)), replace(item.certificate, block_id=block_id(header)))


def unsigned(item: m.SyncBlock) -> m.SyncBlock:
    c = item.certificate
    return m.SyncBlock(item.block, replace(c, signers=c.signers[:1], signatures=c.signatures[:1]))


class Liar(Byzantine):
    name = "liar"

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        match message:
            case m.Status():
                self.did("false height")
                return [encode(m.Status(2**40)), payload]
            case m.Blocks(blocks):
                return self._answer(blocks)
            case m.CompactProposal(proposal, header, ids):
                r = self.whim
                wrong = r.choice([[], ids[:-1], ids[::-1], [*ids, r.randbytes(8)], [r.randbytes(8)] * len(ids)])
                bodies = [encode(m.BlockTxs(proposal.block_id, [i], [b"junk"])) for i in range(min(3, len(wrong)))]
                self.did("wrong list of ids")
                return [encode(m.CompactProposal(proposal, header, wrong)), *bodies]
        return [payload]

    def _answer(self, blocks: list[m.SyncBlock]) -> list[bytes]:
        kind = self.whim.choice(["nothing", "no answer", *WRONG])
        if not blocks:
            kind = "nothing"
        self.did(f"blocks: {kind}")
        match kind:
            case "nothing":
                return [encode(m.Blocks([]))]
            case "no answer":
                return []
            case "forged":
                return [encode(m.Blocks([forged(b) for b in blocks]))]
            case "other certificates":
                mixed = [m.SyncBlock(a.block, b.certificate) for a, b in pairwise([*blocks, blocks[0]])]
                return [encode(m.Blocks([replace_height(b) for b in mixed] if len(blocks) == 1 else mixed))]
            case "too few signatures":
                return [encode(m.Blocks([unsigned(b) for b in blocks]))]
            case "wrong order":
                return [encode(m.Blocks([*blocks[1:], blocks[0]] if len(blocks) > 1 else [forged(blocks[0])]))]
        return [encode(m.Blocks([m.SyncBlock(b.block[:-1], b.certificate) for b in blocks]))]


def replace_height(item: m.SyncBlock) -> m.SyncBlock:
    return m.SyncBlock(item.block, replace(item.certificate, height=item.certificate.height + 1))
