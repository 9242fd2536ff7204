"""What blocks say of this node's predictions, counted as they become final: what it asked, how its seats ended, what moved for it.

It follows events that name this node and scans nothing. Labels are names of outcomes and reasons, never what somebody wrote. It
begins at the node's start; blocks that are fetched afterwards count, so only what a snapshot leaves out is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.tally import AnswerCode, PredictionOutcome
from learningchain.chain.params import CREDIT
from learningchain.chain.types import LogEvent, TransferEvent
from learningchain.client.node.block_figures import Figure

GIVEN_BACK: Final = "given_back"
OUTCOMES: Final = (*(one.name.lower() for one in PredictionOutcome), GIVEN_BACK)
SERVER, JUDGE = "server", "judge"
AGREED, UNDECIDED, UNPAID, FINED, ABSTAINED, SILENT = SEAT_ENDS = ("agreed", "undecided", "unpaid", "fined", "abstained", "silent")
"""Undecided: paid, though the request has no value."""
_SETTLED = frozenset({"request.answered", "request.failed", "request.given_back", "appeal.ended"})
"""Topics after which nothing changes for the seats of a round."""
_PAID = {"answer.paid": AGREED, "answer.shown": UNDECIDED, "answer.quarter": UNDECIDED, "vote": AGREED}
_EARNED, _LOCKED, _BACK, _LOST = "earned", "locked", "back", "lost"
FLOWS: Final = (
    dict.fromkeys((*_PAID, "answer.right", "seat.paid", "subsidy", "royalty", "royalty.share"), _EARNED)
    | dict.fromkeys(("request.locked", "tip.locked", "bond.appealed"), _LOCKED)
    | dict.fromkeys(("request.rest", "bond.back", "bond.more"), _BACK)
    | dict.fromkeys(("stake.fined", "stake.slashed"), _LOST)
)
"""Which way credits move, by the reason of a transfer: what was locked and did not come back was spent."""


class PredictionFigures:
    def __init__(self, own: bytes) -> None:
        """`own`: the account of this node."""
        self._own, self._stake = own, records.stake_escrow(b"", own)
        self.asked = 0
        self.ended: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self.seats: Counter[tuple[str, ...]] = Counter({(role, end): 0 for role in (SERVER, JUDGE) for end in SEAT_ENDS})
        self.credits: Counter[tuple[str, ...]] = Counter({(flow, reason): 0 for reason, flow in FLOWS.items()})
        """Micro-credits."""
        self._opened: dict[bytes, tuple[str, str]] = {}
        """Requests with an opened answer of this node, until their tally, and what is known of its end: its stake bounds them."""

    def figures(self) -> Iterable[Figure]:
        yield Figure("lc_predictions_asked", "Requests of this node since the start", (), {(): self.asked})
        text = "Requests of this node that came to something since the start: a value, or why there is none"
        yield Figure("lc_predictions_ended", text, ("outcome",), {(one,): n for one, n in self.ended.items()})
        text = "Seats of this node in committees and appeals that were settled since the start"
        yield Figure("lc_prediction_seats_ended", text, ("role", "end"), self.seats)
        text = "Credits that moved between this node and predictions since the start"
        moved = {labels: n / CREDIT for labels, n in self.credits.items()}
        yield Figure("lc_prediction_credits", text, ("flow", "reason"), moved)

    def saw(self, event: LogEvent | TransferEvent) -> None:
        """One of a block that became final, in their order."""
        if isinstance(event, TransferEvent):
            if event.reason in FLOWS:
                self._moved(event, FLOWS[event.reason])
            return
        match event.topic, event.data:
            case "request.posted", [_, self._own, *_]:
                self.asked += 1
            case "answer.opened", [number, self._own, code]:
                self._opened[event.ref] = _role(number), ABSTAINED if code == AnswerCode.ABSTAIN else UNPAID
            case "answer.silent", [number, self._own]:
                self.seats[_role(number), SILENT] += 1
            case (("request.answered" | "request.failed"), [self._own, outcome, *_]):
                self.ended[PredictionOutcome(outcome).name.lower()] += 1
            case "request.given_back", [self._own]:
                self.ended[GIVEN_BACK] += 1
        if event.topic in _SETTLED and (seat := self._opened.pop(event.ref, None)) is not None:
            self.seats[seat] += 1

    def _moved(self, event: TransferEvent, flow: str) -> None:
        if flow == _LOST:
            own = event.source.endswith(self._stake)
        else:
            own = self._own == (event.source if flow == _LOCKED else event.target)
        if not own:
            return
        self.credits[flow, event.reason] += event.amount
        if event.ref in self._opened and (end := FINED if event.reason == "stake.fined" else _PAID.get(event.reason)):
            self._opened[event.ref] = self._opened[event.ref][0], end


def _role(number: int) -> str:
    """Of a seat, by its round: rounds 1 and 2 are of servers, 3 is an appeal's."""
    return JUDGE if number == 3 else SERVER
