"""What a decided block did, as another node tells it: receipts and changed records, taken over instead of executing the block.

A certificate by more than two thirds of the validators stands behind the header, and the header names the roots of the receipts and
of the whole state after the block. Receipts with that root are the block's receipts, and records that turn the state before it into
one with that root are exactly its changes, whoever sent them: nothing else has to be believed.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from learningchain.chain.buckets import Change as BucketChange
from learningchain.chain.buckets import Tree, number_of
from learningchain.chain.codec import Wire, read
from learningchain.chain.crypto import short_sha256
from learningchain.chain.errors import BrokenInvariant, Malformed
from learningchain.chain.host import K_VALIDATORS, Validators
from learningchain.chain.ledger.listings import MAX_RECORD, type_of
from learningchain.chain.ledger.state import Change, State
from learningchain.chain.ledger.transition import Executed
from learningchain.chain.params import MAX_BLOCK_TXS
from learningchain.chain.types import Header, Receipt, validators_hash

MAX_CHANGES = 65_536
MAX_RECEIPT = 1_000_000

Key = Annotated[bytes, Meta(min_length=1, max_length=255)]


class Record(Wire, frozen=True):
    """A state record as the block left it."""

    key: Key
    value: Annotated[bytes, Meta(max_length=MAX_RECORD)]


class StateDiff(Wire, frozen=True):
    """LC-BLK-17: the records that a block wrote, and the keys that it removed, each ascending, none that stayed as it was."""

    put: Annotated[list[Record], Meta(max_length=MAX_CHANGES)]
    gone: Annotated[list[Key], Meta(max_length=MAX_CHANGES)]


Receipts = Annotated[list[Annotated[bytes, Meta(max_length=MAX_RECEIPT)]], Meta(max_length=MAX_BLOCK_TXS + 1)]
"""Encoded: the block's own first, then one for each transaction."""


def changes_of(encoded: list[tuple[bytes, bytes | None]]) -> StateDiff:
    """From (key, encoded record or None), ascending by key."""
    put = [Record(key, raw) for key, raw in encoded if raw is not None]
    return StateDiff(put, [key for key, raw in encoded if raw is None])


def follow(state: State, header: Header, txs: int, receipts: list[bytes], changes: StateDiff) -> Executed:
    """As if the block with `txs` transactions had been executed on `state`; its header is certified, the receipts have its root.

    Raises `Malformed` where this is not what the header says, `BrokenInvariant` where the header itself cannot be.
    """
    if len(receipts) != txs + 1:
        raise Malformed(f"{len(receipts)} receipts for {txs} transactions")
    made, encoded, tree = _apply(state, changes)
    if tree.root != header.state_root:
        raise Malformed("the changes do not lead to the state of the header")
    following = dict(made).get(K_VALIDATORS) or state.get(K_VALIDATORS)
    if not isinstance(following, Validators) or validators_hash(following.members) != header.next_validators_hash:
        raise BrokenInvariant(f"block {header.height} was decided with another next validator set than its state holds")
    return Executed(
        txs=[],
        receipts=[read(Receipt, raw) for raw in receipts],
        receipt_bytes=receipts,
        receipt_root=header.receipt_root,
        changes=made,
        encoded=encoded,
        tree=tree,
        state_root=tree.root,
        next_validators=following.members,
        archived=state.archived_by(encoded),
    )


def _apply(state: State, changes: StateDiff) -> tuple[list[Change], list[tuple[bytes, bytes | None]], Tree]:
    """As `Overlay.finish` gives it. Records are not encoded again: it is their bytes that the root is made of.

    Raises `Malformed` where they are not exactly changes, each key once, in order.
    """
    keys = [record.key for record in changes.put]
    if len({*keys, *changes.gone}) != len(keys) + len(changes.gone) or any(k != sorted(k) for k in (keys, changes.gone)):
        raise Malformed("the changes name a key twice, or not in order")
    encoded: list[tuple[bytes, bytes | None]] = [(record.key, record.value) for record in changes.put]
    if changes.gone:
        encoded = sorted([*encoded, *((key, None) for key in changes.gone)])
    made: list[Change] = []
    by_bucket: dict[int, list[BucketChange]] = {}
    for key, raw in encoded:
        kind = type_of(key)
        made.append((key, None if raw is None else read(kind, raw)))
        path = short_sha256(key).digest()
        by_bucket.setdefault(number_of(path), []).append((path, key, raw))
    tree, same = state.changed(by_bucket)
    if same:
        raise Malformed("the changes name what did not change")
    return made, encoded, tree
