"""A server that computes nothing: it commits to what another committed to, and opens what the other opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import CommitAnswer, OpenAnswer
from learningchain.chain.contracts.prediction.records import PredictionSeat, RequestState
from learningchain.chain.ledger.state import State
from tests.sim.asking.member import MemberAsking
from tests.sim.asking.people import SALT, Asked, Asker


class Copying(Asker):
    appeals = 0.0
    fidgets = 0.0

    def duty(self, state: State, one: Asked, number: int, seat: PredictionSeat) -> Iterator[Any]:
        seats = next(drawn.seats for drawn in one.record.rounds if drawn.round == number)
        others: list[Any] = [state.get(records.seat_key(one.id, number, who)) for who in seats if who != self.id]
        if one.record.state == RequestState.ANSWER and number == one.record.round and not seat.commitment:
            copied = next((other.commitment for other in others if other.commitment), b"")
            if copied:
                yield CommitAnswer(one.id, number, copied)
        elif one.record.state == RequestState.OPEN and seat.commitment and not seat.answer:
            heard = next((other.answer[0] for other in others if other.answer), None)
            if heard is not None:
                yield OpenAnswer(one.id, number, heard, SALT)


class Copier(MemberAsking):
    verifier = True
    kind = Copying
