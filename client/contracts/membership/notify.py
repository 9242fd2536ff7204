"""What the operator is told of members: cases against this node, and what became of its invitations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from learningchain.client.notify.events import NotifyPart

_CASES: Final = {
    "suspended": "A committee measured a claim of this node as false: it is suspended, and a case is open",
    "case.extended": "One more claim of this node was measured as false",
    "case.lifted": "The case against this node was lifted",
    "case.lapsed": "The case against this node lapsed without a ban",
    "banned": "This node is banned",
    "ban.lifted": "The ban of this node was lifted",
    "strike": "This node has one more strike",
    "verifier.rests": "This node is drawn no more for a while: too many of its duties were bad",
    "double.signing": "This node's key signed twice for one height",
}


def told(own: str, topic: str, ref: str, noted: Mapping[str, Any]) -> tuple[str, str] | None:
    if topic in _CASES and ref == own:
        return "cases", f"{_CASES[topic]}. Its standing: learningchain balance"
    if topic == "joined" and noted.get("inviter") == own:
        return "invitations", f"{ref} joined by an invitation of this node"
    if topic == "invitation.ended" and ref == own:
        return "invitations", f"An invitation of this node ended ({noted.get('how')}): learningchain invite list"
    return None


PART: Final = NotifyPart(
    frozenset(_CASES) | {"joined", "invitation.ended"}, told, topics={"case.": "cases", "capacity.": "notices"}
)
