"""Lies to who catches up: claims to be far ahead; answers requests for blocks with nothing, not at all, with forged blocks, with
certificates of other heights, in the wrong order, with too few signatures, with other receipts or changes than the block's;
offers snapshots that nobody signed, and buckets that are not those; and passes others' proposals on with wrong lists."""

from __future__ import annotations

from itertools import pairwise

from msgspec.structs import replace

from learningchain.chain.codec import decode, encode
from learningchain.chain.host import ACTIVE, Account, account_key
from learningchain.chain.ledger.state_diff import Record, StateDiff
from learningchain.chain.node import messages as m
from learningchain.chain.params import LANES
from learningchain.chain.types import Block, Receipt, block_id, decode_block
from tests.sim.attacks.base import Byzantine
from tests.sim.attacks.snapshot_lies import buckets, changes, offer

WRONG = ("forged", "other certificates", "too few signatures", "wrong order", "broken bytes")


def forged(item: m.SyncBlock) -> m.SyncBlock:
    """Another block under the signatures of the real one."""
    block = decode_block(item.block)
    header = replace(block.header, time=block.header.time + 1)
    return m.SyncBlock(encode(Block(header, block.txs)), replace(item.certificate, block_id=block_id(header)))


def unsigned(item: m.SyncBlock) -> m.SyncBlock:
    c = item.certificate
    return m.SyncBlock(item.block, replace(c, signers=c.signers[:1], signatures=c.signatures[:1]))


def richer(item: m.ExecutedBlock, own: bytes) -> m.ExecutedBlock:
    """A change too many: the liar's own account, with more in it."""
    put = {record.key: record.value for record in item.changes.put}
    account = Account(own[:1] * 33, ACTIVE, 10**9, 0, [0] * LANES, 0)
    put[account_key(own)] = encode(account)
    records = [Record(key, value) for key, value in sorted(put.items())]
    return replace(item, changes=StateDiff(records, item.changes.gone))


def applied(item: m.ExecutedBlock) -> m.ExecutedBlock:
    """Other receipts: what was refused is said to have been applied, and the other way round."""
    receipts = [decode(Receipt, raw, 10**6) for raw in item.receipts]
    return replace(item, receipts=[encode(replace(receipt, code=1 - min(1, receipt.code))) for receipt in receipts])


class Liar(Byzantine):
    name = "liar"

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        match message:
            case m.Status():
                self.did("false height")
                return [encode(m.Status(2**40, 1)), payload]
            case m.Blocks(blocks):
                return self._answer(blocks)
            case m.ExecutedBlocks(outcomes):
                return self._outcomes(outcomes)
            case m.Snapshot(_, offers) if offers:
                return self._lie("snapshot", offer(offers[0], self.whim))
            case m.ValidatorChanges(told):
                return self._lie("validator set changes", changes(told, self.whim))
            case m.Buckets():
                return self._lie("buckets", buckets(message, self.whim))
            case m.CompactProposal(proposal, header, ids):
                r = self.whim
                wrong = r.choice([[], ids[:-1], ids[::-1], [*ids, r.randbytes(8)], [r.randbytes(8)] * len(ids)])
                bodies = [encode(m.BlockTxs(proposal.block_id, [i], [b"junk"])) for i in range(min(3, len(wrong)))]
                self.did("wrong list of ids")
                return [encode(m.CompactProposal(proposal, header, wrong)), *bodies]
        return [payload]

    def _lie(self, about: str, lie: tuple[str, list[m.Message]]) -> list[bytes]:
        self.did(f"{about}: {lie[0]}")
        return [encode(message) for message in lie[1]]

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

    def _outcomes(self, told: list[m.ExecutedBlock]) -> list[bytes]:
        """As with blocks, and lies about what they did."""
        kind = self.whim.choice(
            ["no answer", "richer", "poorer", "applied", "idle", "forged", "too few signatures", "swapped", "other transactions"]
        )
        self.did(f"outcomes: {kind}")
        first, rest = told[0], told[1:]
        plain = m.SyncBlock(first.block, first.certificate)
        match kind:
            case "no answer":
                return []
            case "richer":
                return [encode(m.ExecutedBlocks([richer(first, self.id), *rest]))]
            case "poorer":
                return [
                    encode(m.ExecutedBlocks([replace(first, changes=StateDiff(first.changes.put[:-1], first.changes.gone)), *rest]))
                ]
            case "applied":
                return [encode(m.ExecutedBlocks([applied(first), *rest]))]
            case "idle":
                return [encode(m.ExecutedBlocks([replace(first, changes=StateDiff([], [])), *rest]))]
            case "swapped":
                last = told[-1]
                return [encode(m.ExecutedBlocks([replace(first, changes=last.changes, receipts=last.receipts[:1]), *rest]))]
            case "other transactions":
                block = decode_block(first.block)
                txs = [raw[:-1] + bytes([raw[-1] ^ 1]) for raw in block.txs]
                return [encode(m.ExecutedBlocks([replace(first, block=encode(Block(block.header, txs))), *rest]))]
        wrong = forged(plain) if kind == "forged" else unsigned(plain)
        return [encode(m.ExecutedBlocks([replace(first, block=wrong.block, certificate=wrong.certificate), *rest]))]


def replace_height(item: m.SyncBlock) -> m.SyncBlock:
    return m.SyncBlock(item.block, replace(item.certificate, height=item.certificate.height + 1))
