"""What a contract declares about itself, and for each of its messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chain.host.host import Host
    from chain.host.store import Reader


@dataclass(frozen=True)
class MessageSpec:
    """`urgent` messages have a deadline: half of each block is reserved for them. `work`: what executing one takes, in transfers of
    a batch. `subject`: the reference that a message is about, where there is one: while that is parked, the message is refused."""

    handler: Callable[[Host, bytes, Any], None]
    urgent: bool = False
    work: int = 1
    subject: Callable[[Any], bytes] | None = None


@dataclass(frozen=True)
class Contract:
    """A contract: its number gives the message tags [32*number, 32*number+31] and receipt codes [100*number, 100*number+99]."""

    name: str
    number: int
    messages: Mapping[type, MessageSpec]
    codes: type[IntEnum]
    state: Mapping[bytes, type]
    on_due: Callable[[Host, bytes, int], None] | None = None
    """Called with the reference and the time for which the deadline was set."""
    on_case_closed: Callable[[Host, bytes, bytes, bool], None] | None = None
    """Called when a suspension ends: (host, reference given to `suspend`, account, whether it became a ban)."""
    on_give_back: Callable[[Host, bytes], None] | None = None
    """Ends a reference that was parked: every escrow goes back to whom it came from."""
    due_work: Callable[[Reader, bytes], int] | None = None
    """LC-BLK-31: how many records besides its own a deadline of a reference may go through."""
