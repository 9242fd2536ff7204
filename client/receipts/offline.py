"""Transactions that are made, signed and submitted on three machines: files between them, and what they say in words.

    tx make (asks any node)  ->  FILE  ->  tx sign (keystore alone)  ->  FILE  ->  tx submit (any node)

A file carries the bytes that are signed, and nothing beside them counts: what is shown before signing is decoded from those bytes.
The signature covers the network, the sequence and the last height, so a signed file pays once, on one network, and not later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from learningchain.chain.codec import encode
from learningchain.chain.contracts import MESSAGES
from learningchain.chain.crypto import address
from learningchain.chain.errors import InvalidTx, Malformed
from learningchain.chain.ledger.tx import ParsedTx, parse_tx, sign_tx
from learningchain.chain.params import MAX_TX_BYTES
from learningchain.chain.types import SignedTx, TxBody, net_of
from learningchain.client import reading
from learningchain.client.keys.keystore import Identity
from learningchain.client.schema.render import render_op

VERSION = 1
MAX_FILE = 4 * MAX_TX_BYTES
NORMAL, URGENT = 2, 3
"""Lanes that the account's own running node does not use: neither takes the other's sequence."""
_Hex = Annotated[str, Meta(max_length=2 * MAX_TX_BYTES, pattern="^([0-9a-f]{2})*$")]
_NO_SIGNATURE = bytes(64)


class OfflineError(Exception):
    """A file that cannot be signed or submitted. The text says why and what to do."""


class TxFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`state` unsigned: `raw` is the transaction with 64 zero bytes for its signature. `network` is a name for people only."""

    version: int
    state: Literal["unsigned", "signed"]
    network: Annotated[str, Meta(max_length=256)]
    chain_id: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    raw: _Hex

    @property
    def chain(self) -> bytes:
        return bytes.fromhex(self.chain_id)


def unsigned(network: str, chain_id: bytes, sender: bytes, sequences: list[int], until: int, op: Any, ahead: int = 0) -> TxFile:
    """`sequences`: the sender's next, by lane; `ahead`: of so many others that were made and not submitted yet.

    Raises `OfflineError` where this makes no transaction.
    """
    lane = URGENT if MESSAGES[type(op)][1].urgent else NORMAL
    body = TxBody(net_of(chain_id), sender, lane, sequences[lane] + ahead, until, [msgspec.Raw(encode(op))])
    made = TxFile(VERSION, "unsigned", network, chain_id.hex(), encode(SignedTx(body, _NO_SIGNATURE)).hex())
    content(made)
    return made


def write(file: TxFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def read(path: Path) -> TxFile:
    """Raises `OfflineError`, OSError."""
    raw = reading.file(path, MAX_FILE)
    if len(raw) > MAX_FILE:
        raise OfflineError(f"{path} has more than {MAX_FILE} bytes: that is no transaction. Name the file that tx make wrote")
    try:
        file = msgspec.json.decode(raw, type=TxFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise OfflineError(f"{path} holds no transaction: {problem}. Name the file that tx make or tx sign wrote") from None
    if file.version != VERSION:
        raise OfflineError(f"{path} is of version {file.version}, this program reads {VERSION}. Make it anew with one version")
    content(file)
    return file


def content(file: TxFile) -> ParsedTx:
    """Raises `OfflineError` where the bytes are no transaction of the network that the file names."""
    try:
        tx = parse_tx(bytes.fromhex(file.raw))
    except (InvalidTx, Malformed) as problem:
        raise OfflineError(f"The file's bytes are no transaction: {problem}. Make it anew") from None
    if tx.body.net != net_of(file.chain):
        raise OfflineError("The file names another network than its bytes do: somebody changed it. Make it anew")
    return tx


def described(file: TxFile) -> dict[str, Any]:
    """What the bytes say, for people and machines."""
    tx = content(file)
    return {
        "network": file.network,
        "chain_id": file.chain_id,
        "sender": address(tx.body.sender),
        "lane": tx.body.lane,
        "sequence": tx.body.sequence,
        "valid_until": tx.body.valid_until,
        "messages": [render_op(op) for op in tx.ops],
    }


def signed(file: TxFile, identity: Identity) -> TxFile:
    """Raises `OfflineError` where it is not this identity's to sign."""
    tx = content(file)
    if file.state != "unsigned":
        raise OfflineError("The file is signed already. Submit it: learningchain tx submit FILE")
    if tx.body.sender != identity.id:
        raise OfflineError(
            f"The transaction is {address(tx.body.sender)}'s, and this keystore is {identity.address}'s. Sign it with that one's"
        )
    raw = sign_tx(identity.key, file.chain, tx.body)
    return msgspec.structs.replace(file, state="signed", raw=raw.hex())
