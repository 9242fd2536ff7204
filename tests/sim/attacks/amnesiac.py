"""Forgets its locks at every step, and signs whatever its memory allows, again and again."""

from __future__ import annotations

from learningchain.chain.consensus.messages import SignProposal, SignVote
from learningchain.chain.crypto import SigningKey
from learningchain.chain.node import events as e
from learningchain.chain.types import NIL, NO_ROUND, PRECOMMIT
from tests.sim.attacks.base import Byzantine
from tests.sim.world import World


class Amnesiac(Byzantine):
    name = "amnesiac"

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self._bound: tuple[int, int, bytes] = (0, 0, NIL)
        """Height, round and block of the last precommit that should bind it."""

    def feed(self, event: e.Input) -> None:
        state = self.height_state
        if state is not None:
            if state.locked_round != NO_ROUND:
                self.did("lock forgotten")
            state.locked_round, state.locked_id = NO_ROUND, NIL
            if self.whim.random() < 0.05:
                state.valid_round, state.valid_id = NO_ROUND, NIL
        super().feed(event)

    def sign(self, request: SignVote | SignProposal) -> None:
        r = request
        height, round_, block = self._bound
        if r.block_id and r.height == height and r.round > round_ and r.block_id != block:
            self.did("voted or proposed against its lock")
        if isinstance(r, SignVote) and r.type == PRECOMMIT and r.block_id:
            self._bound = (r.height, r.round, r.block_id)
        super().sign(request)
