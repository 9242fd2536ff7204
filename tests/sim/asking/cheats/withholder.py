"""A server that takes its seat and withholds: it commits and never opens, or says nothing. As a requester it keeps its keys."""

from __future__ import annotations

from learningchain.chain.contracts.prediction.messages import RequestPrediction
from learningchain.chain.contracts.prediction.records import ModelStanding
from learningchain.chain.crypto import sha256
from learningchain.chain.ledger.state import State
from tests.sim.asking.member import MemberAsking
from tests.sim.asking.people import KEY, Asked, Asker


class Withholding(Asker):
    asks = 2
    appeals = 0.0
    fidgets = 0.0

    def request(self, state: State, model: bytes, standing: ModelStanding) -> RequestPrediction:
        plain = super().request(state, model, standing)
        return RequestPrediction(**{name: getattr(plain, name) for name in plain.__struct_fields__} | {"key_hash": [sha256(KEY)]})

    def is_silent(self, one: Asked, number: int) -> bool:
        """Keys (below 0) and openings (10 and more) never; a commitment every second time."""
        return number < 0 or number >= 10 or one.id[0] % 2 == 0


class Withholder(MemberAsking):
    verifier = True
    kind = Withholding
