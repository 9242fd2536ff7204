"""Leaves the transactions of two victims out of its blocks and tells nobody of them: they get in with the next honest proposer."""

from __future__ import annotations

from learningchain.chain.codec import encode
from learningchain.chain.crypto import SigningKey
from learningchain.chain.ledger.tx import ParsedTx
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.selection import Selection
from tests.sim.attacks.base import Byzantine
from tests.sim.world import World

VICTIMS = 2
"""The first machines."""


class Censor(Byzantine):
    name = "censor"

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self.left_out: dict[bytes, int] = {}
        """Transactions of the victim that could have stood in a block of this machine, and the height of it."""
        self.waited: list[int] = []
        """Of those that got in: how many heights later."""

    def _open(self) -> None:
        super()._open()
        pool, censor = self.node.pool, self

        class Censored(Selection):
            def first(self) -> list[ParsedTx]:
                return censor.leave_out(super().first())

            def more(self, took: list[int]) -> list[ParsedTx]:
                return []

        pool.selection = lambda size, *given: Censored(pool, size, self.world.params, *given)  # type: ignore[method-assign]

    def leave_out(self, chosen: list[ParsedTx]) -> list[ParsedTx]:
        victims = self.world.ids[:VICTIMS]
        for tx in chosen:
            if tx.body.sender in victims:
                self.did("left out")
                self.left_out.setdefault(tx.id, self.node.height + 1)
        return [tx for tx in chosen if tx.body.sender not in victims]

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if not isinstance(message, m.TxIds):
            return [payload]
        pool, victims = self.node.pool, self.world.ids[:VICTIMS]
        told = [s for s in message.ids if (tx := pool.by_short(s)) is not None and tx.body.sender not in victims]
        return [encode(m.TxIds(told))] if told else []

    def run_effect(self, effect: e.Effect) -> None:
        if isinstance(effect, e.Decided):
            for tx in effect.tx_ids:
                if tx in self.left_out:
                    self.did("got in all the same")
                    self.waited.append(effect.height - self.left_out.pop(tx))
        super().run_effect(effect)
