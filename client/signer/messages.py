"""What passes between a node and its signer: frames of a length and a tagged record. LC-SIG-2 to LC-SIG-4.

Requests say what is to be signed in its parts, never a digest: the signer makes the digests, each under its own domain, so no
request of one kind gives a signature of another.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.errors import Malformed
from learningchain.chain.params import MAX_TX_BYTES
from learningchain.chain.types import AccountId, BlockId, Hash, Height, PublicKey, Round, Signature, Uint
from learningchain.client.keys.statements import MAX_DOMAIN, MAX_STATEMENT

PROTOCOL: Final = 1
MAX_FRAME: Final = MAX_TX_BYTES + 1_024
MAX_SPKI: Final = 512
MAX_SECRETS: Final = 64
MAX_TEXT: Final = 512
_HEAD: Final = 4

_Kind = Annotated[int, Meta(ge=0, le=2)]


class SignerHello(Wire, frozen=True, tag=0):
    """First of all. `abstain`: no height up to this one is to be signed any more, as this node was told before."""

    protocol: Uint
    chain_id: Hash
    abstain: Height


class VoteWanted(Wire, frozen=True, tag=1):
    vote: Annotated[int, Meta(ge=1, le=2)]
    height: Height
    round: Round
    block_id: BlockId


class ProposalWanted(Wire, frozen=True, tag=2):
    height: Height
    round: Round
    pol_round: Annotated[int, Meta(ge=-1, le=2**31 - 1)]
    block_id: Hash


class TxWanted(Wire, frozen=True, tag=3):
    """`body`: LC-TX-1."""

    body: Annotated[bytes, Meta(min_length=1, max_length=MAX_TX_BYTES)]


class BindingWanted(Wire, frozen=True, tag=4):
    """The key of the node's TLS certificate: LC-P2P-4."""

    spki: Annotated[bytes, Meta(min_length=1, max_length=MAX_SPKI)]


class SecretsWanted(Wire, frozen=True, tag=5):
    """Of the beacon, for `count` heights from `height` on: LC-BLK-12."""

    height: Height
    count: Annotated[int, Meta(ge=1, le=MAX_SECRETS)]


class AbstainWanted(Wire, frozen=True, tag=6):
    until: Height


class SignerPing(Wire, frozen=True, tag=7):
    pass


class StatementWanted(Wire, frozen=True, tag=8):
    """`body` under the domain of one of the kinds that the signer knows: LC-SIG-12."""

    domain: Annotated[str, Meta(min_length=1, max_length=MAX_DOMAIN)]
    body: Annotated[bytes, Meta(min_length=1, max_length=MAX_STATEMENT)]


class Welcome(Wire, frozen=True, tag=16):
    """`signed_*`: the highest place that the guard knows of (LC-NODE-30); -1 where it knows that it forgot."""

    protocol: Uint
    id: AccountId
    key: PublicKey
    signed_height: Annotated[int, Meta(ge=-1, le=2**48)]
    signed_round: Round
    signed_kind: _Kind


class SignatureMade(Wire, frozen=True, tag=17):
    signature: Signature


class Silence(Wire, frozen=True, tag=18):
    """The guard's answer: a signature here could contradict an earlier one."""


class SecretsMade(Wire, frozen=True, tag=19):
    secrets: Annotated[list[Hash], Meta(max_length=MAX_SECRETS)]


class SignerDone(Wire, frozen=True, tag=20):
    pass


class SignerRefusal(Wire, frozen=True, tag=21):
    """`code`: LC-SIG-5. The text is for people."""

    code: Uint
    text: Annotated[str, Meta(max_length=MAX_TEXT)]


Request = (
    SignerHello
    | VoteWanted
    | ProposalWanted
    | TxWanted
    | BindingWanted
    | SecretsWanted
    | AbstainWanted
    | SignerPing
    | StatementWanted
)
Answer = Welcome | SignatureMade | Silence | SecretsMade | SignerDone | SignerRefusal

BUSY, FOREIGN, UNKNOWN_PROTOCOL, BAD_REQUEST, FORGOTTEN, NOT_ALLOWED, BROKEN = range(1, 8)
"""LC-SIG-5."""


class Frames:
    """Both directions of a connection. Raises `Malformed` for what is no frame, `ConnectionError` at its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read_request(self) -> Request:
        raw = await self._read()
        found: Request = decode(Request, raw, MAX_FRAME)  # type: ignore[arg-type]
        return found

    async def read_answer(self) -> Answer:
        raw = await self._read()
        found: Answer = decode(Answer, raw, MAX_FRAME)  # type: ignore[arg-type]
        return found

    async def _read(self) -> bytes:
        try:
            size = int.from_bytes(await self._reader.readexactly(_HEAD), "big")
            if not 0 < size <= MAX_FRAME:
                raise Malformed(f"a frame of {size} bytes, 1 to {MAX_FRAME} are allowed")
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError:
            raise ConnectionError("the other side closed the connection") from None

    async def write(self, message: Request | Answer) -> None:
        raw = encode(message)
        self._writer.write(len(raw).to_bytes(_HEAD, "big") + raw)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()
