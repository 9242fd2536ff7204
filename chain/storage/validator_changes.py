"""The certified headers that name another validator set for the next block: kept by themselves, because they outlive the blocks.

Whoever takes a snapshot follows them from the set that it knows to the one that signed the snapshot's block, and serves them on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from learningchain.chain.codec import decode, encode
from learningchain.chain.host import History, Validators
from learningchain.chain.ledger.snapshot import ValidatorSetChange
from learningchain.chain.params import MAX_PEER_MESSAGE
from learningchain.chain.storage import schema
from learningchain.chain.storage.schema import add_checksum, at, check_checksum
from learningchain.chain.types import Certificate, Header

if TYPE_CHECKING:
    from learningchain.chain.storage.blockstore import BlockStore

MAX_CERTIFICATE = 65_536
MAX_RECORD = 65_536


def write(connection: sa.Connection, header: Header, certificate: bytes, validators: bytes) -> None:
    """In the transaction of the height; `validators` is the state record of the next set."""
    found = decode(Validators, validators, MAX_RECORD)
    put(connection, ValidatorSetChange(header, decode(Certificate, certificate, MAX_CERTIFICATE), found.members))


def put(connection: sa.Connection, validator_change: ValidatorSetChange) -> None:
    height = validator_change.header.height
    connection.execute(
        sa.insert(schema.validator_changes),
        {"height": height, "handover": add_checksum(at(height, "handover"), encode(validator_change))},
    )


def read(store: BlockStore, start: int, count: int) -> list[ValidatorSetChange]:
    """The first of those from height `start` on, ascending."""
    h = schema.validator_changes.c
    query = sa.select(h.height, h.handover).where(h.height >= start).order_by(h.height).limit(count)
    with store.read("read the changes between validator sets") as c:
        rows = c.execute(query).all()
    return [
        decode(
            ValidatorSetChange,
            check_checksum(f"validator set change {height} in {store.where}", at(height, "handover"), bytes(raw)),
            MAX_PEER_MESSAGE,
        )
        for height, raw in rows
    ]


def last_before(store: BlockStore, height: int) -> ValidatorSetChange | None:
    """The newest one below a height: its set signs at that height, unless it is None: then the genesis' set does."""
    h = schema.validator_changes.c
    with store.read("read the last change between validator sets") as c:
        found = c.execute(sa.select(sa.func.max(h.height)).where(h.height < height)).scalar()
    return None if found is None else next(iter(read(store, found, 1)), None)


def complete(store: BlockStore, history: History | None) -> None:
    """Put in those that a program wrote which did not keep them, as far back as the state remembers the sets."""
    known = {validator_change.header.height for validator_change in read(store, 1, 1 << 20)}
    for record in history.sets if history else []:
        height = record.since - 1
        stored = store.block(height) if height > 0 and height not in known else None
        header = store.header(height) if stored else None
        if stored and stored.block and header:
            with store.write("store a validator set change") as c:
                put(c, ValidatorSetChange(header, decode(Certificate, stored.certificate, MAX_CERTIFICATE), record.members))
