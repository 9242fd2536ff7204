"""What crosses a connection between two nodes: frames, and the messages of the PEERS channel.

A *message* is one channel byte and a payload. A *frame* is one binary websocket message and carries

- one message,
- or a batch: byte 255, then messages each behind its length (4 bytes, big-endian): small messages that waited together,
- or a part: byte 254, a queue byte (its top bit marks the last part) and a piece of one message: large messages are cut, so that
  a vote waits for at most one piece and never for a whole block.

NODE and CONTENT payloads are opaque here. Everything is bounded before it is kept. Spec: `protocol_spec/p2p.md`. Pure.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.errors import Malformed
from learningchain.chain.params import MAX_PEER_MESSAGE
from learningchain.chain.types import AccountId, Hash, Height, Uint

WIRE_VERSION: Final = 1
"""Of what peers say to each other. The ledger's protocol may go on to another version while this one stays."""

NODE: Final = 0
PEERS: Final = 1
CONTENT: Final = 2
FED: Final = 3
_PART: Final = 254
_BATCH: Final = 255

CHANNEL_LIMITS: Final = (MAX_PEER_MESSAGE, 32_768, 2_200_000, 512)
"""LC-P2P-12: largest payload of each channel."""

QUEUE_VOTES: Final = 0
QUEUE_PROPOSALS: Final = 1
QUEUE_REQUESTS: Final = 2
QUEUE_TRANSACTIONS: Final = 3
QUEUE_CONTENT: Final = 4
QUEUES: Final = 5

PIECE_BYTES: Final = 65_536
"""LC-P2P-13: a message longer than this travels in parts of at most this many bytes."""
BATCH_BYTES: Final = 65_536
"""LC-P2P-14: a batch stops growing here; with its last message it is below twice this."""
BATCH_MESSAGES: Final = 1_024
MAX_FRAME: Final = BATCH_BYTES + PIECE_BYTES + 16
"""LC-P2P-10: longest frame."""
_LAST: Final = 0x80

PATH: Final = f"/lc/{WIRE_VERSION}"
"""LC-P2P-7: path of the websocket upgrade."""

# Websocket close codes (4000-4999 are free for applications). The reason's text goes along.
CLOSE_GOING: Final = 1001
CLOSE_REFUSED: Final = 4001
CLOSE_DUPLICATE: Final = 4002
CLOSE_VIOLATION: Final = 4003
CLOSE_MISBEHAVED: Final = 4004
CLOSE_SILENT: Final = 4005
MAX_REASON: Final = 120
"""A close frame holds 123 bytes of reason."""


def reason_bytes(reason: str) -> bytes:
    """A reason as a close frame can carry it: at most 120 bytes, never half a character."""
    return reason.encode()[:MAX_REASON].decode(errors="ignore").encode()


def printable(text: object) -> str:
    """A peer's words, made safe for a log: one line, printable, bounded."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:200])


# --- PEERS channel --------------------------------------------------------------------------------------------------------------

MAX_ADDRESS: Final = 260
MAX_ADDRESSES: Final = 4
MAX_ENTRIES: Final = 64
Address = Annotated[str, Meta(min_length=3, max_length=MAX_ADDRESS)]
Addresses = Annotated[list[Address], Meta(max_length=MAX_ADDRESSES)]


class Hello(Wire, frozen=True, tag=1):
    """LC-P2P-15: the first message of either side. `port` is where it listens on the address the other side sees (0: nowhere)."""

    version: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    chain_id: Hash
    port: Annotated[int, Meta(ge=0, le=65_535)]
    addresses: Addresses
    height: Height


class GetPeers(Wire, frozen=True, tag=2):
    """Asks for addresses of members. One answer per question."""


class PeerAddresses(Wire, frozen=True):
    id: AccountId
    addresses: Annotated[list[Address], Meta(min_length=1, max_length=MAX_ADDRESSES)]


class Peers(Wire, frozen=True, tag=3):
    peers: Annotated[list[PeerAddresses], Meta(max_length=MAX_ENTRIES)]


class Ping(Wire, frozen=True, tag=4):
    nonce: Uint


class Pong(Wire, frozen=True, tag=5):
    nonce: Uint


PeersMessage = Hello | GetPeers | Peers | Ping | Pong


def peers_message(message: PeersMessage) -> bytes:
    """The whole message, channel byte included."""
    return bytes((PEERS,)) + encode(message)


def parse_peers(payload: bytes) -> PeersMessage:
    """Raises `Malformed`."""
    return decode(PeersMessage, payload, CHANNEL_LIMITS[PEERS])  # type: ignore[arg-type]


def check_hello(data: bytes, chain_id: bytes) -> Hello:
    """LC-P2P-16: the other side's first frame. Raises `Malformed` with the reason that it is told."""
    if not data or data[0] != PEERS:
        raise Malformed("the first message is not a hello")
    message = parse_peers(data[1:])
    if not isinstance(message, Hello):
        raise Malformed("the first message is not a hello")
    if message.version != WIRE_VERSION:
        raise Malformed(f"protocol version {message.version}, this node speaks {WIRE_VERSION}: update the older one")
    if message.chain_id != chain_id:
        raise Malformed(f"another network: {message.chain_id.hex()[:12]}, this one is {chain_id.hex()[:12]}")
    return message


