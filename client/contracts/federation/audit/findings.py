"""What an audit says of one thing, and the notes that its parts share. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from learningchain.chain.contracts.federation.messages import FederationTerms
from learningchain.chain.types import TransferEvent
from learningchain.client.schema.render import Json

BURNED = ":banned"
"""Behind the reason of what would have been a banned payee's: it burns (LC-FED-44)."""
SHOWN_FAULTS = 4
"""Of one thing; how many more there are is said."""
Told = tuple[Any, ...]
"""A topic and its data, or less of it."""


class AuditVerdict(StrEnum):
    OK = "OK"
    DIFFERS = "DIFFERS"
    UNCHECKED = "UNCHECKED"
    """Nobody but those who have what was never published can say; the reason names it."""


@dataclass(frozen=True)
class AuditFinding:
    """`item` is what was looked at: terms, members, draw, files, deciding, screen, codes, sum, measurement, loss, settlement, pay,
    fees, escrow, end or model; with cells also cells, misses, excluded and directions. `round` and `attempt` are None where it is
    of the whole."""

    item: str
    round: int | None
    attempt: int | None
    verdict: AuditVerdict
    why: str

    def document(self) -> Json:
        return {"item": self.item, "round": self.round, "attempt": self.attempt, "verdict": self.verdict.value, "why": self.why}


@dataclass
class AuditNotes:
    """What all parts of a replay know and add to. `paid` are transfers that nothing has accounted for yet, in their order."""

    chain_id: bytes
    federation: bytes
    sponsor: bytes
    terms: FederationTerms
    findings: list[AuditFinding] = field(default_factory=list)
    paid: list[TransferEvent] = field(default_factory=list)

    def judge(self, item: str, faults: Sequence[str], fine: str, r: int | None = None, attempt: int | None = None) -> None:
        """DIFFERS with what is wrong, where anything is; otherwise OK with what was seen."""
        if not faults:
            self.findings.append(AuditFinding(item, r, attempt, AuditVerdict.OK, fine))
            return
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        text = "; ".join(faults[:SHOWN_FAULTS]) + more
        self.findings.append(AuditFinding(item, r, attempt, AuditVerdict.DIFFERS, text))

    def leave(self, item: str, why: str, r: int | None = None, attempt: int | None = None) -> None:
        self.findings.append(AuditFinding(item, r, attempt, AuditVerdict.UNCHECKED, why))

    def take_paid(self, reason: str) -> list[TransferEvent]:
        """The waiting transfers of a reason, burned shares of banned payees among them: each is accounted for once."""
        reasons = (reason, reason + BURNED)
        found = [one for one in self.paid if one.reason in reasons]
        self.paid = [one for one in self.paid if one.reason not in reasons]
        return found


def pay_faults(what: str, source: bytes, due: Sequence[tuple[bytes, int]], made: Sequence[TransferEvent]) -> list[str]:
    """Where the transfers that were made are not, to the micro-credit and in their order, those that are due out of an escrow."""
    wanted = [(who, amount) for who, amount in due if amount]
    if len(wanted) != len(made):
        return [f"{len(made)} payments of {what} were made, {len(wanted)} are due"]
    found = []
    for (who, amount), one in zip(wanted, made, strict=True):
        if one.source != source or one.target != (b"" if one.reason.endswith(BURNED) else who):
            found.append(
                f"{what} went from {one.source.hex()[:12]} to {one.target.hex()[:12] or 'nobody'}, due is {who.hex()[:12]}"
            )
        elif one.amount != amount:
            found.append(f"{what} of {who.hex()[:12]} was {one.amount} micro-credits, {amount} are due")
    return found


def parted(due: Sequence[Told], told: Sequence[Told]) -> list[str]:
    """Where what is told is not, in its order, what is due."""
    if list(due) == list(told):
        return []
    found = [f"{_said(one)} is told, and does not follow" for one in told if one not in due]
    found += [f"{_said(one)} follows, and is not told" for one in due if one not in told]
    return found or ["it is told in another order, or another number of times"]


def _said(one: Told) -> str:
    return " ".join(word.hex()[:12] if isinstance(word, bytes) else str(word) for word in one)
