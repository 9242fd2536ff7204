"""What goes into the exchange machine and what comes out: facts in, orders out. `service` runs them, and so may a simulator."""

from __future__ import annotations

import msgspec

from p2p.content.cid import Cid
from p2p.content.faults import Reason
from p2p.content.messages import Block
from p2p.content.serving import Serve


class PeerUp(msgspec.Struct, frozen=True):
    peer: bytes


class PeerDown(msgspec.Struct, frozen=True):
    peer: bytes


class Received(msgspec.Struct, frozen=True):
    peer: bytes
    payload: bytes


class Arrived(msgspec.Struct, frozen=True):
    """A block frame, decoded and its data hashed elsewhere: what `Received` does in one go, for loops that must not wait."""

    peer: bytes
    block: Block
    digest: bytes


class Fetch(msgspec.Struct, frozen=True):
    """Fetch `root` unless it has more than `max_size` bytes, until `deadline` (ms). Again: both limits grow to the larger."""

    root: Cid
    max_size: int
    deadline: int


class Cancel(msgspec.Struct, frozen=True):
    root: Cid


class Tick(msgspec.Struct, frozen=True):
    """Time passed; due a few times a second while `busy`."""


class Opened(msgspec.Struct, frozen=True):
    """Answer to `Open`."""

    root: Cid
    complete: bool
    nodes: tuple[tuple[Cid, bytes], ...]
    leaves: frozenset[Cid]
    size: int = 0
    """Of the whole file, where something of it is here: no node tells it of a file that is one leaf."""


class Stored(msgspec.Struct, frozen=True):
    """Answer to `StoreNode` and `StoreLeaf`."""

    root: Cid
    cid: Cid


class Completed(msgspec.Struct, frozen=True):
    """Answer to `Complete`."""

    root: Cid


class DiskFailed(msgspec.Struct, frozen=True):
    """The answer to any of them when the disk could not."""

    root: Cid
    text: str


class Served(msgspec.Struct, frozen=True):
    """Answer to `Serve`."""

    peer: bytes


class Send(msgspec.Struct, frozen=True):
    peer: bytes
    payload: bytes


class Penalize(msgspec.Struct, frozen=True):
    """The peer broke the protocol; `text` says how."""

    peer: bytes
    text: str


class Open(msgspec.Struct, frozen=True):
    root: Cid


class StoreNode(msgspec.Struct, frozen=True):
    root: Cid
    cid: Cid
    block: bytes
    size: int
    """Of the whole file: the first node of a content makes room for it."""


class StoreLeaf(msgspec.Struct, frozen=True):
    root: Cid
    cid: Cid
    data: bytes
    offsets: tuple[int, ...]
    size: int


class Complete(msgspec.Struct, frozen=True):
    root: Cid


class Release(msgspec.Struct, frozen=True):
    """The session is over: close what `Open` opened. Disk effects of one root must be run in order."""

    root: Cid


class Progress(msgspec.Struct, frozen=True):
    root: Cid
    done: int
    size: int


class Finished(msgspec.Struct, frozen=True):
    root: Cid


class Failed(msgspec.Struct, frozen=True):
    root: Cid
    reason: Reason
    text: str


Input = PeerUp | PeerDown | Received | Arrived | Fetch | Cancel | Tick | Opened | Stored | Completed | DiskFailed | Served
Effect = Send | Penalize | Open | StoreNode | StoreLeaf | Complete | Release | Progress | Finished | Failed | Serve