# --- frames ---------------------------------------------------------------------------------------------------------------------


def message(channel: int, payload: bytes) -> bytes:
    """One message. Raises ValueError for a channel or size that no peer would accept: a mistake of the caller."""
    if not 0 <= channel < len(CHANNEL_LIMITS):
        raise ValueError(f"no channel {channel}")
    if len(payload) > CHANNEL_LIMITS[channel]:
        raise ValueError(f"{len(payload)} bytes on channel {channel}, at most {CHANNEL_LIMITS[channel]} allowed")
    return bytes((channel,)) + payload


def batch_frame(messages: list[bytes]) -> bytes:
    """One frame for messages of at most PIECE_BYTES each."""
    if len(messages) == 1:
        return messages[0]
    pieces = [bytes((_BATCH,))]
    for item in messages:
        pieces.append(len(item).to_bytes(4, "big"))
        pieces.append(item)
    return b"".join(pieces)


def part_frame(queue: int, whole: bytes, start: int) -> tuple[bytes, int]:
    """The part of `whole` that begins at `start`, and where the next one begins (len(whole) when this is the last)."""
    end = min(start + PIECE_BYTES, len(whole))
    mark = queue | (_LAST if end == len(whole) else 0)
    return bytes((_PART, mark)) + whole[start:end], end


class Reassembler:
    """Turns the frames of one connection back into messages: at most one unfinished message per queue."""

    __slots__ = ("_parts", "_sizes")

    def __init__(self) -> None:
        self._parts: list[list[bytes]] = [[] for _ in range(QUEUES)]
        self._sizes = [0] * QUEUES

    def feed(self, frame: bytes) -> list[tuple[int, bytes]]:
        """(channel, payload) of every message that this frame completes, in order. Raises `Malformed`."""
        if not frame:
            raise Malformed("an empty frame")
        first = frame[0]
        if first == _BATCH:
            return _split_batch(frame)
        if first == _PART:
            whole = self._part(frame)
            return [] if whole is None else [_checked(whole)]
        return [_checked(frame)]

    def _part(self, frame: bytes) -> bytes | None:
        if len(frame) < 3:
            raise Malformed("an empty part")
        queue = frame[1] & ~_LAST
        if queue >= QUEUES:
            raise Malformed(f"a part of queue {queue}")
        parts = self._parts[queue]
        if not parts and frame[2] >= len(CHANNEL_LIMITS):
            raise Malformed(f"a part for channel {frame[2]}")
        self._sizes[queue] += len(frame) - 2
        channel = parts[0][0] if parts else frame[2]
        if self._sizes[queue] - 1 > CHANNEL_LIMITS[channel]:
            raise Malformed(f"a message longer than {CHANNEL_LIMITS[channel]} bytes on channel {channel}")
        parts.append(frame[2:])
        if not frame[1] & _LAST:
            # Parts carry at least half a piece, so a message has a bounded number of them.
            if len(frame) - 2 < PIECE_BYTES // 2:
                raise Malformed("a part that is too short")
            return None
        self._parts[queue], self._sizes[queue] = [], 0
        return b"".join(parts)


def _checked(item: bytes) -> tuple[int, bytes]:
    channel = item[0]
    if channel >= len(CHANNEL_LIMITS):
        raise Malformed(f"no channel {channel}")
    if len(item) - 1 > CHANNEL_LIMITS[channel]:
        raise Malformed(f"{len(item) - 1} bytes on channel {channel}, at most {CHANNEL_LIMITS[channel]} allowed")
    return channel, item[1:]


def _split_batch(frame: bytes) -> list[tuple[int, bytes]]:
    out: list[tuple[int, bytes]] = []
    at, end = 1, len(frame)
    while at < end:
        start = at + 4
        stop = start + int.from_bytes(frame[at:start], "big")
        if stop > end or stop == start:
            raise Malformed("a batch whose lengths do not fit")
        if len(out) == BATCH_MESSAGES:
            raise Malformed(f"a batch of more than {BATCH_MESSAGES} messages")
        out.append(_checked(frame[start:stop]))
        at = stop
    if not out:
        raise Malformed("an empty batch")
    return out
