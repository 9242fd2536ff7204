"""Headers and blocks that are valid and that are not; the block's reward and its secret."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from learningchain.chain.host import (
    BANNED,
    K_CHAIN,
    K_PARAMS,
    K_SUPPLY,
    SUSPENDED,
    BeaconCommitment,
    Supply,
    account_key,
)
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import (
    beacon_commitment,
    beacon_secret,
)
from learningchain.chain.params import MAX_INT
from tests.vectors.executed import (
    ALICE,
    BOB,
    HEIGHT,
    V1,
    V2,
    V3,
    V4,
    Maker,
    Records,
    account,
    beacon_key,
    genesis_of_cases,
    only,
    pay_to,
    start,
    turn,
    tx,
)
from tests.vectors.kit import id_of


def cases() -> list[Maker]:
    chain_id = start()[0]
    params = genesis_of_cases().params
    one, two = [tx("alice", pay_to(BOB))], [tx("alice", pay_to(BOB)), tx("bob", pay_to(ALICE))]
    here = id_of(turn())
    secret = beacon_secret(beacon_key(here), chain_id, EARLIER)
    promised, wrong = _promise(here, secret), b"\x01" * 32
    ids = sorted((V1, V2, V3, V4))
    return [
        Maker("an empty block", "LC-BLK-13"),
        Maker("a block with an origin round", "LC-BLK-11", one, round=2),
        Maker("another version", "LC-BLK-11", header={"version": 2}),
        Maker("another chain", "LC-BLK-11", header={"chain_id": bytes(32)}),
        Maker("a height too many", "LC-BLK-11", header={"height": HEIGHT + 1, "round": 3}),
        Maker("the height before", "LC-BLK-11", header={"height": HEIGHT - 1, "round": 1}),
        Maker("a block of four heights later, executed as such", "LC-BLK-11", skip=4, seen=_later(4)),
        Maker("another set", "LC-BLK-11", header={"validators_hash": bytes(32)}),
        Maker("another parent", "LC-BLK-11", header={"parent": chain_id}),
        Maker("another's turn", "LC-BLK-11", proposer=id_of(turn(1))),
        Maker("an origin round in which it was another's turn", "LC-BLK-11", header={"round": 1}),
        Maker("a proposer that is no validator", "LC-BLK-11", proposer=ALICE),
        Maker("another transaction root", "LC-BLK-11", one, header={"tx_root": bytes(32)}),
        Maker("another receipt root", "LC-BLK-11", one, header={"receipt_root": bytes(32)}),
        Maker("another state root", "LC-BLK-11", one, header={"state_root": bytes(32)}),
        Maker("another next set", "LC-BLK-11", one, header={"next_validators_hash": bytes(32)}),
        Maker("as many transactions as may be", "LC-BLK-11", two, {K_PARAMS: replace(params, block_txs=2)}),
        Maker("a transaction too many", "LC-BLK-11", two, {K_PARAMS: replace(params, block_txs=1)}),
        Maker("as many bytes as may be", "LC-BLK-11", two, {K_PARAMS: replace(params, block_bytes=sum(map(len, two)))}),
        Maker("a byte too many", "LC-BLK-11", two, {K_PARAMS: replace(params, block_bytes=sum(map(len, two)) - 1)}),
        Maker("the parent's time", "LC-BLK-10", step=0, seen=_earlier(1)),
        Maker("a time before the parent's", "LC-BLK-10", step=-1, seen=_earlier(2)),
        Maker("one millisecond later", "LC-BLK-10", step=1),
        Maker("as late as the chain clock follows", "LC-BLK-10", step=params.max_step),
        Maker("later than the chain clock follows", "LC-BLK-10", step=params.max_step + 1),
        Maker("a secret that was committed to", "LC-BLK-12", records=promised),
        Maker("a missing secret costs the reward", "LC-BLK-12", records=promised, reveal=bytes(32)),
        Maker("a secret that was not committed to", "LC-BLK-12", records=promised, reveal=wrong, seen=_promise(here, wrong)),
        Maker("a secret without a commitment", "LC-BLK-12", reveal=secret, seen=_promise(here, secret)),
        Maker("no reward in this network", "LC-BLK-13", records={K_PARAMS: replace(params, block_reward=0)}),
        Maker("a reward up to the largest supply", "LC-BLK-13", records={K_SUPPLY: Supply(MAX_INT - 3, 0)}),
        Maker("no reward at the largest supply", "LC-BLK-13", records={K_SUPPLY: Supply(MAX_INT, 5)}),
        Maker(
            "the reward of a suspended validator",
            "LC-CRD-6",
            records={account_key(here): account(turn(), status=SUSPENDED, balance=0, frozen=2)},
        ),
        Maker(
            "the reward of a banned validator", "LC-CRD-6", records={account_key(here): account(turn(), status=BANNED, balance=0)}
        ),
        Maker("a set of one", "LC-BLK-11", one, only(ids[0])),
    ]


EARLIER = 17
"""The height of the proposer's last block, where it has one."""


def _promise(identity: bytes, secret: bytes) -> Records:
    return {b"gb/" + identity: BeaconCommitment(EARLIER, beacon_commitment(secret))}


def _earlier(ms: int) -> Records:
    """The block before, so much earlier that a clock that stands still ends where it should."""
    record: Any = State.load(list(start()[1].items())).get(K_CHAIN)
    return {K_CHAIN: replace(record, time=record.time - ms, clock=record.clock - 1)}


def _later(heights: int) -> Records:
    """As many heights later."""
    record: Any = State.load(list(start()[1].items())).get(K_CHAIN)
    return {K_CHAIN: replace(record, height=record.height + heights)}
