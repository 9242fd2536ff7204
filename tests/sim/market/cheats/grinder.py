"""Claims what others claimed, with a model that has it, and signs many such transactions to find one that would stand first in its
block by the beacon of today. The order is drawn by another beacon: that of the block that closes the claims."""

from __future__ import annotations

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import messages, store
from learningchain.chain.contracts.job.messages import Claim
from learningchain.chain.host import Account, account_key, terms
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.types import TxBody, net_of, tx_id
from tests.hashes import tagged
from tests.sim.market.cheats.base import Cheat, Made
from tests.sim.market.engine import model_of
from tests.sim.market.outsider import VALID

TRIES = 8


class Grinder(Cheat):
    def tick(self, state: State, clock: int) -> None:
        for job, _, record in self.open_jobs(state, clock):
            others = [store.read_claim(state, job, index).loss for index in range(record.claimants)]
            if self.alive(state) and others and self.rng.random() < 0.5:
                self._grind(state, job, min(others))
        for job in list(self.made):
            self.reveal(state, job, clock)

    def _grind(self, state: State, job: bytes, loss: int) -> None:
        """The claim of those tried whose transaction has the lowest ticket by the present beacon."""
        data, chain = model_of(loss, self.name), self.world.chain_id
        cid = self.keep(data)
        made = [Made(cid, len(data), self.random_bytes(), loss) for _ in range(TRIES)]
        sealed = [messages.claim_commitment(chain, job, self.id, terms.model_id(cid), one.salt) for one in made]
        claims = [Claim(job, loss, commitment, True) for commitment in sealed]
        beacon = chain_record(state).beacon
        tickets = [tagged(b"lc/claim-order", beacon, tx_id(self._signed(state, claim)), bytes(1)) for claim in claims]
        best = tickets.index(min(tickets))
        if self.say(state, claims[best], "ground claim", self.CLAIM):
            self.made[job] = made[best]

    def _signed(self, state: State, claim: Claim) -> bytes:
        """As its desk will sign it."""
        account = state.get(account_key(self.id))
        sequence = account.sequences[self.CLAIM] if isinstance(account, Account) else 0
        net, until = net_of(self.world.chain_id), chain_record(state).height + VALID
        body = TxBody(net, self.id, self.CLAIM, sequence, until, [msgspec.Raw(encode(claim))])
        return sign_tx(self.key, self.world.chain_id, body)
