"""How many bytes a node answers questions with, over all peers: one token bucket, and shares for those who must not wait. Pure.

    question --allows--> something is left over all, or of the share that it belongs to --> answered; `spent` takes it from both
             --not-----> dropped or put off, as its kind says (LC-NODE-50, 51, LC-CONTENT-13)

Every answer is encoded, encrypted and written on the loop that votes, so what one peer may have cannot be the only bound: members
are many. A share lets a question through while others have emptied the bucket, and who uses more than its share competes with the
rest. All shares together are less than the bucket earns, so they cannot keep it empty, and the bound over all holds.

An answer's size is known when it is there: one is begun while a byte is left, and what it takes beyond that is owed. LC-NODE-72.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from learningchain.chain.node.token_bucket import IntegerBucket, Rate

ANSWERS: Final = Rate(20_000_000, 20_000_000)
"""Bytes over all peers: a sixth of a gigabit link, and what a node that catches up on loopback takes."""
VALIDATORS: Final = Rate(8_000_000, 8_000_000)
"""Of that, divided by their number, each validator's share: what a height is waiting for is fetched by them."""
KIND: Final = Rate(4_000_000, 4_000_000)
"""Of that, the share of each kind of answer that waits for its turn: a newcomer's blocks, and files, come in any flood."""


class AnswerKind(Enum):
    """Of answers: from memory, at once or not at all; decided blocks and state from the disk; blocks of files."""

    MEMORY = 0
    DISK = 1
    CONTENT = 2


class AnswerBudget:
    def __init__(self) -> None:
        self._all = IntegerBucket(ANSWERS, 0)
        self._validators: dict[bytes, IntegerBucket] = {}
        self._kinds = {kind: IntegerBucket(KIND, 0) for kind in (AnswerKind.DISK, AnswerKind.CONTENT)}

    def of_validators(self, ids: Iterable[bytes], now: int) -> None:
        """The present set. Who stays in it owes what it owed."""
        members = sorted(ids)
        if members == list(self._validators):
            return
        rate = Rate(VALIDATORS.per_s // max(1, len(members)), VALIDATORS.burst // max(1, len(members)))
        before = self._validators
        self._validators = {one: before[one] if one in before else IntegerBucket(rate, now) for one in members}
        for share in self._validators.values():
            share.change(rate)

    def goes_first(self, peer: bytes, now: int) -> bool:
        """A validator that has something left of its share."""
        share = self._validators.get(peer)
        return share is not None and share.ready(now)

    def _share(self, peer: bytes, kind: AnswerKind) -> IntegerBucket | None:
        """Files are not what a height waits for: of validators they count like anybody's."""
        own = None if kind is AnswerKind.CONTENT else self._validators.get(peer)
        return own or self._kinds.get(kind)

    def allows(self, peer: bytes, kind: AnswerKind, now: int) -> bool:
        """Whether an answer may be begun."""
        share = self._share(peer, kind)
        left = share is not None and share.ready(now)
        return self._all.ready(now) or left

    def spent(self, peer: bytes, kind: AnswerKind, size: int) -> None:
        """So many bytes of answer go to this peer."""
        self._all.take(size)
        if (share := self._share(peer, kind)) is not None:
            share.take(size)
