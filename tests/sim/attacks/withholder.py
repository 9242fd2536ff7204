"""Its blocks hold a transaction that nobody else has, and it gives no bodies away."""

from __future__ import annotations

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.errors import InvalidTx
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.types import TxBody, net_of
from tests.sim.attacks.base import Byzantine

LANE = 3


class Withholder(Byzantine):
    name = "body withholder"

    def feed(self, event: e.Input) -> None:
        if self.up and isinstance(event, e.Fired) and isinstance(event.timer, e.Tick):
            self._hide_one()
        super().feed(event)

    def _hide_one(self) -> None:
        node = self.node
        account = node.state.get(account_key(self.id))
        sequence = account.sequences[LANE] if isinstance(account, Account) else 0
        op = msgspec.Raw(encode(Transfer(self.world.ids[0], 1, b"hidden")))
        raw = sign_tx(self.key, self.chain_id, TxBody(net_of(self.chain_id), self.id, LANE, sequence, node.height + 9, [op]))
        try:
            node.pool.add(node.state, raw, node.height + 1, local=True)
        except InvalidTx:
            return

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if not isinstance(message, m.BlockTxs | m.FullBlock | m.Txs | m.TxIds):
            return [payload]
        self.did("body withheld" if isinstance(message, m.BlockTxs | m.FullBlock) else "transactions withheld")
        return []
