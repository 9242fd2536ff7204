"""A validator that serves, too: it leaves commitments, openings and keys of others out of its blocks, tells nobody of them, and
puts its own servers' first."""

from __future__ import annotations

from typing import cast

from learningchain.chain.codec import encode
from learningchain.chain.contracts.prediction.messages import CommitAnswer, GiveKeys, OpenAnswer
from learningchain.chain.crypto import SigningKey
from learningchain.chain.ledger.tx import ParsedTx
from learningchain.chain.node import messages as m
from learningchain.chain.node.selection import Selection
from tests.sim.asking.world import AskingWorld
from tests.sim.attacks.base import Byzantine
from tests.sim.world import World

KEPT_BACK = (CommitAnswer, OpenAnswer, GiveKeys)


class AnswerCensor(Byzantine):
    name = "answer censor"

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        asking = cast(AskingWorld, world)
        self.friends = {one.id for one in asking.cheats or asking.servers[:1]}
        """Its own servers: the cheats of a world, else the first server."""

    def _open(self) -> None:
        super()._open()
        pool, censor = self.node.pool, self

        class Censored(Selection):
            def first(self) -> list[ParsedTx]:
                return censor.arranged(super().first())

            def more(self, took: list[int]) -> list[ParsedTx]:
                return []

        pool.selection = lambda size, *given: Censored(pool, size, self.world.params, *given)  # type: ignore[method-assign]

    def arranged(self, chosen: list[ParsedTx]) -> list[ParsedTx]:
        own = [tx for tx in chosen if tx.body.sender in self.friends]
        others = [tx for tx in chosen if tx.body.sender not in self.friends and not self._answers(tx)]
        self.did("left out", len(chosen) - len(own) - len(others))
        self.did("put first", sum(self._answers(tx) for tx in own))
        return own + others

    @staticmethod
    def _answers(tx: ParsedTx) -> bool:
        return any(isinstance(one, KEPT_BACK) for one in tx.ops)

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if not isinstance(message, m.TxIds):
            return [payload]
        pool = self.node.pool
        known = [(short, pool.by_short(short)) for short in message.ids]
        told = [short for short, tx in known if tx is not None and (tx.body.sender in self.friends or not self._answers(tx))]
        self.did("told nobody of", len(known) - len(told))
        return [encode(m.TxIds(told))] if told else []
