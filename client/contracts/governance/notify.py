"""What the operator is told of votes: proposals that wait for this node (notices), and how proposals end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from learningchain.client.notify.events import NotifyPart


def told(own: str, topic: str, ref: str, noted: Mapping[str, Any]) -> tuple[str, str] | None:
    return "votes", f"The proposal {ref[:12]} is {topic.removeprefix('proposal.')}: learningchain proposals"


_ENDS: Final = frozenset(f"proposal.{word}" for word in ("accepted", "rejected", "expired", "withdrawn", "failed"))
PART: Final = NotifyPart(_ENDS, told, topics={"proposal.": "votes", "protocol.": "votes"})
