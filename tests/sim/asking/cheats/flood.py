"""A requester that posts all that it may, with the least tip and the shortest wait, again and again, and cancels some."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.prediction.messages import CancelRequest, RequestPrediction
from learningchain.chain.contracts.prediction.records import ModelStanding, RequestState
from learningchain.chain.ledger.state import State
from tests.sim.asking.member import MemberAsking
from tests.sim.asking.people import Asker, requests

MOST = 25


class Flooding(Asker):
    serves = False
    asks = MOST
    appeals = 0.0
    fidgets = 0.0

    def _ask(self, state: State, clock: int) -> Any | None:
        for one in requests(state):
            if one.posting.requester == self.id and one.record.state == RequestState.WAITING and self.rng.random() < 0.1:
                return CancelRequest(one.id)
        return super()._ask(state, clock)

    def request(self, state: State, model: bytes, standing: ModelStanding) -> RequestPrediction:
        plain = super().request(state, model, standing)
        answers, rows = self.rng.choice(((1, 1), (15, 1), (3, 20)))
        least = standing.floor * answers * rows
        tip, wait = self.rng.choice(((least, 1_000), (100 * least, 60_000)))
        return replace(plain, answers=answers, agree=1, rows=rows, tip=tip, wait=wait, key_hash=[], policy=[])


class Flooder(MemberAsking):
    kind = Flooding
