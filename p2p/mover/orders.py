"""What goes through the pipe between the node and its mover: orders there, reports back. Each is one tagged MessagePack message.

The reports on what is fetched, and two of the orders, are the exchange's own inputs and effects.
"""

from __future__ import annotations

import msgspec

from learningchain.p2p.content.events import EndMove, LeavesMoved, MoveEnded, MoveOpened, TakeLeaves


class BeginMoving(msgspec.Struct, frozen=True, tag=1):
    """The first order. `port` 0: one that the system chooses. `mb_s`: as in `BoundMoving`."""

    cert_pem: bytes
    key_pem: bytes
    ca_cert: bytes
    chain_id: bytes
    host: str
    port: int
    mb_s: int


class BoundMoving(msgspec.Struct, frozen=True, tag=7):
    """Most megabytes in a second that are sent, and that are written; 0: no bound."""

    mb_s: int


class KnowTicket(msgspec.Struct, frozen=True, tag=2):
    """Whoever is `peer`, under `key`, and shows the ticket may have this file."""

    ticket: bytes
    peer: bytes
    key: bytes
    path: str
    size: int


class ForgetPeer(msgspec.Struct, frozen=True, tag=3):
    """Its tickets are void, and the connections made with them end."""

    peer: bytes


class Connect(msgspec.Struct, frozen=True, tag=6):
    """Connect with `peer`, under `key`, and show the ticket; leaves go to their places in the file at `path`."""

    move: int
    host: str
    port: int
    peer: bytes
    key: bytes
    ticket: bytes
    path: str
    size: int


class MoverListens(msgspec.Struct, frozen=True, tag=4):
    """The port; 0 where there is none, and why."""

    port: int
    why: str = ""


class LeavesSent(msgspec.Struct, frozen=True, tag=5):
    """So many bytes were sent to the peer, since the last report on it."""

    peer: bytes
    size: int


Order = BeginMoving | BoundMoving | KnowTicket | ForgetPeer | TakeLeaves | EndMove | Connect
Report = MoveOpened | LeavesMoved | MoveEnded | MoverListens | LeavesSent

encode = msgspec.msgpack.Encoder().encode
read_order = msgspec.msgpack.Decoder(Order).decode
read_report = msgspec.msgpack.Decoder(Report).decode
