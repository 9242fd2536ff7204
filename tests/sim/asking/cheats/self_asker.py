"""Owner, requester and servers of one hand: a model of their own, asked and answered by themselves alone.

A request mints at most half of what it burns, so whatever they ask, with whatever tip, all of them together lose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from learningchain.chain.contracts.prediction.messages import RegisterModel, RequestPrediction
from learningchain.chain.contracts.prediction.records import ModelStanding
from learningchain.chain.ledger.state import State
from tests.sim.asking.member import MemberAsking
from tests.sim.asking.people import Asker

if TYPE_CHECKING:
    from tests.sim.asking.world import AskingWorld

OWNER, REQUESTER = 0, 1
ASKED = 8


class OneHand(Asker):
    """They serve and ask their own model alone, and judge nobody: with either they could earn honestly."""

    model = "of-one-hand"
    declares = False
    appeals = 0.0
    fidgets = 0.0

    def registration(self) -> RegisterModel:
        return replace(super().registration(), royalty=10**6, floor=1)

    def request(self, state: State, model: bytes, standing: ModelStanding) -> RequestPrediction:
        plain = super().request(state, model, standing)
        answers = self.rng.choice((1, 3))
        tip = self.rng.choice((answers, 10**4, 10**6))
        return replace(plain, rows=1, answers=answers, agree=1, tip=tip, wait=60_000, key_hash=[], policy=[])


class SelfAsker(MemberAsking):
    verifier = True
    count = 5
    kind = OneHand

    def __init__(self, world: AskingWorld, name: str, number: int) -> None:
        super().__init__(world, name, number)
        self.asker.owns = number == OWNER
        self.asker.serves = number not in (OWNER, REQUESTER)
        self.asker.asks = ASKED if number == REQUESTER else 0
