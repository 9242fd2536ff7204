"""Forgets its locks at every step, and signs whatever its memory allows, again and again."""

from __future__ import annotations

from chain.node import events as e
from chain.types import NIL, NO_ROUND
from tests.sim.attacks.base import Byzantine


class Amnesiac(Byzantine):
    def feed(self, event: e.Input) -> None:
        state = self.node.consensus._state if self.up else None
        if state is not None:
            state.locked_round, state.locked_id = NO_ROUND, NIL
            if self.whim.random() < 0.05:
                state.valid_round, state.valid_id = NO_ROUND, NIL
        super().feed(event)
