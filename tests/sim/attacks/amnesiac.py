"""Forgets its locks at every step, and signs whatever its memory allows, again and again."""

from __future__ import annotations

from chain.node import events as e
from chain.types import NIL, NO_ROUND
from tests.sim.attacks.base import Byzantine


class Amnesiac(Byzantine):
    name = "amnesiac"

    def feed(self, event: e.Input) -> None:
        state = self.height_state
        if state is not None:
            if state.locked_round != NO_ROUND and state.round > state.locked_round:
                self.did("lock forgotten in a later round")
            elif state.locked_round != NO_ROUND:
                self.did("lock forgotten")
            state.locked_round, state.locked_id = NO_ROUND, NIL
            if self.whim.random() < 0.05:
                state.valid_round, state.valid_id = NO_ROUND, NIL
        super().feed(event)
