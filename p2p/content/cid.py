"""Content identifiers: the one form of CID that this network uses.

CIDv1 over SHA-256, codec `raw` (a leaf) or `dag-pb` (a node above leaves), written as lower-case base32 with the multibase prefix
`b`. Anything else that IPFS knows (CIDv0, other hashes, other bases) is refused with a text that says so: one content, one name
(LC-CONTENT-1). Pure.
"""

from __future__ import annotations

import base64
import hashlib
from enum import IntEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from learningchain.chain.errors import Malformed
from learningchain.chain.types import cid_text

CID_BYTES = 36
"""Binary form: version 1, codec, sha2-256 (0x12), length 32, digest. Every part is a varint below 128: one byte each."""
CID_TEXT = 59
"""Text form: `b` and 58 characters of base32."""

CidBytes = Annotated[bytes, Meta(min_length=CID_BYTES, max_length=CID_BYTES)]


class Codec(IntEnum):
    RAW = 0x55
    DAG_PB = 0x70


_HEADS = {bytes((1, codec, 0x12, 0x20)): codec for codec in Codec}
_HEAD_OF = {codec: head for head, codec in _HEADS.items()}


class Cid(msgspec.Struct, frozen=True, order=True):
    """The name of one block (and, for the root of a tree, of a file)."""

    codec: Codec
    digest: bytes

    @property
    def raw(self) -> bool:
        """A leaf: the block is a piece of the file itself."""
        return self.codec == Codec.RAW

    def to_bytes(self) -> bytes:
        return _HEAD_OF[self.codec] + self.digest

    def __str__(self) -> str:
        return cid_text(self.to_bytes())


def cid_of(codec: Codec, block: bytes | memoryview) -> Cid:
    """The name of a block."""
    return Cid(codec, hashlib.sha256(block).digest())


def names(cid: Cid, block: bytes | memoryview) -> bool:
    """True when `block` is what `cid` names."""
    return hashlib.sha256(block).digest() == cid.digest


def from_bytes(data: bytes) -> Cid:
    """The CID in its binary form. Raises `Malformed`."""
    codec = _HEADS.get(data[:4])
    if codec is None or len(data) != CID_BYTES:
        raise Malformed("not a CIDv1 with codec raw or dag-pb and a sha2-256 digest")
    return Cid(codec, data[4:])


def parse(text: str) -> Cid:
    """The CID behind `bafk…` or `bafy…`. Raises `Malformed` with what is wrong."""
    if text.startswith("Qm"):
        raise Malformed(
            "this is a CID of version 0; use the one that `ipfs add --cid-version=1` prints (it starts with bafk or bafy)"
        )
    if len(text) != CID_TEXT or not text.startswith("b"):
        raise Malformed(f"a CID has {CID_TEXT} characters and starts with bafk or bafy")
    try:
        data = base64.b32decode(text[1:].upper() + "======")
        cid = from_bytes(data)
    except ValueError as e:  # binascii.Error and Malformed are both ValueErrors
        raise Malformed(f"not a CID of this network: {e}") from None
    if str(cid) != text:
        raise Malformed("not the canonical text of a CID (lower-case base32, unused bits zero)")
    return cid
