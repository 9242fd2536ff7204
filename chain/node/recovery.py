"""The node's log: what it holds beside the consensus' own records, and what a restart makes of it.

A record is one letter and a body: `B` the bytes of a block that this node may vote for, `C` a record of the consensus, `D` the
certificate of a decided block. A block's database transaction may be written behind the log, so after a crash the log can be
ahead of the database: the decided blocks in it are applied again, then the consensus goes on from its own records. LC-NODE-25, 26.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from learningchain.chain.consensus.wal import Polka, Record, decode_record
from learningchain.chain.errors import Malformed
from learningchain.chain.node.messages import decode_certificate
from learningchain.chain.types import Block, Certificate, block_id, decode_block

BLOCK, CONSENSUS, DECIDED = b"B", b"C", b"D"


@dataclass
class Recovered:
    """The log of a crashed node, by kind; `blocks` by id."""

    blocks: dict[bytes, Block] = field(default_factory=dict)
    certificates: dict[int, Certificate] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def of_height(self, height: int) -> list[Record]:
        return [r for r in self.records if r.height == height]

    def undecided(self, height: int) -> list[tuple[bytes, Block]]:
        """(id, block) of `height`, those last that the node locked or took for valid: they must not make room for others."""
        named = {r.block_id for r in self.of_height(height) if isinstance(r, Polka)}
        found = [(key, block) for key, block in self.blocks.items() if block.header.height == height]
        return sorted(found, key=lambda pair: pair[0] in named)


def read_log(records: list[bytes]) -> Recovered:
    """Raises `Malformed`: the log is damaged."""
    found = Recovered()
    for raw in records:
        kind, body = raw[:1], raw[1:]
        if kind == BLOCK:
            block = decode_block(body)
            found.blocks[block_id(block.header)] = block
        elif kind == CONSENSUS:
            found.records.append(decode_record(body))
        elif kind == DECIDED:
            certificate = decode_certificate(body)
            found.certificates[certificate.height] = certificate
        else:
            raise Malformed(f"a record of unknown kind {kind!r} in the node's log")
    return found
