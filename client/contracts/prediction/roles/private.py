"""Private requests: an input that only the seats read, and answers that only the requester does. Pure.

    requester   K, 32 random bytes --> the input as an encrypted file; SHA-256(K) in the request
                after a draw       --> a box of K for each seat, to the box key that it had then
    seat        box -- own private key --> K -- SHA-256 holds --> the input -- run --> the answer, blinded by K
    requester   K --> the ledger's values without their offsets

K is in the work database before the request leaves the node (kind KEY, under SHA-256(K)), and so in a backup. ChaCha20-Poly1305
does not bind a file to one key: a requester could make one that opens to two inputs under two. The request's hash names one of
them, and a seat that is given the other says BAD_KEY: so all seats read the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from learningchain.chain.contracts.prediction.blinding import CannotBlind, blind
from learningchain.chain.contracts.prediction.messages import BOX_BYTES
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.crypto import sha256
from learningchain.client.keys.boxes import CannotOpen, open_box, public_of, seal_box
from learningchain.client.keys.hidden import KEY as KEY_BYTES
from learningchain.client.keys.hidden import NONCE, BadKey, seal, unseal

if TYPE_CHECKING:
    from learningchain.client.work.events import Secret

KEY: Final = "prediction.key"
"""Of the secrets: the key of a private request."""
_INFO: Final = b"learningchain box 1"
Random = Callable[[int], bytes]


class NoBoxKey(Exception):
    """None of this node's private keys is the one that the ledger had at the draw: it is our own trouble, not the requester's."""


class BoxPlace(NamedTuple):
    """Whom a box is for: the seat of an account in a round of a request."""

    request: bytes
    round: int
    account: bytes


# --- the requester -------------------------------------------------------------------------------------------------------------


def new_key(rng: Random) -> bytes:
    """LC-PRIV-1"""
    return rng(KEY_BYTES)


def of_key(key: bytes) -> Secret:
    """K as it is kept, under its hash: it stays until it is dropped."""
    from learningchain.client.work.events import Secret  # what work needs loads after the node's start

    return Secret(KEY, sha256(key), b"", key)


def encrypted(plain: bytes, key: bytes, rng: Random) -> bytes:
    """LC-PRIV-1: the input as a file, which has 28 bytes more."""
    return seal(plain, key, rng(NONCE))


def boxes(key: bytes, request: bytes, round_: int, seats: Iterable[tuple[bytes, bytes]], rng: Random) -> list[bytes]:
    """LC-PRIV-2, 3: for `GiveKeys`, one for each (account, box key) in the order of the seats."""
    made = []
    for account, box_key in seats:
        try:
            made.append(box(key, BoxPlace(request, round_, account), box_key, rng(32)))
        except ValueError:
            made.append(rng(BOX_BYTES))
    return made


def box(key: bytes, place: BoxPlace, box_key: bytes, ephemeral: bytes) -> bytes:
    """LC-PRIV-2. `ephemeral`: a private key of 32 random bytes. Raises ValueError where nothing can be sealed to the box key."""
    return seal_box(key, box_key, ephemeral, _INFO, _context(place))


# --- seats ---------------------------------------------------------------------------------------------------------------------


def opened(sealed: bytes, place: BoxPlace, box_key: bytes, privates: Sequence[bytes], key_hash: bytes) -> bytes:
    """LC-PRIV-4: K. `box_key` is that of the draw, `privates` this node's own, also replaced ones.

    Raises `BadKey`, and `NoBoxKey` where none of them is that of `box_key`."""
    for private in privates:
        if public_of(private) == box_key:
            key = _unboxed(sealed, place, private)
            if sha256(key) != key_hash:
                raise BadKey("the box holds another key than the request names")
            return key
    raise NoBoxKey("the private key of the box key that this seat was drawn with is not on this node")


def _unboxed(sealed: bytes, place: BoxPlace, private: bytes) -> bytes:
    if len(sealed) != BOX_BYTES:
        raise BadKey(f"a box has {BOX_BYTES} bytes")
    try:
        return open_box(sealed, private, _INFO, _context(place))
    except CannotOpen as bad:
        raise BadKey(str(bad)) from None


def _context(place: BoxPlace) -> bytes:
    return place.request + bytes((place.round,)) + place.account


def plain_input(file: bytes, key: bytes) -> bytes:
    """LC-PRIV-5: the input. Raises `BadKey`."""
    return unseal(file, key)


def answer_without(why: Exception) -> Answer:
    """LC-PRIV-5: what a seat answers that cannot read the input."""
    return Answer(AnswerCode.BAD_KEY if isinstance(why, BadKey) else AnswerCode.ABSTAIN, [], [], 0)


def blinded(answer: Answer, key: bytes, request: bytes, rows: list[int], classes: int) -> Answer:
    """LC-PRE-47, LC-PRIV-6: what a seat commits to; an ABSTAIN where a score cannot be blinded."""
    try:
        return blind(answer, key, request, rows, classes)
    except CannotBlind:
        return Answer(AnswerCode.ABSTAIN, [], [], 0)
