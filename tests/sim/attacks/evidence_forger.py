"""Reports honest validators for double signing with evidence that proves nothing: signatures of its own under their names, two
different rounds, heights or types, twice the same vote, real votes beside forged ones, real proposals of two heights or rounds.
No report may be believed."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership import ReportDouble
from learningchain.chain.crypto import SigningKey, sha256
from learningchain.chain.errors import InvalidTx, Malformed
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.types import (
    NIL,
    PRECOMMIT,
    PREVOTE,
    Evidence,
    Proposal,
    ProposalEvidence,
    TxBody,
    Vote,
    VoteEvidence,
    net_of,
    proposal_digest,
    proposal_is_signed,
    tx_id,
    vote_digest,
)
from tests.sim.attacks.base import Byzantine
from tests.sim.checks import Violation
from tests.sim.world import World

LANE = 2
MADE_UP = b"\1" * 32


class EvidenceForger(Byzantine):
    name = "evidence forger"
    pace = 3

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self.votes: dict[tuple[bytes, int], Vote] = {}
        """The last vote of each type that it heard of each honest validator."""
        self.before: dict[tuple[bytes, int], Vote] = {}
        """And the one before."""
        self.proposals: dict[bytes, list[Proposal]] = {}
        """The last proposals that it heard of each honest validator, all of different places."""
        self.reports: set[bytes] = set()

    def feed(self, event: e.Input) -> None:
        if isinstance(event, e.Received) and event.payload[1:2] in (b"\x04", b"\x05"):
            with suppress(Malformed):
                self._keep(m.decode_message(event.payload))
        super().feed(event)

    def _is_honest(self, name: bytes) -> bool:
        return name in self.world.index_of and self.world.machines[self.world.index_of[name]].honest

    def _keep(self, message: m.Message) -> None:
        if isinstance(message, m.VoteMessage) and self._is_honest(message.vote.validator):
            place = (message.vote.validator, message.vote.type)
            if self.votes.get(place) != message.vote:
                self.before[place] = self.votes.get(place, message.vote)
                self.votes[place] = message.vote
        if isinstance(message, m.CompactProposal) and self._is_honest(message.proposal.proposer):
            new = message.proposal
            account = self.node.state.get(account_key(new.proposer))
            if not isinstance(account, Account) or not proposal_is_signed(self.chain_id, new, account.key):
                return  # another attacker's forgery
            kept = [p for p in self.proposals.get(new.proposer, []) if (p.height, p.round) != (new.height, new.round)]
            self.proposals[new.proposer] = [*kept, new][-4:]

    def act(self) -> None:
        victims = [self.world.ids[i] for i in self.honest_validators()]
        if not victims or not self.node.height:
            return
        what, evidence = self._false(self.whim.choice(victims))
        account = self.node.state.get(account_key(self.id))
        sequence = account.sequences[LANE] if isinstance(account, Account) else 0
        op = msgspec.Raw(encode(ReportDouble(evidence)))
        body = TxBody(net_of(self.chain_id), self.id, LANE, sequence, self.node.height + 60, [op])
        raw = sign_tx(self.key, self.chain_id, body)
        try:
            self.submit(raw)
        except InvalidTx:
            return
        self.reports.add(tx_id(raw))
        self.did(what)

    def _false(self, victim: bytes) -> tuple[str, Evidence]:
        r, height = self.whim, self.node.height
        vote = self.votes.get((victim, PRECOMMIT))
        before = self.before.get((victim, PRECOMMIT))
        prevote = self.votes.get((victim, PREVOTE))
        kinds: dict[str, Evidence] = {
            "its own signatures": VoteEvidence(self._vote(victim, height, MADE_UP), self._vote(victim, height, NIL)),
            "its own proposals": ProposalEvidence(self._proposal(victim, height, b"\1"), self._proposal(victim, height, b"\2")),
        }
        if vote is not None and before is not None and prevote is not None:
            kinds |= {
                "twice the same vote": VoteEvidence(vote, vote),
                "a real vote and a forged one": VoteEvidence(vote, replace(vote, block_id=sha256(vote.block_id))),
                "a real vote and one signed by another": VoteEvidence(vote, self._vote(victim, vote.height, MADE_UP, vote.round)),
                "two heights": VoteEvidence(vote, before),
                "the height changed": VoteEvidence(vote, replace(before, height=vote.height, round=vote.round)),
                "two types": VoteEvidence(vote, prevote),
                "the type changed": VoteEvidence(vote, replace(prevote, type=PRECOMMIT, height=vote.height, round=vote.round)),
                "two validators": VoteEvidence(vote, self._vote(self.id, vote.height, MADE_UP, vote.round)),
            }
        kept = self.proposals.get(victim, [])
        pairs = [(p, q) for p in kept for q in kept if p.block_id < q.block_id]
        for p, q in pairs:
            kinds["two real proposals of one height" if p.height == q.height else "two real proposals"] = ProposalEvidence(p, q)
        return r.choice(sorted(kinds.items(), key=lambda pair: pair[0]))

    def _vote(self, name: bytes, height: int, block: bytes, round_: int = 0) -> Vote:
        signature = self.key.sign(vote_digest(self.chain_id, PRECOMMIT, height, round_, block))
        return Vote(PRECOMMIT, height, round_, block, name, signature)

    def _proposal(self, name: bytes, height: int, mark: bytes) -> Proposal:
        block = mark * 32
        return Proposal(height, 0, -1, block, name, self.key.sign(proposal_digest(self.chain_id, height, 0, -1, block)))

    def run_effect(self, effect: e.Effect) -> None:
        if isinstance(effect, e.Decided):
            for receipt in effect.receipts:
                if receipt.tx in self.reports:
                    self.did("refused by the ledger")
                    if receipt.code == 0:
                        raise Violation(f"false evidence of n{self.index} was believed at height {effect.height}")
        super().run_effect(effect)
