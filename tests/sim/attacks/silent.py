"""Says nothing to some peers, and after a while nothing to anybody."""

from __future__ import annotations

from learningchain.chain.node import messages as m
from tests.sim.attacks.base import Byzantine


class Silent(Byzantine):
    name = "silent"

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if peer % 2 and self.world.now < 1_500:
            return [payload]
        self.did("unsaid")
        return []
