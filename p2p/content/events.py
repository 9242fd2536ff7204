"""What goes into the exchange machine and what comes out: facts in, orders out. `service` runs them, and so may a simulator."""

from __future__ import annotations

import msgspec

from learningchain.p2p.content.cid import Cid
from learningchain.p2p.content.faults import Reason
from learningchain.p2p.content.messages import ContentBlock
from learningchain.p2p.content.serving import Serve


class PeerConnected(msgspec.Struct, frozen=True):
    peer: bytes


class PeerDisconnected(msgspec.Struct, frozen=True):
    peer: bytes


class MessageReceived(msgspec.Struct, frozen=True):
    peer: bytes
    payload: bytes


class Arrived(msgspec.Struct, frozen=True):
    """A block frame, decoded and its data hashed elsewhere: what `MessageReceived` does in one go, for loops that must not wait."""

    peer: bytes
    block: ContentBlock
    digest: bytes


class Fetch(msgspec.Struct, frozen=True):
    """Fetch `root` unless it has more than `max_size` bytes, until `deadline` (ms). Again: both limits grow to the larger."""

    root: Cid
    max_size: int
    deadline: int


class Cancel(msgspec.Struct, frozen=True):
    root: Cid


class Offered(msgspec.Struct, frozen=True):
    """`root` is complete here, or the policy on whom to serve it has changed: who asked for it in vain may have it now."""

    root: Cid


class TimerTick(msgspec.Struct, frozen=True):
    """Time passed; due a few times a second while `busy`."""


class DownloadOpened(msgspec.Struct, frozen=True):
    """Answer to `Open`."""

    root: Cid
    complete: bool
    nodes: tuple[tuple[Cid, bytes], ...]
    leaves: frozenset[Cid]
    size: int = 0
    """Of the whole file, where something of it is here: no node tells it of a file that is one leaf."""


class BlockStored(msgspec.Struct, frozen=True):
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


class MoveOpened(msgspec.Struct, frozen=True, tag=1):
    """The data connection is there."""

    move: int


class LeavesMoved(msgspec.Struct, frozen=True, tag=2):
    """So many more leaves of a data connection, in the order in which they were asked for, are checked and on the disk."""

    move: int
    count: int
    size: int
    """Their bytes."""


class MoveEnded(msgspec.Struct, frozen=True, tag=3):
    """A data connection is over, or never was. `wrong`: it brought other bytes than were asked for; `disk`: why ours failed."""

    move: int
    why: str
    wrong: bool = False
    disk: str = ""


class SendMessage(msgspec.Struct, frozen=True):
    peer: bytes
    payload: bytes


class PenalizePeer(msgspec.Struct, frozen=True):
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


class OpenMove(msgspec.Struct, frozen=True):
    """Open a data connection to a port of the peer and show the ticket (LC-CONTENT-16)."""

    move: int
    root: Cid
    peer: bytes
    port: int
    ticket: bytes
    size: int


class TakeLeaves(msgspec.Struct, frozen=True, tag=4):
    """Ask for the leaves with these digests, which follow each other from number `first` on."""

    move: int
    first: int
    digests: list[bytes]


class EndMove(msgspec.Struct, frozen=True, tag=5):
    move: int


class CloseDownload(msgspec.Struct, frozen=True):
    """The session is over: close what `Open` opened. Disk effects of one root must be run in order."""

    root: Cid


class DownloadProgress(msgspec.Struct, frozen=True):
    root: Cid
    done: int
    size: int


class DownloadFinished(msgspec.Struct, frozen=True):
    root: Cid


class DownloadFailed(msgspec.Struct, frozen=True):
    root: Cid
    reason: Reason
    text: str


Input = (
    PeerConnected
    | PeerDisconnected
    | MessageReceived
    | Arrived
    | Fetch
    | Offered
    | Cancel
    | TimerTick
    | DownloadOpened
    | BlockStored
    | Completed
    | DiskFailed
    | Served
    | MoveOpened
    | LeavesMoved
    | MoveEnded
)
Effect = (
    SendMessage
    | PenalizePeer
    | Open
    | StoreNode
    | StoreLeaf
    | Complete
    | CloseDownload
    | DownloadProgress
    | DownloadFinished
    | DownloadFailed
    | Serve
    | OpenMove
    | TakeLeaves
    | EndMove
)
