"""Targets: the parts of a snapshot, a node that takes one from whoever says so, and a receipt file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from learningchain.chain.buckets import BUCKETS, build, number_of, subroot_of
from learningchain.chain.codec import encode
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.genesis import Genesis, from_json
from learningchain.chain.ledger.receipt_file import check_receipt_file
from learningchain.chain.ledger.snapshot import Offer, decode_subroots, encode_bucket, encode_subroots, make_bucket, root_of
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.checks import make_buckets
from learningchain.chain.types import decode_block
from tests.fuzz.of_chain import join, split
from tests.fuzz.targets import Target, check
from tests.unit import node_kit as kit

MAX_SENT = 8_000_000
RECEIPTS = Path(__file__).parents[2] / "protocol_spec" / "vectors" / "receipts.json"


def state_subroots(data: bytes) -> None:
    subroots = decode_subroots(data)
    check(encode_subroots(subroots) == data, "not canonical")
    check(len(root_of(subroots)) == 32, "no root")


def state_bucket(data: bytes) -> None:
    """A subroot, and the records: what is accepted has this subroot."""
    number = int.from_bytes(data[:8], "big") >> 1
    bucket, keys = make_bucket(number, data[8:41], data[41:])
    check(subroot_of(bucket) == data[8:41], "another bucket than the one that was named")
    check(make_bucket(number, subroot_of(bucket), encode_bucket(bucket)) == (bucket, keys), "it does not come back")


def snapshot_inbox(data: bytes) -> None:
    """The first byte of a message chooses the peer; with its top bit set time passes before it."""
    node, now, sent = kit.fresh(snapshot_after=2), kit.T0, 0
    waiting: list[e.Input] = []
    for piece in split(data)[:16]:
        choice = piece[0] if piece else 0
        now += 400 if choice & 0x80 else 0
        waiting += [e.Fired(e.Tick()), e.Received(kit.ident(1 + choice % 3), piece[1:])]
        while waiting:
            for effect in node.handle(waiting.pop(0), now):
                match effect:
                    case e.Send() | e.Gossip():
                        sent += len(effect.payload)
                    case e.ReadSnapshot(peer):
                        waiting.append(e.Answered(peer, encode(m.Snapshot(True, []))))
                    case e.StageSnapshot(offer):
                        check(root_of(decode_subroots(offer.subroots)) == offer.header.state_root, "a target that is not proven")
                        waiting.append(e.SnapshotStaged([]))
                    case e.TakeBuckets(ticket, buckets):
                        waiting.append(e.BucketsTaken(ticket, make_buckets(buckets)[1]))
    check(not node.faults, f"a fault of its own: {list(node.faults)[:1]}")
    check(sent <= MAX_SENT, f"{sent} bytes in answer")


def receipt_file(data: bytes) -> None:
    """What is taken is one of those that the vectors have, or asks for another key that is absent (LC-LIGHT-7)."""
    proven = check_receipt_file(data, _network())
    another = any(record is None for _, record in proven.records)
    check(another or data in _good_receipts(), f"a receipt file that nobody made, of block {proven.header.height}")


@cache
def _network() -> Genesis:
    return from_json(json.loads(RECEIPTS.read_text(encoding="utf-8"))["genesis"]["file"].encode())


def _receipt_cases(good: bool) -> list[bytes]:
    cases = json.loads(RECEIPTS.read_text(encoding="utf-8"))["cases"]
    return [bytes.fromhex(case["file"]) for case in cases if case["good"] is good and not case["trusted"]]


@cache
def _good_receipts() -> frozenset[bytes]:
    return frozenset(_receipt_cases(True))


def receipt_files() -> list[bytes]:
    return _receipt_cases(True) + _receipt_cases(False)


def _honest() -> tuple[Offer, list[int], list[bytes]]:
    net = kit.Net(observers=0)
    net.submit(1, kit.transfer(1, 0))
    net.reach(1)
    net.submit(2, kit.transfer(2, 0))
    net.reach(2)
    state, commit = net.nodes[1].state, net.commits[1][2]
    buckets = {number: bucket for number in range(BUCKETS) if (bucket := state.bucket(number))}
    subroots = encode_subroots({number: subroot_of(bucket) for number, bucket in buckets.items()})
    offer = Offer(decode_block(commit.block).header, m.decode_certificate(commit.certificate), subroots)
    return offer, list(buckets), [encode_bucket(bucket) for bucket in buckets.values()]


def conversations() -> list[bytes]:
    offer, numbers, buckets = _honest()
    talk: list[list[Any]] = [
        [m.Status(2, 1), m.Snapshot(False, [offer]), m.Buckets(2, numbers, buckets)],
        [m.Status(2, 1), m.Snapshot(False, [offer]), m.Buckets(2, numbers[:3], buckets[:3]), m.Buckets(2, [], [])],
        [m.Status(9, 1), m.Snapshot(True, []), m.Snapshot(False, []), m.ValidatorChanges([])],
        [m.GetSnapshot(), m.GetValidatorChanges(1), m.GetBuckets(2, [1, 2])],
    ]
    return [join([b"\x80" + encode(message) for message in part]) for part in talk]


def subroots_of_states() -> list[bytes]:
    return [b"", _honest()[0].subroots]


def buckets_of_states() -> list[bytes]:
    key = b"a/" + bytes(20)
    bucket = build([(sha256(key), key, b"\x90")])
    return [(2 * number_of(sha256(key))).to_bytes(8, "big") + subroot_of(bucket) + encode_bucket(bucket)]


EXAMPLES = {
    "snapshot-inbox": conversations,
    "state-heads": subroots_of_states,
    "state-page": buckets_of_states,
    "receipt-file": receipt_files,
}
TARGETS = {
    "snapshot-inbox": Target(snapshot_inbox, (), 16_384),
    "state-heads": Target(state_subroots, (Malformed,)),
    "state-page": Target(state_bucket, (Malformed,)),
    "receipt-file": Target(receipt_file, (Malformed,)),
}
