"""What is told of a block and of what the operator should know. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Final, NamedTuple

import msgspec

from learningchain.chain.crypto import address
from learningchain.chain.node.events import Decided
from learningchain.chain.types import LogEvent, TransferEvent, format_credits
from learningchain.client.contracts import PartKind
from learningchain.client.schema.render import render_event

CASES, VOTES, INVITATIONS, PAYMENTS, NOTICES = "cases", "votes", "invitations", "payments", "notices"
KINDS: Final = (CASES, VOTES, INVITATIONS, PAYMENTS, NOTICES)
FRESH_MS: Final = 24 * 3_600_000
"""What happened longer ago is told no more: a node that catches up on years would tell of all of them."""
MAX_OF_BLOCK: Final = 64
"""Told of one block; more are counted."""
MAX_LISTED: Final = 16
"""Payments that are listed of a block; the sum is of all."""
MAX_TEXT: Final = 2_000


class NotifyPart(NamedTuple):
    """What the operator is told of one contract."""

    events: Set[str]
    """Topics of events that it looks at."""
    told: Callable[[str, str, str, Mapping[str, Any]], tuple[str, str] | None]
    """(own address, the event's topic, its reference, what it noted) -> kind and text, if it is told."""
    topics: Mapping[str, str] = {}
    """Notices by the beginning of their topic, and the kind that they are."""


NOTIFY: Final = PartKind("notify", NotifyPart)


class Notification(NamedTuple):
    """`id`: the same for the same thing, also after a restart. `at`: milliseconds; `height` 0 where it is of no block."""

    id: str
    kind: str
    text: str
    at: int
    height: int
    data: dict[str, Any]

    def body(self, network: str) -> bytes:
        """JSON as it is posted, and as a command reads it."""
        shown = {"type": f"notify.{self.kind}", "id": self.id, "text": self.text, "time": self.at, "network": network}
        return msgspec.json.encode(shown | {"height": self.height or None, "data": self.data})


def _id(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


class OwnNews:
    """What of the ledger is news for one account. `least`: micro-credits from which on a payment is told."""

    def __init__(self, own: bytes, kinds: Iterable[str], least: int, sources: Iterable[NotifyPart]) -> None:
        self._own, self._address = own, address(own)
        self._kinds, self._least, self._sources = frozenset(kinds), least, list(sources)
        self._open: set[tuple[str, str]] = set()
        """Notices that were told and stand."""

    def of_block(self, block: Decided, now_ms: int) -> list[Notification]:
        height, at = block.height, block.header.time
        if now_ms - at > FRESH_MS:
            return []
        found, payments = [], []
        for index, (tx, receipt) in enumerate(block.executed_blocks()):
            for number, event in enumerate(receipt.events):
                if isinstance(event, TransferEvent):
                    if event.target == self._own != event.source and event.amount >= self._least:
                        payments.append((tx, event))
                elif isinstance(event, LogEvent) and (told := self._told(event)) is not None and told.kind in self._kinds:
                    found.append(told._replace(id=_id(height, index, number), at=at, height=height))
        if payments and PAYMENTS in self._kinds:
            found.append(_paid(height, at, payments))
        return found[:MAX_OF_BLOCK]

    def _told(self, event: LogEvent) -> Notification | None:
        for source in self._sources:
            if event.topic not in source.events:
                continue
            shown = render_event(event)
            told = source.told(self._address, event.topic, shown["ref"], shown["data"])
            if told is not None:
                return Notification("", told[0], told[1][:MAX_TEXT], 0, 0, {"topic": event.topic, "ref": shown["ref"]})
        return None

    def of_notices(self, notices: Iterable[Mapping[str, Any]], now_ms: int) -> list[Notification]:
        """Those that were not there before. One that went and comes again is news."""
        found, standing = [], set()
        for notice in notices:
            topic, ref = str(notice["topic"]), str(notice["ref"])
            standing.add((topic, ref))
            kind = self._kind_of(topic)
            if (topic, ref) not in self._open and kind in self._kinds:
                data = {"topic": topic, "ref": ref}
                found.append(Notification(_id(topic, ref), kind, str(notice["text"])[:MAX_TEXT], now_ms, 0, data))
        self._open = standing
        return found

    def _kind_of(self, topic: str) -> str:
        for source in self._sources:
            for beginning, kind in source.topics.items():
                if topic.startswith(beginning):
                    return kind
        return NOTICES


def _paid(height: int, at: int, payments: list[tuple[bytes | None, TransferEvent]]) -> Notification:
    total = sum(event.amount for _, event in payments)
    listed = [
        {
            "amount": format_credits(event.amount),
            "reason": event.reason,
            "from": address(event.source) if len(event.source) == 20 else None,
            "ref": event.ref.hex(),
            "tx": None if tx is None else tx.hex(),
        }
        for tx, event in payments[:MAX_LISTED]
    ]
    reasons = ", ".join(sorted({event.reason for _, event in payments})[:MAX_LISTED])
    text = f"{format_credits(total)} credits came in block {height} ({reasons})"
    return Notification(_id(height, PAYMENTS), PAYMENTS, text, at, height, {"amount": format_credits(total), "payments": listed})
