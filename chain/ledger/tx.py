"""Transactions as the ledger takes them: decoded once, their signature checked once, kept with their bytes and id."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from learningchain.chain import bandwidth
from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.contracts import ANY_MESSAGE, MESSAGES
from learningchain.chain.crypto import SigningKey, address, verify
from learningchain.chain.errors import InvalidTx, Malformed, TxCode
from learningchain.chain.host import BANNED, Account, Reader, account_key
from learningchain.chain.params import MAX_OPS, MAX_TX_BYTES, MAX_VALID_FOR, Params
from learningchain.chain.types import Signature, SignedTx, TxBody, body_bytes, net_of, tx_digest, tx_id


def signed_with(message: Any) -> Any:
    """`SignedTx` with its messages, of type `message`, decoded in the same pass over the bytes."""
    ops = Annotated[list[message], Meta(min_length=1, max_length=MAX_OPS)]
    body = msgspec.defstruct("TypedBody", [("ops", ops)], bases=(TxBody,), frozen=True)
    return msgspec.defstruct("TypedTx", [("body", body), ("signature", Signature)], bases=(Wire,), frozen=True)


_SIGNED: Any = signed_with(ANY_MESSAGE)


class ParsedTx:
    """A decoded transaction. `urgent`: LC-TX-7. `once`: LC-TX-14. `work`: what executing it takes, as `MessageSpec` counts.

    `checked_key`: the key under which its signature was found good, or None.
    """

    __slots__ = ("body", "checked_key", "id", "once", "ops", "raw", "signature", "urgent", "work")

    def __init__(self, raw: bytes, id_: bytes, signed: Any) -> None:
        self.raw = raw
        self.id = id_
        self.body: TxBody = signed.body
        self.signature = signed.signature
        self.ops: list[Any] = signed.body.ops
        self.urgent, self.once, self.work = True, True, 0
        for op in self.ops:
            spec = MESSAGES[type(op)][1]
            self.urgent &= spec.urgent
            self.once &= spec.once
            self.work += spec.weigh(op)
        self.checked_key: bytes | None = None


def parse_tx(raw: bytes, id_: bytes | None = None) -> ParsedTx:
    """`id_` where it was hashed already. Raises `InvalidTx` MALFORMED."""
    try:
        return ParsedTx(raw, id_ or tx_id(raw), decode(_SIGNED, raw, MAX_TX_BYTES))
    except Malformed as e:
        raise InvalidTx(TxCode.MALFORMED, f"not a transaction: {e}") from None


def sign_tx(key: SigningKey, chain_id: bytes, body: TxBody) -> bytes:
    """The bytes of the signed transaction."""
    return encode(SignedTx(body, key.sign(tx_digest(chain_id, encode(body)))))


def find_sender(reader: Reader, chain_id: bytes, tx: ParsedTx) -> Account:
    """Network and sender. Raises `InvalidTx`."""
    body = tx.body
    if body.net != net_of(chain_id):
        raise InvalidTx(TxCode.FOREIGN_NETWORK, "the transaction was signed for another network")
    account: Any = reader.get(account_key(body.sender))
    if account is None:
        raise InvalidTx(TxCode.UNKNOWN_SENDER, f"{address(body.sender)} is no member of this network")
    return account  # type: ignore[no-any-return]


def check_sender(chain_id: bytes, tx: ParsedTx, account: Account) -> None:
    """The signature, once per key, and that the sender is not banned (LC-MEM-9). Raises `InvalidTx`."""
    if tx.checked_key != account.key:
        if not verify(account.key, tx_digest(chain_id, body_bytes(tx.raw)), tx.signature):
            raise InvalidTx(TxCode.BAD_SIGNATURE, "the signature does not fit the sender's key and these bytes")
        tx.checked_key = account.key
    if account.status == BANNED:
        raise InvalidTx(TxCode.BANNED, f"{address(tx.body.sender)} is banned")


def charge_bandwidth(params: Params, account: Account, tx: ParsedTx, clock: int, owed: int = 0) -> int:
    """LC-TX-12: the sender's arrival time once `tx` is charged. Raises `InvalidTx` BANDWIDTH.

    `owed`: bytes of the sender that come before it.
    """
    size = len(tx.raw)
    arrival = bandwidth.charged(params, account.balance, account.arrival, clock, size + owed)
    late = arrival - bandwidth.latest(params, account.balance, clock, tx.urgent)
    if late > 0:
        rate = bandwidth.rate(params, account.balance)
        left = bandwidth.left(params, account.balance, account.arrival, clock) - owed
        wait_s = -(-late // bandwidth.SECOND)
        raise InvalidTx(
            TxCode.BANDWIDTH,
            f"it has {size} bytes, and the account's bandwidth leaves {max(0, left)} now (it earns {rate} bytes/s); send it again"
            f" in {wait_s} s, or hold more free credits: each earns {params.bandwidth_per_credit} bytes/s",
            retry_after_s=wait_s,
        )
    return arrival


def check_tx(reader: Reader, chain_id: bytes, tx: ParsedTx, height: int) -> Account:
    """LC-TX-4: all that makes a transaction valid in the block at `height`, but for quotas. Raises `InvalidTx`."""
    account = find_sender(reader, chain_id, tx)
    check_sender(chain_id, tx, account)
    body = tx.body
    if body.valid_until < height:
        raise InvalidTx(TxCode.EXPIRED, f"valid until block {body.valid_until}, this is block {height}")
    if body.valid_until > height + MAX_VALID_FOR:
        raise InvalidTx(TxCode.TOO_FAR_AHEAD, f"valid_until lies more than {MAX_VALID_FOR} blocks ahead")
    expected = account.sequences[body.lane]
    if body.sequence < expected:
        raise InvalidTx(TxCode.SEQUENCE_USED, f"sequence {body.sequence} of lane {body.lane} was used, next is {expected}")
    if body.sequence > expected:
        raise InvalidTx(TxCode.SEQUENCE_GAP, f"sequence {body.sequence} of lane {body.lane} comes after {expected}")
    return account
